"""Guesses that never look at the image, and the nearest training photo."""

import numpy as np
import pytest
from geoloc_models_answers import DEGREE_KM

from geocells import sphere
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import nearest_km, summarise_training
from geoloc_models.evaluation.references import references


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


def test_references_need_a_test_image():
    with pytest.raises(GeolocError, match="no test image"):
        references(summarise_training([[0, 0]], ["A"]), np.empty((0, 2)), [])


def test_distances_are_the_least_of_all():
    random = np.random.default_rng(0)
    low, high = [-90, -180], [90, 180]
    points, known = random.uniform(low, high, (40, 2)), random.uniform(low, high, (60, 2))
    expected = sphere.haversine_matrix(points, known).min(axis=1)
    np.testing.assert_allclose(nearest_km(points, known), expected, rtol=1e-9)


def test_the_antimeridian_does_not_part_neighbours():
    assert nearest_km([[0.0, 179.9]], [[0.0, -179.9], [0.0, 170.0]]) == pytest.approx(
        22.239, abs=1e-3
    )


def test_nothing_is_far_from_nothing():
    assert nearest_km(np.empty((0, 2)), [[0.0, 0.0]]).shape == (0,)
    with pytest.raises(GeolocError, match="no training photo"):
        nearest_km([[0.0, 0.0]], np.empty((0, 2)))
