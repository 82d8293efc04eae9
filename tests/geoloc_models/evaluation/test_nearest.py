"""Distance to the nearest training photo, against all distances."""

import numpy as np
import pytest

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import nearest_km


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
    with pytest.raises(GeolocError, match="not one training photo"):
        nearest_km([[0.0, 0.0]], np.empty((0, 2)))
