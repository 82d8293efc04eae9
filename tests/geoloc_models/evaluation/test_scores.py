"""Figures of an evaluation against cases worked by hand and scikit-learn's haversine."""

import json

import numpy as np
import pytest
from geoloc_models_answers import along_equator, answers

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions, errors_km, evaluate
from geoloc_models.evaluation.scores import geoscores


def test_figures_of_a_case_worked_by_hand():
    truth = np.zeros((4, 2))
    guesses = answers(along_equator([0.5, 10.0, 100.0, 5000.0]), ["A", "A", "B", "A"])
    figures = evaluate(guesses, truth, ["A", "A", "A", "B"], n_bootstrap=50)
    assert figures.n_test == 4
    assert figures.country.value == 50.0
    shares = {radius: share.value for radius, share in figures.within_km.items()}
    assert shares == {1.0: 25.0, 25.0: 50.0, 200.0: 75.0, 750.0: 75.0, 2500.0: 75.0}
    # Degrees and back: a few roundings of float64.
    assert figures.median_km.value == pytest.approx(55.0, rel=1e-9)
    points = [5000 * np.exp(-distance / 1492.7) for distance in (0.5, 10.0, 100.0, 5000.0)]
    assert figures.geoscore.value == pytest.approx(np.mean(points), rel=1e-9)
    radii = [f"{radius:g} km" for radius in (1, 25, 200, 750, 2500)]
    assert list(figures.figures()) == ["country", *radii, "median_km", "geoscore"]
    assert figures.figures()["25 km"] == figures.within_km[25.0]


def test_geoscore_is_5000_at_the_truth_and_falls_by_e_in_its_length():
    assert geoscores([0.0, 1492.7, 2 * 1492.7]) == pytest.approx(
        [5000.0, 5000 / np.e, 5000 / np.e**2]
    )


def test_a_distance_equal_to_the_radius_is_within_it():
    truth = np.array([[0.0, 0.0]])
    guess = answers([[0.0, 1.0]], ["A"])
    exact = float(errors_km(guess, truth)[0])
    inside = evaluate(guess, truth, ["A"], radii_km=[exact], n_bootstrap=1)
    below = evaluate(guess, truth, ["A"], radii_km=[np.nextafter(exact, 0)], n_bootstrap=1)
    assert inside.within_km[exact].value == 100.0
    assert next(iter(below.within_km.values())).value == 0.0


def test_intervals_hold_the_figure_and_shrink_with_more_images():
    random = np.random.default_rng(1)
    widths = []
    for n in (50, 2000):
        countries = np.where(random.random(n) < 0.7, "A", "B").astype(object)
        guesses = answers(along_equator(random.exponential(100, n)), ["A"] * n)
        figures = evaluate(guesses, np.zeros((n, 2)), countries)
        for figure in figures.figures().values():
            assert figure.low <= figure.value <= figure.high
        widths.append(figures.country.high - figures.country.low)
    assert widths[1] < widths[0] / 3
    # The normal approximation of a share: 1.96 * sqrt(p (1 - p) / n), both ways.
    assert widths[1] == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 2000) * 100, rel=0.15)


def test_evaluation_depends_on_the_seed_alone():
    guesses = answers(along_equator([1.0, 30.0, 300.0]), ["A", "B", "A"])
    truth, countries = np.zeros((3, 2)), ["A", "A", "A"]
    assert evaluate(guesses, truth, countries) == evaluate(guesses, truth, countries)


def test_json_has_the_layout_of_the_results_file():
    guesses = answers(along_equator([0.5, 300.0]), ["A", "B"])
    content = evaluate(guesses, np.zeros((2, 2)), ["A", "A"]).to_dict()
    names = {"country", "within_km", "median_km", "geoscore"}
    assert set(content) == names | {"interval"}
    radii = ["1", "25", "200", "750", "2500"]
    assert list(content["within_km"]) == radii
    assert set(content["interval"]) == names
    assert list(content["interval"]["within_km"]) == radii
    assert all(len(bounds) == 2 for bounds in content["interval"]["within_km"].values())
    json.dumps(content, allow_nan=False)


def test_an_interval_that_does_not_exist_is_null_in_json():
    guesses = answers(along_equator([0.5, 300.0]), ["A", "B"])
    figures = evaluate(guesses, np.zeros((2, 2)), ["A", "A"], n_bootstrap=0)
    assert np.isnan(figures.country.bounds).all()
    content = figures.to_dict()
    assert content["interval"]["country"] is None
    json.dumps(content, allow_nan=False)


def test_a_prediction_that_is_no_place_is_an_error_not_a_hit():
    guesses = answers([[0.0, 0.0], [np.nan, 0.0]], ["A", "A"])
    with pytest.raises(GeolocError, match=r"1 of 2 predictions are not finite .* row 1 "):
        evaluate(guesses, np.zeros((2, 2)), ["A", "A"])
    with pytest.raises(GeolocError, match="true coordinates are not finite"):
        errors_km(answers([[0.0, 0.0]], ["A"]), [[0.0, np.inf]])


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(GeolocError, match="no prediction"):
        evaluate(answers(np.empty((0, 2)), []), np.empty((0, 2)), [])


def test_mismatched_lengths_are_an_error():
    guess = answers([[0, 0]], ["A"])
    with pytest.raises(GeolocError, match="1 predictions but 2 true countries"):
        evaluate(guess, [[0, 0]], ["A", "B"])
    with pytest.raises(GeolocError, match=r"true coordinates of shape \(2, 2\)"):
        evaluate(guess, [[0, 0], [0, 0]], ["A"])
    with pytest.raises(GeolocError, match="2 coords"):
        Predictions(np.zeros((2, 2)), np.array(["A"], dtype=object), None, np.array([0]))
