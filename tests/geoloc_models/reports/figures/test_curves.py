"""Curves of errors, accuracies, training and reliability, with figures worked by hand."""

import numpy as np
import pytest

from geocells.decoding import risk_coverage
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Evaluation
from geoloc_models.evaluation.scores import Interval
from geoloc_models.inference.calibration_report import Bin
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
    figure = figures.error_against_distance({"country": errors}, near + far)
    (axis,) = figure.axes
    line = axis.containers[0][0]
    assert line.get_xdata().tolist() == [1.0, 100.0]
    assert line.get_ydata().tolist() == [3.0, 30.0]
    assert bars_of(axis) == [(2.0, 4.0), (20.0, 40.0)]
    assert axis.get_title() == "Medians, quartiles of 5 images each"
    assert "km" in axis.get_xlabel()
    assert "km" in axis.get_ylabel()
    texts = {text.get_text() for text in figure.legends[0].get_texts()}
    assert texts == {"Country (baseline)", "As far off as the nearest photo"}


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


NOTHING = Interval(0.0, np.nan, np.nan)


def evaluation(country, within_25, low=np.nan, high=np.nan):
    return Evaluation(
        n_test=10,
        country=Interval(country, low, high),
        within_km={25.0: Interval(within_25, low, high)},
        median_km=NOTHING,
        geoscore=NOTHING,
    )


def test_lines_pass_through_the_figures_in_order_of_size():
    results = {"country": {10_000: evaluation(70, 20, 60, 85), 1000: evaluation(50, 10, 45, 60)}}
    figure = figures.accuracy_by_dataset_size(results)
    country, within = figure.axes  # no model has a radius of 200 km
    line, _, (bars,) = country.containers[0]
    assert line.get_xdata().tolist() == [1000, 10_000]
    assert line.get_ydata().tolist() == [50, 70]
    assert [tuple(segment[:, 1]) for segment in bars.get_segments()] == [(45, 60), (60, 85)]
    assert within.get_title() == "Within 25 km"
    assert within.containers[0][0].get_ydata().tolist() == [10, 20]
    figure.canvas.draw()
    assert [label.get_text() for label in country.get_xticklabels()] == ["1 K", "10 K"]
    assert "%" in country.get_ylabel()


def test_intervals_that_do_not_exist_are_not_drawn():
    figure = figures.accuracy_by_dataset_size({"country": {1000: evaluation(50, 10)}})
    (bars,) = figure.axes[0].containers[0][2]
    assert not any(segment.size for segment in bars.get_segments())


def test_a_model_may_lack_a_size():
    results = {"a": {100: evaluation(5, 1), 1000: evaluation(6, 2)}, "b": {1000: evaluation(7, 3)}}
    figure = figures.accuracy_by_dataset_size(results)
    assert [len(each[0].get_xdata()) for each in figure.axes[0].containers] == [2, 1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def history_of(val_losses, **more):
    return [
        {"epoch": epoch, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": loss, **more}
        for epoch, loss in enumerate(val_losses, start=1)
    ]


def kept_epochs(axis):
    """The marked epoch of each validation line."""
    return [
        line.get_xdata()[line.get_markevery()[0]] for line in axis.lines if line.get_markevery()
    ]


def test_training_curves_mark_the_kept_epoch():
    figure = figures.training_curves({"country": history_of([3.0, 1.0, 2.0], val_accuracy=0.25)})
    loss, accuracy = figure.axes
    assert kept_epochs(loss) == kept_epochs(accuracy) == [2]
    training, validation = accuracy.lines
    assert (training.get_linestyle(), validation.get_linestyle()) == ("--", "-")
    assert training.get_ydata().tolist() == [50.0] * 3
    assert validation.get_ydata().tolist() == [25.0] * 3
    assert "%" in accuracy.get_ylabel()
    assert loss.get_xlabel() == "Epoch"


def test_a_loss_that_is_nan_leaves_a_gap_and_is_not_kept():
    figure = figures.training_curves({"country": history_of([2.0, np.nan, 1.0, np.inf])})
    loss, accuracy = figure.axes
    assert kept_epochs(loss) == [3]
    assert np.isnan(accuracy.lines[1].get_ydata()).all()  # no accuracy was recorded
    nothing = figures.training_curves({"a": history_of([np.nan]), "b": []})
    assert kept_epochs(nothing.axes[0]) == []


def test_all_models_share_an_axis_a_metric_and_leaps_are_cut():
    histories = {f"model {n}": history_of([2.0, 90.0, 1.0], val_accuracy=0.5) for n in range(5)}
    figure = figures.training_curves(histories)
    loss, accuracy = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(histories)
    assert kept_epochs(loss) == kept_epochs(accuracy) == [3] * 5
    assert len({line.get_color() for line in loss.lines}) == 5
    assert loss.get_ylim() == (0.0, 3.0)


BINS = (Bin(30, 0.25, 0.2, 0.1, 0.3), Bin(10, 0.9, 1.0, 0.7, 1.0))


def test_dots_stand_at_confidence_and_accuracy():
    figure = figures.reliability_diagrams({"One": BINS, "None": (), "Two": BINS[:1]})
    assert [axis.get_title() for axis in figure.axes] == ["One", "Two"]
    dots = figure.axes[0].collections[-1]
    np.testing.assert_allclose(dots.get_offsets(), [[25.0, 20.0], [90.0, 100.0]])
    assert dots.get_sizes()[0] > dots.get_sizes()[1]


def test_without_any_bin_there_is_nothing_to_draw():
    with pytest.raises(GeolocError, match="No model has probabilities"):
        figures.reliability_diagrams({"One": ()})


def test_abstaining_is_drawn_in_percent_by_model():
    curve = risk_coverage([0.9, 0.5, 0.7, 0.2], [True, False, True, True])
    figure = figures.risk_coverage_curves({"cells": curve})
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [25, 50, 75, 100])
    np.testing.assert_allclose(line.get_ydata(), [0, 0, 100 / 3, 25])
