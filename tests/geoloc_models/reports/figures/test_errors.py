"""Curves of errors, and errors by distance to the training photos."""

import numpy as np
import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.reports import figures


def test_the_error_curve_passes_through_the_shares():
    figure = figures.error_curves({"country": np.array([1.0, 10.0, 100.0, 1000.0])})
    (axis,) = figure.axes
    x, y = axis.lines[0].get_data()
    for distance, share in ((0.9, 0), (1.0, 25), (99, 50), (100, 75), (1000, 100)):
        assert max(y[x <= distance]) == pytest.approx(share)
    assert "km" in axis.get_xlabel()
    assert "%" in axis.get_ylabel()


def test_ten_models_have_ten_styles():
    figure = figures.error_curves({f"model {n}": np.array([1.0, 2.0]) for n in range(10)})
    lines = figure.axes[0].lines[:10]
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}) == 10


def bars_of(axis):
    """Quartiles of the first model, one (low, high) per group."""
    (bars,) = axis.containers[0][2]
    return [tuple(segment[:, 1]) for segment in bars.get_segments()]


def test_groups_have_the_medians_and_quartiles_worked_by_hand():
    near, far = [1.0] * 5, [100.0] * 5
    errors = [1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    figure = figures.error_against_distance({"country": errors}, near + far, n_bins=2)
    (axis,) = figure.axes
    line = axis.containers[0][0]
    assert line.get_xdata().tolist() == [1.0, 100.0]
    assert line.get_ydata().tolist() == [3.0, 30.0]
    assert bars_of(axis) == [(2.0, 4.0), (20.0, 40.0)]
    assert "groups of 5 test images" in axis.get_title()
    assert "km" in axis.get_xlabel()
    assert "km" in axis.get_ylabel()
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["Country (baseline)", "As far off as the nearest photo"]


def test_an_error_of_nothing_still_stands_on_a_logarithmic_axis():
    figure = figures.error_against_distance({"a": np.zeros(8)}, np.zeros(8))
    line = figure.axes[0].containers[0][0]
    assert line.get_xydata().tolist() == [[0.1, 0.1]]


def test_many_models_have_medians_alone():
    errors = {f"model {n}": np.arange(1.0, 41.0) for n in range(5)}
    figure = figures.error_against_distance(errors, np.arange(1.0, 41.0))
    (axis,) = figure.axes
    assert not any(container.has_yerr for container in axis.containers)
    assert "quartiles" not in axis.get_title()


def test_each_error_needs_its_distance():
    with pytest.raises(GeolocError, match="Model a has 3 errors for 2 distances"):
        figures.error_against_distance({"a": [1, 2, 3]}, [1, 2])
