"""Table 1 as text."""

import numpy as np

from geoloc_models.evaluation import Predictions, evaluate
from geoloc_models.reports import table_text

GUESSES = Predictions(
    coords=np.array([[0.0, 0.0], [0.0, 1.0]]),
    countries=np.array(["A", "B"], dtype=object),
    probabilities=None,
    rows=np.arange(2),
)


def test_each_model_has_a_row_of_figures_and_a_row_of_intervals():
    figures = evaluate(GUESSES, np.zeros((2, 2)), ["A", "A"], n_bootstrap=20)
    text = table_text(
        {"country": figures, "cells_top_down": figures},
        {"majority_country": 55.5, "centre_median_km": 807.4},
    )
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["Model", "Country"]
    for column in ("1 km %", "25 km %", "200 km %", "750 km %", "2500 km %", "Median km"):
        assert column in lines[0]
    # 0 km and 111.195 km off: half within 1 km, all within 200 km, a median of 55.6 km.
    assert lines[2].split()[-7:] == ["50.0", "50.0", "50.0", "100.0", "100.0", "100.0", "55.6"]
    assert lines[3].count("[") == 7
    assert "55.5" in text
    assert "807" in text
    assert "2 test images" in text
