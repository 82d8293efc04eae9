from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.grids import (
    GroupedGrid,
    HealpixGrid,
    LatLonGrid,
    S2Grid,
    common_grid,
    refined,
)

SMALL = LatLonGrid(0, 0, 8, 8, max_level=1)
LARGE = LatLonGrid(0, 0, 8, 8, max_level=3)


def test_groups_that_overlap_on_the_map_have_codes_apart():
    grid = GroupedGrid((SMALL, LARGE))
    coords = np.array([[7.0, 7.0], [7.0, 7.0], [1.0, 1.0], [0.5, 0.5]])
    codes = grid.encode(coords, np.array([0, 1, 1, 0]))
    assert codes.tolist() == [3, 64 + 63, 64 + 3, 0]
    # Worked by hand: at level 3, (7, 7) is the last leaf, 63; (1, 1) is row 1, column 1: code 3.
    assert grid.group_of_code(codes).tolist() == [0, 1, 1, 0]


def test_each_group_encodes_in_its_own_grid():
    grid = GroupedGrid((SMALL, LARGE))
    rng = np.random.default_rng(0)
    coords, groups = rng.uniform(0, 8, size=(50, 2)), rng.integers(0, 2, size=50)
    codes = grid.encode(coords, groups)
    for row in range(50):
        own = grid.grids[groups[row]].encode(coords[row : row + 1])[0]
        assert codes[row] == own + groups[row] * 64


def test_unknown_groups_and_places_outside_their_own_box_lie_outside():
    grid = GroupedGrid((SMALL, LatLonGrid(20, 20, 28, 28, max_level=1)))
    coords = np.array([[1.0, 1.0], [1.0, 1.0], [21.0, 21.0]])
    codes = grid.encode(coords, np.array([-1, 1, 1]))
    outside = np.iinfo(codes.dtype).max
    assert codes.tolist() == [outside, outside, 4]


def test_codes_have_room_for_every_group_and_one_more_for_outside():
    assert GroupedGrid((SMALL, LARGE)).group_start(1) == 64
    assert GroupedGrid((LARGE,)).code_bits == 6
    assert GroupedGrid((SMALL, LARGE)).code_bits == 7
    assert GroupedGrid((LatLonGrid(max_level=15),)).code_type is np.uint32
    assert GroupedGrid((LatLonGrid(max_level=16),)).code_type is np.uint64
    whole = LatLonGrid(max_level=0)
    assert GroupedGrid((whole,)).code_bits == 0
    assert GroupedGrid((whole, whole)).group_start(1) == 1


def test_levels_and_polygons_are_those_of_the_groups_own_grid():
    grid = GroupedGrid((SMALL, LatLonGrid(20, 20, 28, 28, max_level=3)))
    codes = np.array([64, 3], dtype=np.uint64)
    assert grid.max_level_of_code(codes).tolist() == [3, 1]
    polygons = grid.union_polygons(codes, np.array([1, 1]), np.array([0, 2]), 3)
    assert [polygons[k].bounds for k in (0, 2)] == [(20, 20, 24, 24), (4, 4, 8, 8)]
    assert polygons[1].is_empty


def test_cells_are_named_in_the_grid_of_their_group():
    grid = GroupedGrid((LARGE, HealpixGrid(3)))
    second = grid.group_start(1)
    codes = np.array([24, 63, second + 177, second], dtype=np.uint64)
    names = grid.names_of_cells(codes, np.array([2, 3, 2, 0]))
    assert names == ["12", "333", "2/44", "0/0"]


def test_no_grids_are_refused():
    with pytest.raises(ValueError, match="At least one grid"):
        GroupedGrid(())


def test_more_groups_than_the_codes_hold_are_refused():
    with pytest.raises(ValueError, match="63 bits a code; raise min_cell_size"):
        GroupedGrid((LatLonGrid(max_level=31),) * 3)


@given(st.integers(0, 63), st.integers(1, 5), st.integers(0, 1))
def test_refined_ranges_hold_the_same_leaves(start, more, group):
    coarse = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3),) * 2)
    fine = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3 + more),) * 2)
    first = np.array([coarse.group_start(group) + start], dtype=np.uint64)
    starts, stops = refined(first, first + np.uint64(1), coarse, fine)
    inner = np.arange(starts[0], stops[0], dtype=np.uint64)
    assert len(inner) == 4**more
    within = np.uint64((1 << fine.bits) - 1)
    assert (fine.group_of_code(inner) == group).all()
    assert ((inner & within) >> np.uint64(2 * more) == start).all()


def test_the_common_grid_has_the_deepest_leaves_of_each_group():
    shallow = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3), S2Grid(9)))
    deep = GroupedGrid((LatLonGrid(0, 0, 8, 8, 5), S2Grid(2)))
    expected = GroupedGrid((LatLonGrid(0, 0, 8, 8, 5), S2Grid(9)))
    assert common_grid([shallow, deep]) == common_grid([deep, shallow]) == expected
    assert common_grid([shallow]) == shallow


def test_grids_with_other_roots_have_no_common_grid():
    one, other = LatLonGrid(0, 0, 8, 8, 3), LatLonGrid(0, 0, 8, 9, 3)
    with pytest.raises(ValueError, match="must share their root box, so"):
        common_grid([GroupedGrid((one,)), GroupedGrid((other,))])
    with pytest.raises(ValueError, match="must share their root box of group 1, so"):
        common_grid([GroupedGrid((one, one)), GroupedGrid((one, other))])
    with pytest.raises(ValueError, match="must share their root box"):
        common_grid([GroupedGrid((one,)), GroupedGrid((S2Grid(3),))])
    with pytest.raises(ValueError, match="must have the same groups"):
        common_grid([GroupedGrid((one,)), GroupedGrid((one, one))])
