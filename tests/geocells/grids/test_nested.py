from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, coordinates, coordinates_in

from geocells.grids import GroupedGrid, LatLonGrid, S2Grid, coarsened, common_grid, refined


@given(st.data(), boxes, st.integers(0, 12), st.integers(0, 12))
def test_codes_without_their_last_bits_are_those_of_the_coarser_grid(data, box, level, more):
    coords = data.draw(coordinates_in(box))
    coarse = GroupedGrid((LatLonGrid(*box, max_level=level),))
    fine = GroupedGrid((LatLonGrid(*box, max_level=level + more),))
    codes = coarsened(fine.encode(coords), fine, coarse)
    assert codes.dtype == coarse.code_type
    assert np.array_equal(codes, coarse.encode(coords))


@given(coordinates(), st.integers(0, 30), st.integers(0, 30))
def test_s2_codes_without_their_last_bits_are_those_of_the_coarser_grid(coords, one, other):
    coarse, fine = (GroupedGrid((S2Grid(level),)) for level in sorted((one, other)))
    assert np.array_equal(
        coarsened(fine.encode(coords), fine, coarse), coarse.encode(coords).astype(coarse.code_type)
    )


def test_groups_keep_their_numbers_and_outside_stays_outside():
    here, there = LatLonGrid(0, 0, 8, 8, 3), LatLonGrid(10, 10, 20, 20, 1)
    coarse = GroupedGrid((here, there))
    fine = GroupedGrid((LatLonGrid(0, 0, 8, 8, 16), LatLonGrid(10, 10, 20, 20, 17)))
    assert fine.code_type is np.uint64
    coords = np.array([(1.0, 7.0), (19.0, 11.0), (50.0, 50.0), (1.0, 1.0), (20.0, 20.0)])
    groups = np.array([0, 1, 1, -1, 1])
    expected = coarse.encode(coords, groups)
    assert np.array_equal(coarsened(fine.encode(coords, groups), fine, coarse), expected)


@given(st.integers(0, 63), st.integers(1, 5), st.integers(0, 1))
def test_refined_ranges_hold_the_same_leaves(start, more, group):
    coarse = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3),) * 2)
    fine = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3 + more),) * 2)
    first = np.array([coarse.group_start(group) + start], dtype=np.uint64)
    starts, stops = refined(first, first + np.uint64(1), coarse, fine)
    inner = np.arange(starts[0], stops[0], dtype=np.uint64)
    assert len(inner) == 4**more
    assert (coarsened(inner, fine, coarse) == first[0]).all()


def test_the_common_grid_has_the_deepest_leaves_of_each_group():
    shallow = GroupedGrid((LatLonGrid(0, 0, 8, 8, 3), S2Grid(9)))
    deep = GroupedGrid((LatLonGrid(0, 0, 8, 8, 5), S2Grid(2)))
    expected = GroupedGrid((LatLonGrid(0, 0, 8, 8, 5), S2Grid(9)))
    assert common_grid([shallow, deep]) == common_grid([deep, shallow]) == expected
    assert common_grid([shallow]) == shallow


def test_grids_with_other_roots_have_no_common_grid():
    one, other = LatLonGrid(0, 0, 8, 8, 3), LatLonGrid(0, 0, 8, 9, 3)
    with pytest.raises(ValueError, match="must share their root box"):
        common_grid([GroupedGrid((one,)), GroupedGrid((other,))])
    with pytest.raises(ValueError, match="must share their root box"):
        common_grid([GroupedGrid((one,)), GroupedGrid((S2Grid(3),))])
    with pytest.raises(ValueError, match="must have the same groups"):
        common_grid([GroupedGrid((one,)), GroupedGrid((one, one))])
