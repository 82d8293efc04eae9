"""The nearest hash within a few bits: never missed, against comparing all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc_models.tables import hamming as _hamming
from geoloc_models.tables.hamming import MAX_DISTANCE, n_different_bits, nearest_within


def nearest_slowly(queries, targets, max_distance):
    found = []
    for query in queries.tolist():
        distances = [(query ^ target).bit_count() for target in targets.tolist()]
        near = [(d, place) for place, d in enumerate(distances) if d <= max_distance]
        found.append(min(near, default=(-1, -1))[::-1])
    return found


def hashes(n, seed):
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def flipped(values, n_bits, seed):
    """Each hash with exactly ``n_bits`` bits changed."""
    rng = np.random.default_rng(seed)
    masks = [sum(1 << int(bit) for bit in rng.choice(64, n_bits, replace=False)) for _ in values]
    return values ^ np.array(masks, dtype=np.uint64)


def check(queries, targets, max_distance):
    target, distance = nearest_within(queries, targets, max_distance)
    expected = nearest_slowly(queries, targets, max_distance)
    assert list(zip(target.tolist(), distance.tolist(), strict=True)) == expected


@pytest.mark.parametrize("max_distance", range(MAX_DISTANCE + 1))
def test_nothing_within_the_distance_is_missed_and_nothing_beyond_is_found(max_distance):
    targets = hashes(60, 0)
    queries = np.concatenate(
        [flipped(targets, n_bits, n_bits) for n_bits in range(max_distance + 3)]
    )
    check(queries, targets, max_distance)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 8), st.integers(1, 4))
def test_crowded_hashes_give_the_nearest_and_first(seed, max_distance, n_centres):
    # Few centres, few changed bits: many ties, many candidates.
    rng = np.random.default_rng(seed)
    centres = hashes(n_centres, seed)
    near = [
        flipped(centres[rng.integers(0, n_centres, 40)], int(n), int(n))
        for n in rng.integers(0, 9, 4)
    ]
    values = rng.permutation(np.concatenate(near))
    check(values[:60], values[60:], max_distance)


def test_bits_that_differ_are_spread_over_the_bands_in_every_way():
    # One target; queries differ in 6 bits that lie in one, two, three or all bands.
    target = hashes(1, 1)
    for n_bands in (1, 2, 3, 4):
        for shift in range(4):
            bits = [4 * (k // n_bands) + (k % n_bands + shift) % 4 for k in range(6)]
            query = target ^ np.uint64(sum(1 << bit for bit in bits))
            assert nearest_within(query, target, 6)[1].tolist() == [6]
            assert nearest_within(query, target, 5)[1].tolist() == [-1]


def test_the_order_of_blocks_does_not_matter(monkeypatch):
    values = np.concatenate(
        [np.repeat(hashes(3, 0), 30), flipped(np.repeat(hashes(3, 0), 30), 2, 0)]
    )
    whole = nearest_within(values[::2], values[1::2], 4)
    monkeypatch.setattr(_hamming, "_CANDIDATES_AT_A_TIME", 7)
    np.testing.assert_array_equal(nearest_within(values[::2], values[1::2], 4), whole)


def test_no_hashes_have_no_neighbours_and_distances_out_of_range_are_refused():
    none = np.empty(0, dtype=np.uint64)
    assert nearest_within(none, hashes(3, 0), 6)[0].shape == (0,)
    assert nearest_within(hashes(2, 0), none, 6)[0].tolist() == [-1, -1]
    for max_distance in (-1, MAX_DISTANCE + 1):
        with pytest.raises(ValueError, match="max_distance"):
            nearest_within(hashes(1, 0), hashes(1, 0), max_distance)


def test_differing_bits_are_counted():
    left = np.array([[0, 1], [2**64 - 1, 5]], dtype=np.uint64)
    right = np.array([[0, 0], [0, 6]], dtype=np.uint64)
    assert n_different_bits(left, right).tolist() == [[0, 1], [64, 2]]
