"""What holds for every grid; one of one's own comes into ``GRIDS``."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from partitions import drawn_cells
from strategies import coordinates

from geocells import HealpixGrid, LatLonGrid, S2Grid
from geocells.grids import OUTSIDE, grid_from_dict, n_codes
from geocells.grids.base import morton

GRIDS = {
    "latlon": functools.partial(LatLonGrid, -90, -180, 90, 180),
    "latlon over the antimeridian": functools.partial(LatLonGrid, -90, 10, 90, 9),
    "latlon up to the antimeridian": functools.partial(LatLonGrid, -90, 90, 90, -180),
    "latlon from the antimeridian": functools.partial(LatLonGrid, -90, 180, 90, -90),
    "s2": S2Grid,
    "healpix": HealpixGrid,
}
COORDS = np.random.default_rng(0).uniform((-90, -180), (90, 180), size=(203, 2))


@pytest.fixture(params=GRIDS)
def make(request):
    return GRIDS[request.param]


@given(coordinates(), st.integers(0, 29), st.integers(0, 29), st.sampled_from(sorted(GRIDS)))
def test_codes_without_their_last_bits_are_those_of_the_coarser_grid(coords, one, other, name):
    coarse, fine = (GRIDS[name](level) for level in sorted((one, other)))
    codes = fine.encode(coords)
    shortened = codes >> np.uint64(2 * (fine.max_level - coarse.max_level))
    assert np.array_equal(np.where(codes == OUTSIDE, OUTSIDE, shortened), coarse.encode(coords))


def test_codes_do_not_depend_on_threads(make, monkeypatch):
    codes = make(20).encode(COORDS)
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "3")
    assert np.array_equal(make(20).encode(COORDS), codes)


def test_narrow_codes_equal_wide_ones_and_keep_them_in_morton_order(make):
    grid = make(12)
    inside = grid.encode(COORDS)
    inside = COORDS[inside < n_codes(grid)]
    narrow = grid.encode(inside, np.uint32)
    assert narrow.dtype == np.uint32
    assert np.array_equal(narrow, grid.encode(inside))
    with_one_outside = np.insert(narrow, 1, np.iinfo(np.uint32).max)
    assert np.array_equal(grid.from_morton(grid.to_morton(with_one_outside)), with_one_outside)


@pytest.mark.parametrize("level", [0, 1, 9, 29])
def test_both_names_of_the_antimeridian_have_one_code(make, level):
    latitudes = np.linspace(-90, 90, 181)
    east, west = (np.column_stack([latitudes, np.full(181, end)]) for end in (180.0, -180.0))
    codes = make(level).encode(east)
    assert np.array_equal(codes, make(level).encode(west))
    assert codes.max() < n_codes(make(level))


def test_no_rows_have_no_codes_and_no_polygons(make):
    grid, empty = make(5), np.empty((0, 2))
    codes = grid.encode(empty)
    assert len(codes) == len(grid.to_morton(codes)) == 0
    assert len(grid.union_polygons(codes, np.empty(0, np.int64), np.empty(0, np.int64), 0)) == 0


@pytest.mark.parametrize("coords", [[1.0, 2.0, 3.0], np.zeros((2, 3)), 47.4])
def test_only_pairs_are_encoded(make, coords):
    with pytest.raises(ValueError, match="pairs"):
        make(5).encode(coords)
    assert len(make(5).encode([1.0, 2.0])) == 1


def test_coordinates_and_codes_may_be_lists(make):
    grid, inside = make(4), COORDS[:9]
    codes = grid.encode(inside)
    assert grid.encode(inside.tolist()).tolist() == codes.tolist()


@pytest.mark.parametrize("level", [0, 1, 3])
def test_polygons_lie_on_the_map_to_the_last_bit(make, level):
    grid = make(5)
    codes = np.arange(n_codes(grid) // 4**5 * 4**level, dtype=np.uint64) << np.uint64(
        10 - 2 * level
    )
    assert (np.abs(shapely.get_coordinates(drawn_cells(grid, codes, level))) <= (180, 90)).all()


@pytest.mark.parametrize("level", [0, 7, 29])
def test_a_grid_survives_its_plain_values(make, level):
    assert grid_from_dict(make(level).to_dict()) == make(level)
    with pytest.raises(ValueError, match="Unknown grid type 'hexagons'"):
        grid_from_dict({"type": "hexagons"})


@pytest.mark.parametrize(("kind", "deepest"), [(LatLonGrid, 31), (S2Grid, 30), (HealpixGrid, 29)])
def test_levels_that_a_grid_has_not_are_refused(kind, deepest):
    assert kind(max_level=deepest).max_level == deepest
    for level in (-1, deepest + 1):
        with pytest.raises(ValueError, match=rf"max_level must lie in 0\.\.{deepest}"):
            kind(max_level=level)
    for level in (2.5, "2", None):
        with pytest.raises(TypeError, match="integer"):
            kind(max_level=level)
    with pytest.raises(ValueError, match=r"level must lie in 0\.\.30"):
        S2Grid().cell_ids(np.zeros((1, 2)), deepest + 2)


def test_bits_of_rows_and_columns_alternate_in_a_morton_code():
    rows, columns = np.array([0b0, 0b1, 0b11, 2**32 - 1]), np.array([0b1, 0b0, 0b10, 0])
    assert morton(rows, columns).tolist() == [0b01, 0b10, 0b1110, 0xAAAA_AAAA_AAAA_AAAA]
