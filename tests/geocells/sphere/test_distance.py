from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics.pairwise import haversine_distances
from strategies import coordinates

from geocells import sphere

ZURICH, STOCKHOLM = (47.3769, 8.5417), (59.3293, 18.0686)
KM_PER_DEGREE = np.pi / 180.0 * 6371.0088

# Near the antipode h is near 1, and the arcsine of the root turns its last bit (1e-16) into 1e-8 of the radius.
ANTIPODAL_KM = 2e-4
# Elsewhere a handful of roundings of numbers below 20 000 km.
ROUNDING_KM = 1e-8


@pytest.mark.parametrize(
    ("a", "b", "km", "tolerance"),
    [
        (ZURICH, STOCKHOLM, 1468.4, 0.05),
        (ZURICH, ZURICH, 0.0, 0.0),
        ((90.0, 12.0), (90.0, 12.0), 0.0, 0.0),
        # sin(pi) is 1.2e-16 in float64: a nanometre, not zero.
        ((10.0, 180.0), (10.0, -180.0), 0.0, 1e-8),
        ((90.0, 0.0), (90.0, 123.0), 0.0, 1e-8),
        ((0, 0), (0, 180), 180 * KM_PER_DEGREE, ANTIPODAL_KM),
        ((90, 0), (-90, 0), 180 * KM_PER_DEGREE, ANTIPODAL_KM),
        ((47.4, 8.5), (-47.4, -171.5), 180 * KM_PER_DEGREE, ANTIPODAL_KM),
        ((0, 90), (0, -90), 180 * KM_PER_DEGREE, ANTIPODAL_KM),
        ((0, 0), (0, 1), KM_PER_DEGREE, 1e-10),
        ((0, 0), (1, 0), KM_PER_DEGREE, 1e-10),
        # A millimetre. A coordinate of 47 degrees is known to 7e-15 degrees, that is 1e-6 of a millimetre.
        ((47.0, 8.0), (47.0 + 1e-6 / KM_PER_DEGREE, 8.0), 1e-6, 1e-11),
    ],
)
def test_known_distances(a, b, km, tolerance):
    assert sphere.haversine(a, b)[0] == pytest.approx(km, abs=tolerance)


@given(coordinates(), coordinates())
def test_table_equals_the_twin_and_scikit_learn(a, b):
    table = sphere.haversine_matrix(a, b)
    theirs = haversine_distances(np.radians(a), np.radians(b)) * sphere.EARTH_RADIUS_KM
    tolerance = np.where(theirs > 19_000.0, ANTIPODAL_KM, ROUNDING_KM)
    assert table.shape == (len(a), len(b))
    assert (np.abs(table - theirs) <= tolerance).all()
    for i, j in [(0, 0), (len(a) - 1, len(b) - 1), (len(a) // 2, len(b) // 3)]:
        twin = naive.distance_km(tuple(a[i]), tuple(b[j]))
        assert abs(table[i, j] - twin) <= tolerance[i, j]


@given(coordinates())
def test_rows_equal_the_diagonal_of_the_table_and_are_symmetric(coords):
    shuffled = coords[::-1]
    rows = sphere.haversine(coords, shuffled)
    assert np.array_equal(rows, np.diagonal(sphere.haversine_matrix(coords, shuffled)))
    assert np.array_equal(rows, sphere.haversine(shuffled, coords))


def test_one_point_is_measured_against_every_row():
    rows = np.array([ZURICH, STOCKHOLM, (0.0, 0.0)])
    assert np.array_equal(sphere.haversine(ZURICH, rows), sphere.haversine(rows, ZURICH))
    assert sphere.haversine(ZURICH, rows)[0] == 0.0


def test_no_rows_give_no_distances():
    assert sphere.haversine(np.empty((0, 2)), ZURICH).shape == (0,)
    assert sphere.haversine_matrix(np.empty((0, 2)), [ZURICH]).shape == (0, 1)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"same number of rows.*got 2 and 3"):
        sphere.haversine(np.zeros((2, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"\(n, 2\) or \(2,\); got shape \(3,\)"):
        sphere.haversine([1.0, 2.0, 3.0], [0.0, 0.0])


def test_threads_do_not_change_the_distances(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.uniform((-90, -180), (90, 180), size=(2, 100, 2))
    alone = sphere.haversine(a, b)
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "4")
    assert np.array_equal(sphere.haversine(a, b), alone)
