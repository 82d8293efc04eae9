"""Figures of an evaluation against cases worked by hand and scikit-learn's haversine."""

import json

import numpy as np
import pytest
from sklearn.metrics.pairwise import haversine_distances

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import (
    Predictions,
    errors_km,
    evaluate,
    references,
    summarise_training,
)

RADIUS_KM = 6371.0088
DEGREE_KM = RADIUS_KM * np.pi / 180.0


def answers(coords, countries):
    return Predictions(
        coords=np.asarray(coords, dtype=np.float64).reshape(-1, 2),
        countries=np.array(countries, dtype=object),
        probabilities=None,
        rows=np.arange(len(countries)),
    )


def along_equator(distances_km):
    """Points at these distances east of (0, 0)."""
    return np.column_stack([np.zeros(len(distances_km)), np.asarray(distances_km) / DEGREE_KM])


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


def test_a_distance_equal_to_the_radius_is_within_it():
    truth = np.array([[0.0, 0.0]])
    guess = answers([[0.0, 1.0]], ["A"])
    exact = float(errors_km(guess, truth)[0])
    inside = evaluate(guess, truth, ["A"], radii_km=[exact], n_bootstrap=1)
    below = evaluate(guess, truth, ["A"], radii_km=[np.nextafter(exact, 0)], n_bootstrap=1)
    assert inside.within_km[exact].value == 100.0
    assert next(iter(below.within_km.values())).value == 0.0


def test_errors_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    low, high = [-90, -180], [90, 180]
    truth, guess = random.uniform(low, high, (100, 2)), random.uniform(low, high, (100, 2))
    expected = RADIUS_KM * np.diag(haversine_distances(np.radians(guess), np.radians(truth)))
    ours = errors_km(answers(guess, ["A"] * 100), truth)
    # Near the antipode asin loses half the digits: 1e-6 km is far below any radius.
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-6)


def test_intervals_hold_the_figure_and_shrink_with_more_images():
    random = np.random.default_rng(1)
    widths = []
    for n in (50, 2000):
        countries = np.where(random.random(n) < 0.7, "A", "B").astype(object)
        guesses = answers(along_equator(random.exponential(100, n)), ["A"] * n)
        figures = evaluate(guesses, np.zeros((n, 2)), countries)
        for figure in (figures.country, figures.median_km, *figures.within_km.values()):
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
    assert set(content) == {"country", "within_km", "median_km", "interval"}
    radii = ["1", "25", "200", "750", "2500"]
    assert list(content["within_km"]) == radii
    assert set(content["interval"]) == {"country", "within_km", "median_km"}
    assert list(content["interval"]["within_km"]) == radii
    assert all(len(bounds) == 2 for bounds in content["interval"]["within_km"].values())
    json.dumps(content, allow_nan=False)


def test_references_of_a_case_worked_by_hand():
    training = summarise_training([[0, 10], [0, 20], [0, 30]], ["B", "A", "B"])
    assert training.majority_country == "B"
    assert training.n_train == 3
    # Three points on the equator, symmetric about 20 degrees east.
    assert training.centre == pytest.approx((0.0, 20.0), abs=1e-9)
    figures = references(training, [[0, 20], [0, 21], [0, 23]], ["A", "B", "B"])
    assert figures["majority_country"] == pytest.approx(200 / 3)
    assert figures["centre_median_km"] == pytest.approx(DEGREE_KM, rel=1e-9)


def test_of_equal_countries_the_first_by_name_leads():
    assert summarise_training([[0, 0], [0, 0]], ["B", "A"]).majority_country == "A"


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(GeolocError, match="not one prediction"):
        evaluate(answers(np.empty((0, 2)), []), np.empty((0, 2)), [])
    with pytest.raises(GeolocError, match="not one test image"):
        references(summarise_training([[0, 0]], ["A"]), np.empty((0, 2)), [])


def test_mismatched_lengths_are_an_error():
    guess = answers([[0, 0]], ["A"])
    with pytest.raises(GeolocError, match="1 predictions but 2 true countries"):
        evaluate(guess, [[0, 0]], ["A", "B"])
    with pytest.raises(GeolocError, match=r"true coordinates of shape \(2, 2\)"):
        evaluate(guess, [[0, 0], [0, 0]], ["A"])
    with pytest.raises(GeolocError, match="2 coords"):
        Predictions(np.zeros((2, 2)), np.array(["A"], dtype=object), None, np.array([0]))
