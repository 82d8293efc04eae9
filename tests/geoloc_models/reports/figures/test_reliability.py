"""Reliability diagrams: dots where the numbers say, a panel for each model that has any."""

import numpy as np
import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.inference.calibration_report import Bin
from geoloc_models.reports.figures import reliability_diagrams

BINS = (Bin(30, 0.25, 0.2, 0.1, 0.3), Bin(10, 0.9, 1.0, 0.7, 1.0))


def test_dots_stand_at_confidence_and_accuracy():
    figure = reliability_diagrams({"One": BINS, "None": (), "Two": BINS[:1]})
    shown = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in shown] == ["One", "Two"]
    dots = shown[0].collections[-1]
    np.testing.assert_allclose(dots.get_offsets(), [[25.0, 20.0], [90.0, 100.0]])
    assert dots.get_sizes()[0] > dots.get_sizes()[1]


def test_four_panels_take_two_rows_and_the_rest_is_empty():
    figure = reliability_diagrams({str(k): BINS for k in range(4)})
    assert [axis.axison for axis in figure.axes] == [True] * 4 + [False] * 2


def test_without_any_bin_there_is_nothing_to_draw():
    with pytest.raises(GeolocError, match="No model has probabilities"):
        reliability_diagrams({"One": ()})
