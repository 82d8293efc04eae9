"""Both walks, seen as the claims they make on codes; geography plays no part here."""

from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.claims import Claims
from geocells.constructions import Bins, bin_codes, consolidate, top_down

# A square whose leaves at level D are 1 x 1, so that rows and columns of leaves are coordinates.
LEAF_LEVEL = 4
SIDE = 2**LEAF_LEVEL
SQUARE = naive.Grid(0.0, 0.0, float(SIDE), float(SIDE), LEAF_LEVEL)


@st.composite
def images(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Middles of leaves, crowded towards a few of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_images = draw(st.integers(1, 150))
    places = rng.integers(0, SIDE, size=(draw(st.integers(1, 30)), 2))
    return [
        (row + 0.5, column + 0.5)
        for row, column in places[rng.integers(len(places), size=n_images)].tolist()
    ]


def bins_of(points: list[tuple[float, float]]) -> Bins:
    return bin_codes(
        np.array([SQUARE.encode(point) for point in points], dtype=np.uint64), 2 * LEAF_LEVEL
    )


def as_set(claims: Claims) -> set[tuple[int, int, int]]:
    return set(
        zip(claims.starts.tolist(), claims.stops.tolist(), claims.levels.tolist(), strict=True)
    )


def twin_set(cells: list[naive.Cell]) -> set[tuple[int, int, int]]:
    return {(*cell.claim(SQUARE, 0)[:2], cell.level) for cell in cells}


def whole(points: list[tuple[float, float]]) -> naive.Cell:
    return naive.Cell(0, 0, 0, list(range(len(points))))


def held(claims: Claims, bins: Bins) -> list[int]:
    """Images that each cell wins, code by code."""
    triples = list(
        zip(claims.starts.tolist(), claims.stops.tolist(), claims.cells.tolist(), strict=True)
    )
    won = [0] * claims.n_cells
    for code, count in zip(bins.codes.tolist(), bins.counts.tolist(), strict=True):
        cell = naive.owner(triples, code)
        if cell >= 0:
            won[cell] += count
    return won


def test_top_down_splits_while_a_child_holds_enough():
    # Quarter by quarter: 2, 1, 0 and 1 images. No quarter holds 3, so the root stays whole; with 2 wanted it splits,
    # and so does its first quarter, whose first leaf holds 2.
    bins = bin_codes(np.array([0, 0, 5, 15], dtype=np.uint64), 4)
    assert as_set(top_down(bins, 0, 2, 2, min_images=3)) == {(0, 16, 0)}
    claims = top_down(bins, 0, 2, 2, min_images=2)
    assert as_set(claims) == {(0, 1, 2), (4, 8, 1), (12, 16, 1)}


def test_max_images_splits_by_its_own_rule_and_drops_short_leaves():
    bins = bin_codes(np.array([0, 0, 1, 5, 15], dtype=np.uint64), 4)
    assert as_set(top_down(bins, 0, 2, 2, min_images=1, max_images=5)) == {(0, 16, 0)}
    assert as_set(top_down(bins, 0, 2, 2, min_images=1, max_images=3)) == {
        (0, 4, 1), (4, 8, 1), (12, 16, 1),
    }  # fmt: skip
    assert as_set(top_down(bins, 0, 2, 2, min_images=2, max_images=3)) == {(0, 4, 1)}


def test_short_leaves_hand_their_images_to_the_parent_around_its_children():
    # Quarter 0 splits into leaf 0 (2 images) and leaf 1 (1 image); the short leaf and quarter 3 make the root.
    bins = bin_codes(np.array([0, 0, 1, 15], dtype=np.uint64), 4)
    claims = consolidate(bins, 0, 2, 2, min_images=2)
    assert claims.starts.tolist() == [0, 0]
    assert claims.stops.tolist() == [1, 16]
    assert claims.levels.tolist() == [2, 0]


def test_what_reaches_the_root_short_stays_unclaimed():
    bins = bin_codes(np.array([0, 0, 15], dtype=np.uint64), 4)
    assert as_set(consolidate(bins, 0, 2, 2, min_images=2)) == {(0, 1, 2)}


def test_nothing_is_claimed_when_the_root_is_short():
    bins = bin_codes(np.array([0, 7], dtype=np.uint64), 4)
    assert consolidate(bins, 0, 2, 2, min_images=3).n_cells == 0
    assert top_down(bins, 0, 2, 2, min_images=3, max_images=9).n_cells == 0


@pytest.mark.parametrize("construct", [top_down, consolidate])
def test_an_empty_root_makes_no_cells(construct):
    bins = bin_codes(np.array([3], dtype=np.uint64), 6)
    assert construct(bins, 16, 2, 2, min_images=1).n_cells == 0


@given(images(), st.integers(1, 40))
def test_top_down_equals_the_twin(points, min_images):
    claims = top_down(bins_of(points), 0, LEAF_LEVEL, LEAF_LEVEL, min_images=min_images)
    assert as_set(claims) == twin_set(naive.top_down(SQUARE, whole(points), points, min_images))


@given(images(), st.integers(1, 20), st.integers(0, 20))
def test_top_down_with_max_images_equals_the_twin(points, min_images, extra):
    claims = top_down(
        bins_of(points), 0, LEAF_LEVEL, LEAF_LEVEL,
        min_images=min_images, max_images=min_images + extra,
    )  # fmt: skip
    leaves = naive.top_down(SQUARE, whole(points), points, min_images, min_images + extra)
    assert as_set(claims) == twin_set([leaf for leaf in leaves if len(leaf.members) >= min_images])


@given(images(), st.integers(1, 40))
def test_consolidate_equals_the_twin(points, min_images):
    claims = consolidate(bins_of(points), 0, LEAF_LEVEL, LEAF_LEVEL, min_images=min_images)
    cells, _ = naive.consolidate(SQUARE, whole(points), points, min_images)
    assert as_set(claims) == twin_set(cells)
    assert held(claims, bins_of(points)) == [len(cell.members) for cell in cells]


@given(images(), st.integers(1, 40))
def test_every_consolidated_cell_wins_enough_images(points, min_images):
    bins = bins_of(points)
    claims = consolidate(bins, 0, LEAF_LEVEL, LEAF_LEVEL, min_images=min_images)
    assert all(n_images >= min_images for n_images in held(claims, bins))
    assert len(points) - sum(held(claims, bins)) < min_images


@given(images(), st.integers(1, 20), st.integers(0, LEAF_LEVEL))
def test_no_cell_is_deeper_than_asked(points, min_images, deepest):
    bins = bins_of(points)
    shallow = naive.Grid(0.0, 0.0, float(SIDE), float(SIDE), deepest)
    factor = 4 ** (LEAF_LEVEL - deepest)
    for construct, cells in [
        (top_down, naive.top_down(shallow, whole(points), points, min_images)),
        (consolidate, naive.consolidate(shallow, whole(points), points, min_images)[0]),
    ]:
        claims = construct(bins, 0, LEAF_LEVEL, deepest, min_images=min_images)
        twins = [(*cell.claim(shallow, 0)[:2], cell.level) for cell in cells]
        assert as_set(claims) == {(a * factor, b * factor, level) for a, b, level in twins}


@given(images(), st.integers(1, 20), st.integers(1, 5))
def test_a_root_further_along_the_codes_makes_the_same_cells_there(points, min_images, face):
    bins = bins_of(points)
    root = face * 4**LEAF_LEVEL
    moved = Bins(bins.codes + np.uint64(root), bins.totals)
    for construct in (top_down, consolidate):
        here = construct(bins, 0, LEAF_LEVEL, LEAF_LEVEL, min_images=min_images)
        there = construct(moved, root, LEAF_LEVEL, LEAF_LEVEL, min_images=min_images)
        assert np.array_equal(here.starts + np.uint64(root), there.starts)
        assert np.array_equal(here.stops + np.uint64(root), there.stops)


def test_cells_at_level_31_are_one_code_wide():
    code = 4**31 - 1
    bins = bin_codes(np.array([code, code, 0], dtype=np.uint64), 62)
    assert as_set(consolidate(bins, 0, 31, 31, min_images=2)) == {(code, code + 1, 31)}
