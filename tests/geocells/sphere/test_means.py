from __future__ import annotations

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import sphere
from geocells.sphere import SphereSums, from_unit_vectors, spherical_mean, to_unit_vectors

# Unit vectors are good to 5e-14 and a few hundred of them are summed without loss: 3e-10 km, with room to spare.
SAME_PLACE_KM = 1e-9


def test_vectors_are_exact_at_multiples_of_90_degrees():
    axes = to_unit_vectors(
        [(0, 0), (0, 90), (0, 180), (0, -180), (0, -90), (90, 0), (90, -45.5), (-90, 33)]
    )
    assert axes.tolist() == [
        [1, 0, 0], [0, 1, 0], [-1, 0, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, 1], [0, 0, -1],
    ]  # fmt: skip


@given(coordinates())
def test_vectors_equal_the_twin(coords):
    twins = np.array([naive.unit_vector(tuple(point)) for point in coords])
    # The series promise 2e-14 (0.1 micrometres on the ground) for sine and cosine; a part is a product of two.
    assert np.abs(to_unit_vectors(coords) - twins).max() <= 5e-14


@given(coordinates())
def test_vectors_turn_back_into_the_coordinates(coords):
    back = from_unit_vectors(to_unit_vectors(coords))
    # atan2 of parts known to 1e-16.
    assert sphere.haversine(coords, back).max() <= 1e-9


def test_vectors_of_any_length_have_a_direction():
    assert from_unit_vectors([(0.0, 5.0, 5.0), (-2.0, 0.0, 0.0)]).round(12).tolist() == [
        [45.0, 90.0],
        [0.0, 180.0],
    ]


@given(coordinates())
def test_mean_equals_the_twin(coords):
    points = [tuple(point) for point in coords]
    resultant = naive.resultant(points)
    if resultant <= 1e-6:
        return  # The direction of a vanishing sum is rounding noise in either; its own test below.
    distance = sphere.haversine(spherical_mean(coords), naive.spherical_mean(points))[0]
    assert distance <= SAME_PLACE_KM / resultant


@given(coordinates(), st.randoms(use_true_random=False))
def test_mean_is_the_same_to_the_last_bit_in_any_order(coords, random):
    order = list(range(len(coords)))
    random.shuffle(order)
    assert spherical_mean(coords).tolist() == spherical_mean(coords[order]).tolist()


def test_mean_does_not_depend_on_the_number_of_threads(monkeypatch):
    coords = np.random.default_rng(3).uniform((-90, -180), (90, 180), size=(200, 2))
    alone = spherical_mean(coords).tolist()
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    for n_threads in ("1", "2", "3", "7"):
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", n_threads)
        assert spherical_mean(coords).tolist() == alone


@pytest.mark.parametrize(
    ("points", "mean", "km"),
    [
        ([(47.4, 8.5)], (47.4, 8.5), 1e-9),
        ([(0, 179), (0, -179)], (0.0, 180.0), 1e-7),
        ([(80, 0), (80, 90), (80, 180), (80, -90)], (90.0, 0.0), 1e-7),
        # Two thirds of the way along a small arc, to second order in its length.
        ([(0.0, 0.0), (0.0, 0.3), (0.0, 0.3)], (0.0, 0.2), 1e-4),
    ],
)
def test_known_means(points, mean, km):
    assert sphere.haversine(spherical_mean(points), mean)[0] <= km


@pytest.mark.parametrize(
    ("points", "first"),
    [
        ([(10.0, 170.0), (-10.0, -10.0)], (-10.0, -10.0)),
        ([(90.0, 0.0), (-90.0, 0.0)], (-90.0, 0.0)),
        ([(0.0, 120.0), (0.0, 0.0), (0.0, -120.0)], (0.0, -120.0)),
        ([(0.0, 90.0), (0.0, -90.0), (0.0, 0.0), (0.0, 180.0)], (0.0, -90.0)),
    ],
)
def test_points_that_cancel_give_the_first_by_latitude_then_longitude(points, first):
    assert tuple(spherical_mean(points)) == first
    assert tuple(spherical_mean(points[::-1])) == first


def test_mean_of_no_points_is_refused():
    with pytest.raises(ValueError, match="mean of no points"):
        spherical_mean(np.empty((0, 2)))


@given(coordinates(), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_sums_by_label_count_and_average_each_label_alone(coords, n_labels, seed):
    labels = np.random.default_rng(seed).integers(-1, n_labels, size=len(coords))
    sums = SphereSums.from_coords(coords, labels, n_labels)
    means, lengths = sums.means()
    for label in range(n_labels):
        own = [tuple(point) for point in coords[labels == label]]
        assert sums.counts[label] == len(own)
        if own:
            # 5e-14 a vector, as above.
            assert lengths[label] == pytest.approx(naive.resultant(own), abs=1e-13)
            if lengths[label] > 1e-6:
                distance = sphere.haversine(means[label], naive.spherical_mean(own))[0]
                assert distance <= SAME_PLACE_KM / lengths[label]


@given(coordinates(max_rows=60), st.integers(0, 2**32 - 1))
def test_whole_weights_equal_repeated_rows(coords, seed):
    weights = np.random.default_rng(seed).integers(0, 4, size=len(coords))
    labels = np.arange(len(coords)) % 3
    weighted = SphereSums.from_coords(coords, labels, 3, weights)
    repeated = SphereSums.from_coords(
        np.repeat(coords, weights, axis=0), np.repeat(labels, weights), 3
    )
    assert weighted.scale == repeated.scale
    assert np.array_equal(weighted.sums, repeated.sums)
    assert np.array_equal(weighted.counts, repeated.counts)


def test_huge_weights_do_not_overflow():
    coords = np.array([(0.0, 0.0), (0.0, 90.0)])
    sums = SphereSums.from_coords(coords, np.array([0, 0]), 1, np.array([2**51, 2**51]))
    means, lengths = sums.means()
    assert sums.counts.tolist() == [2**52]
    # The scale is down to a few hundred units here, so the mean is good to a part in a hundred only.
    assert means[0] == pytest.approx((0.0, 45.0), abs=1.0)
    assert lengths[0] == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_merging_labels_adds_their_sums_and_drops_minus_one():
    coords = np.array([(0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0)])
    sums = SphereSums.from_coords(coords, np.arange(4), 4)
    merged = sums.merged(np.array([0, 0, -1, 1]), 2)
    assert merged.counts.tolist() == [2, 1]
    assert merged.means()[0] == pytest.approx(np.array([(5.0, 0.0), (30.0, 0.0)]), abs=1e-12)


def test_points_of_vectors_are_the_same_wherever_the_memory_lies():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(140, 3))
    kept, found = [], set()
    for _ in range(10_000):
        kept = [*kept[-40:], np.empty(rng.integers(1, 3_000))]
        found.add(from_unit_vectors(vectors.copy()).tobytes())
    assert len(found) == 1
