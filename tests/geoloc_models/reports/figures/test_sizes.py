"""Accuracy by the number of training photos."""

import numpy as np

from geoloc_models.evaluation import Evaluation, Interval
from geoloc_models.reports import figures

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
