"""Both walks, seen as the ranges they give to cells; geography plays no part here."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.constructions import Bins, PrioritizedRanges, bin_codes, consolidate, top_down

# A square whose leaves at level D are 1 x 1, so that rows and columns of leaves are coordinates.
LEAF_LEVEL = 4
SIDE = 2**LEAF_LEVEL
Points = list[tuple[float, float]]


@st.composite
def images(draw: st.DrawFn) -> Points:
    """Middles of leaves, crowded towards a few of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = rng.integers(0, SIDE, size=(draw(st.integers(1, 30)), 2)) + 0.5
    chosen = rng.integers(len(places), size=draw(st.integers(1, 150)))
    return [(row, column) for row, column in places[chosen].tolist()]


def square(deepest: int = LEAF_LEVEL) -> naive.Grid:
    return naive.Grid(0.0, 0.0, float(SIDE), float(SIDE), deepest)


def bins_of(points: Points) -> Bins:
    codes = [square().encode(point) for point in points]
    return bin_codes(np.array(codes, dtype=np.uint64), 2 * LEAF_LEVEL)


def bins(*codes: int) -> Bins:
    return bin_codes(np.array(codes, dtype=np.uint64), 62)


def as_list(ranges: PrioritizedRanges) -> list[tuple[int, int, int]]:
    return list(
        zip(ranges.starts.tolist(), ranges.stops.tolist(), ranges.levels.tolist(), strict=True)
    )


def twins(cells: list[naive.Cell], deepest: int = LEAF_LEVEL) -> set[tuple[int, int, int]]:
    factor = 4 ** (LEAF_LEVEL - deepest)
    ranges = [(*cell.code_range(square(deepest), 0)[:2], cell.level) for cell in cells]
    return {(start * factor, stop * factor, level) for start, stop, level in ranges}


def whole(points: Points) -> naive.Cell:
    return naive.Cell(0, 0, 0, list(range(len(points))))


@pytest.mark.parametrize(
    ("codes", "options", "expected"),
    [
        # Quarter by quarter: 2, 1, 0 and 1 images. No quarter holds 3, so the root stays whole; with 2 wanted it
        # splits, and so does its first quarter, whose first leaf holds 2.
        ((0, 0, 5, 15), {"min_images": 3}, {(0, 16, 0)}),
        ((0, 0, 5, 15), {"min_images": 2}, {(0, 1, 2), (4, 8, 1), (12, 16, 1)}),
        # With max_images a cell splits while it holds more, and short leaves are dropped.
        ((0, 0, 1, 5, 15), {"min_images": 1, "max_images": 5}, {(0, 16, 0)}),
        (
            (0, 0, 1, 5, 15),
            {"min_images": 1, "max_images": 3},
            {(0, 4, 1), (4, 8, 1), (12, 16, 1)},
        ),
        ((0, 0, 1, 5, 15), {"min_images": 2, "max_images": 3}, {(0, 4, 1)}),
        ((0, 7), {"min_images": 3, "max_images": 9}, set()),
        ((), {"min_images": 1}, set()),
    ],
)
def test_top_down_splits_while_a_child_holds_enough(codes, options, expected):
    assert set(as_list(top_down(bins(*codes), 2, 2, **options))) == expected


@pytest.mark.parametrize(
    ("codes", "min_images", "expected"),
    [
        # Quarter 0 splits into leaf 0 (2 images) and leaf 1 (1 image); the short leaf and quarter 3 make the root.
        ((0, 0, 1, 15), 2, [(0, 1, 2), (0, 16, 0)]),
        ((0, 0, 15), 2, [(0, 1, 2)]),  # what reaches the root short stays without a cell
        ((0, 7), 3, []),
        ((), 1, []),
    ],
)
def test_short_leaves_hand_their_images_to_the_parent_around_its_children(
    codes, min_images, expected
):
    assert as_list(consolidate(bins(*codes), 2, 2, min_images=min_images)) == expected


def test_cells_at_level_31_are_one_code_wide():
    code = 4**31 - 1
    images = bins(code, code, 0)
    assert as_list(consolidate(images, 31, 31, min_images=2)) == [(code, code + 1, 31)]
    assert (code, code + 1, 31) in as_list(top_down(images, 31, 31, min_images=2))


@given(images(), st.integers(1, 40), st.integers(0, LEAF_LEVEL), st.none() | st.integers(0, 20))
def test_top_down_equals_the_twin(points, min_images, deepest, extra):
    most = None if extra is None else min_images + extra
    options = {"min_images": min_images, "max_images": most}
    leaves = naive.top_down(square(deepest), whole(points), points, min_images, most)
    if most is not None:
        leaves = [leaf for leaf in leaves if len(leaf.members) >= min_images]
    cells = as_list(top_down(bins_of(points), LEAF_LEVEL, deepest, **options))
    assert set(cells) == twins(leaves, deepest)
    assert len(set(cells)) == len(cells)


@given(images(), st.integers(1, 40), st.integers(0, LEAF_LEVEL))
def test_consolidate_equals_the_twin(points, min_images, deepest):
    ranges = consolidate(bins_of(points), LEAF_LEVEL, deepest, min_images=min_images)
    cells, short = naive.consolidate(square(deepest), whole(points), points, min_images)
    assert set(as_list(ranges)) == twins(cells, deepest)
    # The first range that holds a code has it: every cell gets its enough, and less than that is left.
    in_order = [(*cell[:2], number) for number, cell in enumerate(as_list(ranges))]
    owners = [naive.owner(in_order, square().encode(point)) for point in points]
    assert all(owners.count(number) >= min_images for number in range(len(in_order)))
    assert owners.count(-1) == len(short) < min_images


def test_ranges_of_several_roots_are_numbered_one_after_the_other():
    first = PrioritizedRanges.from_cells(np.array([0, 1], np.uint64), np.array([1, 1]), 2)
    joined = PrioritizedRanges.concatenate(
        [first, PrioritizedRanges.from_cells(np.array([0], np.uint64), np.array([0]), 2)]
    )
    assert joined.cells.tolist() == [0, 1, 2]
    assert as_list(joined) == [(0, 4, 1), (4, 8, 1), (0, 16, 0)]
