from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.cells import Ranges
from geocells.cells.ranges import quadtree_cells
from geocells.constructions import PrioritizedRanges

LEVELS = 4
N_CODES = 4**LEVELS


@st.composite
def nested_claims(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Quadtree cells in any order, some equal, several claims a cell."""
    claims = []
    for _ in range(draw(st.integers(0, 25))):
        span = 4 ** draw(st.integers(0, LEVELS))
        start = draw(st.integers(0, N_CODES // span - 1)) * span
        claims.append((start, start + span, draw(st.integers(0, 9))))
    return claims


def as_claims(claims: list[tuple[int, int, int]], offset: int = 0) -> PrioritizedRanges:
    starts, stops, cells = np.array(claims, dtype=np.int64).reshape(-1, 3).T
    return PrioritizedRanges(
        (starts + offset).astype(np.uint64),
        (stops + offset).astype(np.uint64),
        np.ascontiguousarray(cells),
        np.zeros(10, dtype=np.int64),
    )


def ranges_of(*triples: tuple[int, int, int]) -> Ranges:
    claims = as_claims(list(triples))
    return Ranges.from_disjoint(claims.starts, claims.stops, claims.cells)


def triples(ranges: Ranges) -> list[tuple[int, int, int]]:
    return list(
        zip(ranges.starts.tolist(), ranges.stops.tolist(), ranges.cells.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("claims", "flat"),
    [
        # An earlier small claim is a hole in a later large one; a later small one gets nothing.
        ([(4, 8, 0), (0, 16, 1)], [(0, 4, 1), (4, 8, 0), (8, 16, 1)]),
        ([(0, 16, 1), (4, 8, 0)], [(0, 16, 1)]),
        ([(4, 8, 3), (4, 8, 2)], [(4, 8, 3)]),
        # Neighbours of one cell are one range, what is left of a claim too.
        ([(4, 8, 0), (0, 4, 0), (8, 12, 1)], [(0, 8, 0), (8, 12, 1)]),
        ([(0, 4, 1), (8, 12, 0), (0, 16, 1)], [(0, 8, 1), (8, 12, 0), (12, 16, 1)]),
    ],
)
def test_claims_are_flattened_in_order_of_priority(claims, flat):
    assert triples(Ranges.flatten(as_claims(claims))) == flat


@given(nested_claims())
def test_flat_ranges_give_every_code_to_the_owner_that_the_twin_finds(claims):
    ranges = Ranges.flatten(as_claims(claims))
    codes = np.arange(N_CODES, dtype=np.uint64)
    assert ranges.cell_of_codes(codes).tolist() == naive.flatten(claims, N_CODES)


@given(nested_claims())
def test_flat_ranges_are_disjoint_sorted_and_joined(claims):
    flat = triples(Ranges.flatten(as_claims(claims)))
    for start, stop, _ in flat:
        assert start < stop
    for (_, stop, cell), (start, _, next_cell) in zip(flat[:-1], flat[1:], strict=True):
        assert stop <= start
        assert stop < start or cell != next_cell


@given(nested_claims(), st.sampled_from([2**20, 2**31, 2**40, 4**31 - 4**LEVELS]))
def test_ranges_far_along_the_codes_are_found_too(claims, offset):
    ranges = Ranges.flatten(as_claims(claims, offset))
    codes = np.arange(N_CODES, dtype=np.uint64) + np.uint64(offset)
    assert ranges.cell_of_codes(codes).tolist() == naive.flatten(claims, N_CODES)
    below = np.array([0, offset // 2, offset - 1], dtype=np.uint64)
    assert (ranges.cell_of_codes(below) == -1).all()


@given(
    st.lists(st.integers(0, 4**31 - 1), min_size=2, max_size=40, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_ranges_of_any_length_equal_a_scan(edges, seed):
    edges = sorted(edges)
    cells = np.random.default_rng(seed).integers(-1, 5, size=len(edges) - 1).tolist()
    claims = [
        (start, stop, cell)
        for start, stop, cell in zip(edges[:-1], edges[1:], cells, strict=True)
        if cell >= 0
    ]
    ranges = ranges_of(*claims)
    probes = sorted({probe for edge in edges for probe in (edge - 1, edge, edge + 1) if probe >= 0})
    found = ranges.cell_of_codes(np.array(probes, dtype=np.uint64)).tolist()
    assert found == [naive.owner(claims, probe) for probe in probes]


@pytest.mark.parametrize("bits", [12, 30, 62])
def test_many_short_ranges_equal_a_search(bits):
    # More pages of a level than the table has room for at first.
    rng = np.random.default_rng(bits)
    starts = np.sort(rng.choice(2**12, 300, replace=False)).astype(np.uint64) << np.uint64(
        bits - 12
    )
    stops = starts + np.uint64(1)
    ranges = Ranges.from_disjoint(starts, stops, np.arange(300))
    around = [starts - np.uint64(1), starts, stops]
    codes = np.concatenate([*around, rng.integers(0, 2**bits, 200).astype(np.uint64)])
    place = np.searchsorted(starts, codes, side="right") - 1
    inside = (place >= 0) & (codes < stops[np.maximum(place, 0)])
    assert np.array_equal(ranges.cell_of_codes(codes), np.where(inside, place, -1))


def test_ranges_that_run_far_past_their_page_are_found():
    ranges = ranges_of((3, 2**60 + 5, 0), (2**61 + 1, 2**62 - 1, 1))
    probes = [0, 2, 3, 2**40, 2**60 + 4, 2**60 + 5, 2**61, 2**61 + 1, 2**62 - 2, 2**62 - 1]
    found = ranges.cell_of_codes(np.array(probes, dtype=np.uint64)).tolist()
    assert found == [-1, -1, 0, 0, 0, -1, -1, 1, 1, -1]


def test_the_code_outside_the_grid_belongs_to_no_cell():
    ranges = ranges_of((0, N_CODES, 0))
    assert ranges.cell_of_codes(np.array([2**64 - 1, 0], dtype=np.uint64)).tolist() == [-1, 0]
    assert ranges.cell_of_codes(np.array([2**32 - 1, 0], dtype=np.uint32)).tolist() == [-1, 0]


def test_no_ranges_hold_no_codes():
    ranges = Ranges.flatten(as_claims([]))
    assert len(ranges) == 0
    assert ranges.cell_of_codes(np.array([0, 5], dtype=np.uint64)).tolist() == [-1, -1]
    assert len(ranges_of()) == len(ranges.renamed(np.arange(3))) == 0


def test_threads_do_not_change_what_is_found(monkeypatch):
    ranges = ranges_of((0, 50, 1), (60, 70, 0), (70, 255, 2))
    codes = np.random.default_rng(0).integers(0, 300, size=303).astype(np.uint64)
    alone = ranges.cell_of_codes(codes)
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "3")
    assert np.array_equal(ranges.cell_of_codes(codes), alone)


@given(nested_claims())
def test_gaps_are_the_codes_of_nobody(claims):
    ranges = Ranges.flatten(as_claims(claims))
    starts, stops = ranges.gaps(0, N_CODES)
    free = {
        code for a, b in zip(starts.tolist(), stops.tolist(), strict=True) for code in range(a, b)
    }
    owners = naive.flatten(claims, N_CODES)
    assert free == {code for code in range(N_CODES) if owners[code] < 0}


def test_gaps_of_a_part_of_the_codes_stay_in_it():
    ranges = ranges_of((4, 8, 0), (20, 24, 1))
    starts, stops = ranges.gaps(16, 32)
    assert list(zip(starts.tolist(), stops.tolist(), strict=True)) == [(16, 20), (24, 32)]


@given(nested_claims())
def test_first_codes_are_the_lowest_of_each_cell(claims):
    owners = naive.flatten(claims, N_CODES)
    first = Ranges.flatten(as_claims(claims)).first_codes(10).tolist()
    assert first == [owners.index(cell) if cell in owners else 2**64 - 1 for cell in range(10)]


def test_renamed_cells_that_become_one_are_joined():
    renamed = ranges_of((0, 4, 0), (4, 8, 1), (8, 9, 2)).renamed(np.array([5, 5, 1]))
    assert triples(renamed) == [(0, 8, 5), (8, 9, 1)]


@pytest.mark.parametrize(
    "claims",
    [
        [(0, 8, 0), (4, 12, 1)],
        [(0, 8, 0), (0, 8, 0)],
        [(0, 4, 0), (4, 12, 1), (8, 16, 2)],
        [(4, 4, 0)],
        [(8, 4, 0)],
    ],
)
def test_ranges_that_overlap_or_are_empty_are_refused(claims):
    with pytest.raises(ValueError, match="overlap or are empty"):
        ranges_of(*claims)


def cut(*bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, levels and ranges of the quadtree cells of ranges."""
    kinds = (np.uint64, np.int64, np.int64)
    n = quadtree_cells(*bounds, *(np.empty(0, kind) for kind in kinds))
    columns = codes, levels, owners = tuple(np.empty(n, kind) for kind in kinds)
    assert quadtree_cells(*bounds, *columns) == n
    return codes, levels, owners


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 96, [(16 * face, 0) for face in range(6)]),  # no cell is wider than a root
        (3, 21, [(3, 2), (4, 1), (8, 1), (12, 1), (16, 1), (20, 2)]),
        (5, 6, [(5, 2)]),
        (7, 7, []),
    ],
)
def test_a_range_is_cut_into_the_fewest_quadtree_cells(start, stop, expected):
    bounds = np.array([[start], [stop]], dtype=np.uint64)
    codes, levels, owners = cut(*bounds, np.array([2]))
    assert list(zip(codes.tolist(), levels.tolist(), strict=True)) == expected
    assert not owners.any()


def test_many_quadtree_cells_keep_the_ranges_they_come_from():
    starts = np.arange(1, 1001, 5, dtype=np.uint64)
    codes, levels, owners = cut(starts, starts + np.uint64(1), np.full(200, 5))
    assert np.array_equal(codes, starts)
    assert np.array_equal(owners, np.arange(200))
    assert (levels == 5).all()
