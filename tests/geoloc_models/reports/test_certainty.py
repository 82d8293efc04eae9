"""The table of calibration reports: a row a model, empty cells for what a model does not have."""

import numpy as np
from scipy import stats

from geoloc_models.evaluation import Coverage
from geoloc_models.inference.calibration_report import CalibrationReport, Region
from geoloc_models.reports.certainty import certainty_table


def test_every_figure_stands_in_its_column():
    full = CalibrationReport(
        200,
        "expected_utility",
        "mass",
        150,
        1.25,
        Coverage(200, 181, 0.9, 0.855, 0.94, 31.4),
        0.25,
        0.051,
        (Region(0.5, 0.61, 1.0), Region(0.9, 0.92, 2.5)),
    )
    poor = CalibrationReport(200, "argmax", "fixed", 5, 1.0, None, None, None)
    endless = CalibrationReport(
        200, "argmax", "mass", 50, 1.0, Coverage(200, 200, 0.9, 0.85, 0.94, np.inf), None, None
    )
    table = certainty_table(
        {"cells_top_down": full, "offset": poor, "nearest": endless, "country": None}
    )
    assert [row[0] for row in table.rows] == [
        "Cells, top-down",
        "Regression, multi-task",
        "Nearest images",
    ]
    own = dict(zip(table.header, table.rows[0], strict=True))
    assert own["90 % radius holds %"] == "90.5 [85.5, 94.0]"
    # Beta-binomial of 150 and 200 photos, by its own sums.
    cumulated = np.cumsum(stats.betabinom.pmf(np.arange(201), 200, 136, 15))
    low, high = np.searchsorted(cumulated, [0.025, 0.975])
    assert own["by both draws"] == f"[{low / 2:.1f}, {high / 2:.1f}]"
    assert own["radius, median km"] == "31"
    assert own["temperature"] == "1.25"
    assert own["calibration error %"] == "25.0 to 5.1"
    assert own["50 % region holds %"] == "61.0"
    assert own["90 % region holds %"] == "92.0"
    assert own["classes of 90 % region, median"] == "2.5"
    assert table.rows[1][2:] == ["", "", "", "", "", "", "", "", "200"]
    assert table.rows[2][4] == "no bound"
