"""Heat maps and the competition of hot spots, seen on codes; geography plays no part here."""

from __future__ import annotations

import naive_bottom_up
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.cells import Ranges
from geocells.constructions import (
    PrioritizedRanges,
    bin_codes,
    bottom_up,
    heat_maps,
)
from geocells.moments import moments_by_label

Place = tuple[int, int]


@st.composite
def images(draw: st.DrawFn, leaf_level: int = 4) -> list[Place]:
    """Leaves of images, crowded towards a few of them, borders included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = rng.integers(0, 2**leaf_level, size=(draw(st.integers(1, 40)), 2))
    if draw(st.booleans()):
        places[: len(places) // 2] = rng.choice([0, 2**leaf_level - 1], size=(len(places) // 2, 2))
    chosen = places[rng.integers(len(places), size=draw(st.integers(1, 90)))]
    return [(int(row), int(column)) for row, column in chosen]


def codes_of(places: list[Place]) -> np.ndarray:
    return np.array([naive_bottom_up.morton(*place) for place in places], dtype=np.uint64)


def fast(
    places: list[Place],
    feats: np.ndarray,
    leaf_level: int,
    deepest: int,
    *,
    min_images: int,
    overlap: int,
    competition: str = "level",
    rank_by: str = "mean_wcss",
) -> tuple[PrioritizedRanges, np.ndarray]:
    """Windows as ranges, and the window that each image belongs to (-1: none)."""
    codes = codes_of(places)
    maps = heat_maps(
        bin_codes(codes, 2 * leaf_level),
        leaf_level,
        deepest,
        overlap=overlap,
        min_images=min_images,
    )
    owner = Ranges.flatten(maps.node_ranges()).cell_of_codes(codes)
    n_nodes = len(maps.node_level)
    assert np.array_equal(np.bincount(owner[owner >= 0], minlength=n_nodes), maps.own_counts)
    moments = moments_by_label(feats, owner, n_nodes)
    ranges = bottom_up(
        maps, moments, min_images=min_images, competition=competition, rank_by=rank_by
    )
    return ranges, Ranges.flatten(ranges).cell_of_codes(codes)


@given(
    places=images(),
    seed=st.integers(0, 2**32 - 1),
    min_images=st.integers(1, 12),
    overlap=st.sampled_from([1, 2, 4]),
    competition=st.sampled_from(["level", "all"]),
    rank_by=st.sampled_from(["mean_wcss", "wcss", "count"]),
    whole_features=st.booleans(),
    spare_level=st.integers(0, 1),
)
def test_winners_are_those_of_the_slow_twin(
    places: list[Place],
    seed: int,
    min_images: int,
    overlap: int,
    competition: str,
    rank_by: str,
    whole_features: bool,
    spare_level: int,
) -> None:
    rng = np.random.default_rng(seed)
    # Few whole values make many ties, real ones make none.
    feats = (
        rng.integers(0, 3, (len(places), 2)).astype(float)
        if whole_features
        else rng.normal(size=(len(places), 3))
    )
    deepest = 4 - (overlap.bit_length() - 1) - spare_level
    options = {
        "min_images": min_images,
        "overlap": overlap,
        "competition": competition,
        "rank_by": rank_by,
    }
    windows, winner = fast(places, feats, 4, deepest, **options)
    twins = naive_bottom_up.bottom_up(places, feats, 4, deepest, **options)
    assert windows.levels.tolist() == [twin.level for twin in twins]
    expected = np.full(len(places), -1)
    for number, twin in enumerate(twins):
        expected[list(twin.images)] = number
    assert winner.tolist() == expected.tolist()


# Leaves in a row; windows of two leaves' width overlap in the middle.
ALIKE_RIGHT = np.array([[0.0], [0.0], [5.0], [5.0], [5.1], [5.1]])
TWO_LOOKS = np.array([[0.0]] * 4 + [[9.0]] * 3)


@pytest.mark.parametrize(
    ("counts", "feats", "rank_by", "expected"),
    [
        ((2, 2, 2), ALIKE_RIGHT, "mean_wcss", [-1, -1, 0, 0, 0, 0]),
        ((2, 2, 2), ALIKE_RIGHT[::-1], "mean_wcss", [0, 0, 0, 0, -1, -1]),
        ((2, 2, 2), np.zeros((6, 1)), "mean_wcss", [0, 0, 0, 0, -1, -1]),  # the lowest code
        ((2, 2, 3), TWO_LOOKS, "count", [-1, -1, 0, 0, 0, 0, 0]),
        ((2, 2, 3), TWO_LOOKS, "mean_wcss", [0, 0, 0, 0, -1, -1, -1]),
    ],
)
def test_the_most_cohesive_or_the_hottest_spot_wins(
    counts: tuple[int, ...], feats: np.ndarray, rank_by: str, expected: list[int]
) -> None:
    places = [(0, column) for column, count in enumerate(counts) for _ in range(count)]
    _, winner = fast(places, feats.copy(), 2, 1, min_images=4, overlap=2, rank_by=rank_by)
    assert winner.tolist() == expected


def test_a_winner_takes_the_empty_part_of_its_window_too() -> None:
    windows, _ = fast([(1, 1)] * 3, np.zeros((3, 1)), 3, 2, min_images=3, overlap=2)
    assert windows.n_cells == 1
    assert (windows.stops - windows.starts).sum() == 4


@pytest.mark.parametrize("overlap", [1, 2, 4])
def test_too_few_images_make_no_window(overlap: int) -> None:
    maps = heat_maps(bin_codes(codes_of([(3, 3)] * 4), 8), 4, 2, overlap=overlap, min_images=5)
    assert len(maps.window_level) == 0
    assert len(maps.node_level) == 0
