"""Differences of two models, and means over seeds."""

import json

import numpy as np
import pytest
from geoloc_models_answers import along_equator, answers
from scipy import stats

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions, compare, evaluate, over_seeds


def truth_of(n):
    return np.zeros((n, 2)), ["A"] * n


def test_differences_of_a_case_worked_by_hand():
    left = answers(along_equator([0.5, 10.0, 100.0, 1000.0]), ["A", "A", "A", "B"])
    right = answers(along_equator([0.5, 100.0, 300.0, 1000.0]), ["A", "B", "B", "B"])
    differences = compare(left, right, *truth_of(4), n_bootstrap=20)
    values = {name: figure.value for name, figure in differences.items()}
    points = 1250 * (np.exp(-10 / 1492.7) - np.exp(-300 / 1492.7))  # 100 km cancel
    assert values == pytest.approx(
        {
            "country": 50.0,
            "1 km": 0.0,
            "25 km": 25.0,
            "200 km": 25.0,
            "750 km": 0.0,
            "2500 km": 0.0,
            "median_km": 55.0 - 200.0,
            "geoscore": points,
        },
        rel=1e-9,
    )


def test_a_model_does_not_differ_from_itself():
    random = np.random.default_rng(0)
    guesses = answers(along_equator(random.exponential(100, 50)), ["A"] * 50)
    for figure in compare(guesses, guesses, *truth_of(50), n_bootstrap=50).values():
        assert (figure.value, figure.low, figure.high) == (0.0, 0.0, 0.0)


def test_pairing_sees_a_difference_that_single_intervals_hide():
    random = np.random.default_rng(1)
    hard = random.lognormal(4, 2, 200)  # most of the spread is the images' own
    left = answers(along_equator(hard * 0.9), ["A"] * 200)
    right = answers(along_equator(hard), ["A"] * 200)
    single = [evaluate(each, *truth_of(200)).geoscore for each in (left, right)]
    assert single[0].low < single[1].high
    assert compare(left, right, *truth_of(200))["geoscore"].low > 0


def test_a_difference_has_the_keys_of_the_figures():
    guesses = answers(along_equator([1.0, 2.0]), ["A", "A"])
    differences = compare(guesses, guesses, *truth_of(2), radii_km=[5, 7.5], n_bootstrap=2)
    figures = evaluate(guesses, *truth_of(2), radii_km=[5, 7.5], n_bootstrap=2).figures()
    assert list(differences) == list(figures)


def test_models_of_different_photos_are_not_compared():
    left = answers(along_equator([1.0, 2.0]), ["A", "A"])
    right = Predictions(left.coords, left.countries, None, np.array([1, 0]))
    with pytest.raises(GeolocError, match="same photos"):
        compare(left, right, *truth_of(2))


def runs_with(shares_in_the_right_country):
    """One evaluation of 10 images per share, in tenths."""
    return [
        evaluate(
            answers(along_equator([share] * 10), ["A"] * share + ["B"] * (10 - share)),
            *truth_of(10),
            n_bootstrap=5,
        )
        for share in shares_in_the_right_country
    ]


def test_the_mean_over_seeds_has_a_t_interval():
    together = over_seeds(runs_with([4, 5, 9]))
    assert together.n_runs == 3
    assert together.n_test == 10
    assert together.country.value == pytest.approx(60.0)
    low, high = stats.t.interval(0.95, 2, loc=60, scale=stats.sem([40, 50, 90]))
    assert low < 0  # outside what a share can be
    assert together.country.low == 0.0
    assert together.country.high == pytest.approx(min(high, 100.0))
    assert together.median_km.value == pytest.approx(6.0)
    expected = stats.t.interval(0.95, 2, loc=6, scale=stats.sem([4, 5, 9]))
    assert together.median_km.high == pytest.approx(expected[1])
    assert together.to_dict()["n_runs"] == 3


def test_one_run_says_nothing_about_another():
    together = over_seeds(runs_with([4]))
    assert together.country.value == 40.0
    assert np.isnan(together.country.bounds).all()
    json.dumps(together.to_dict(), allow_nan=False)


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(GeolocError, match="no run"):
        over_seeds([])
    guesses = answers(along_equator([1.0]), ["A"])
    other = evaluate(guesses, *truth_of(1), radii_km=[3], n_bootstrap=2)
    with pytest.raises(GeolocError, match="same radii"):
        over_seeds([*runs_with([4]), other])
