from __future__ import annotations

import naive
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from partitions import cell_boxes, drawn_cells
from strategies import boxes, coordinates, coordinates_in

from geocells import LatLonGrid
from geocells.grids import OUTSIDE, n_codes
from geocells.grids.bounds import box_of_coords
from geocells.grids.latlon import SMALLEST_SIDE, widened

levels = st.one_of(st.integers(0, 6), st.integers(0, 31))


def grid_of(box: tuple[float, float, float, float], max_level: int) -> LatLonGrid:
    """Grid of a level, or of the last one above it whose leaves float64 can tell apart."""
    return LatLonGrid(*box, min(max_level, LatLonGrid.with_cell_size(box, 1e-9).max_level))


ABOVE_8 = np.nextafter(8.0, 9.0)


@pytest.mark.parametrize(
    ("box", "max_level", "coords", "codes"),
    [
        # Quarters are numbered south-west, south-east, north-west, north-east, on every level.
        (
            (0, 0, 4, 4), 2, [(row + 0.5, column + 0.5) for row in range(4) for column in range(4)],
            [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15],
        ),
        # Southern and western edges belong to the cell, the box's last edges to its last cell.
        ((0, 0, 4, 4), 2, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (0, 4), (4, 0)], [0, 3, 12, 15, 15, 5, 10]),
        # A box over the antimeridian runs eastwards through it.
        (
            (0, 170, 8, -170), 1, [(1, 170), (1, 179.9), (1, 180), (1, -180), (1, -170), (1, 0), (1, 169.9)],
            [0, 0, 1, 1, 1, OUTSIDE, OUTSIDE],
        ),
        # Poles lie in the first and last rows.
        ((-90, -180, 90, 180), 2, [(-90, -180), (90, 179)], [0, 15]),
        (
            (0, 0, 8, 8), 3, [(ABOVE_8, 1), (-1e-9, 1), (1, ABOVE_8), (1, -1e-9), (1, 180), (-90, 1)],
            [OUTSIDE] * 6,
        ),
        # The deepest codes fill 62 bits.
        ((-90, -180, 90, 180), 31, [(90, np.nextafter(180.0, 0.0))], [4**31 - 1]),
        ((0, 0, 8, 8), 3, [], []),
    ],
)  # fmt: skip
def test_codes_of_cases_worked_by_hand(box, max_level, coords, codes):
    encoded = LatLonGrid(*box, max_level).encode(np.array(coords, dtype=float).reshape(-1, 2))
    assert encoded.tolist() == codes


@given(st.data(), boxes, levels)
def test_codes_equal_the_twin(data, box, max_level):
    coords = data.draw(st.one_of(coordinates_in(box, max_rows=40), coordinates(max_rows=60)))
    grid = grid_of(box, max_level)
    codes = grid.encode(coords)
    assert codes.dtype == np.uint64
    twin = naive.Grid(*grid.bounds, grid.max_level)
    expected = [twin.encode(tuple(point)) for point in coords]
    assert codes.tolist() == [OUTSIDE if code is None else code for code in expected]


@given(st.data(), boxes, levels)
def test_every_cell_of_every_level_is_one_range_of_codes(data, box, max_level):
    coords = data.draw(coordinates_in(box, max_rows=30))
    grid = grid_of(box, max_level)
    codes = grid.encode(coords)
    level = data.draw(st.integers(0, grid.max_level))
    span = 4 ** (grid.max_level - level)
    firsts = [int(code) // span * span for code in codes]
    south, west, north, east = cell_boxes(grid, firsts, level).T
    twin = naive.Grid(*box, grid.max_level)
    longitudes = np.array([twin.unwrapped(float(longitude)) for longitude in coords[:, 1]])
    assert ((south <= coords[:, 0]) & (coords[:, 0] <= north)).all()
    assert ((west <= longitudes) & (longitudes <= east)).all()
    # Strictly inside on the far edges, save on the root's own.
    assert ((coords[:, 0] < north) | (north == box[2])).all()
    assert ((longitudes < east) | (east == twin.unwrapped_east)).all()


@given(boxes, st.integers(1, 31), st.integers(0, 2**32 - 1))
def test_a_point_exactly_on_the_edge_of_a_cells_box_lies_in_it(box, max_level, seed):
    grid = grid_of(box, max_level)
    codes = np.random.default_rng(seed).integers(0, n_codes(grid), size=20, dtype=np.uint64)
    south, west, _, _ = cell_boxes(grid, codes, grid.max_level).T
    # Only longitudes whose two names are both exact can be written in [-180, 180] without moving.
    exact = west - 360.0 * (west > 180.0)
    kept = (exact + 360.0 * (west > 180.0)) == west
    corners = np.column_stack([south, exact])[kept]
    assert grid.encode(corners).tolist() == codes[kept].tolist()


@pytest.mark.parametrize(
    ("bounds", "size", "deepest"),
    [
        ((0, 0, 8, 16), 1.0, 3),
        ((0, 0, 8, 16), 1.0000001, 2),
        ((0, 0, 16, 8), 0.5, 4),
        ((0, 0, 8, 8), 8.0, 0),
        ((0, 0, 8, 8), 4.0, 1),
        ((-90, -180, 90, 180), 0.01, 14),
        ((0, 170, 40, -170), 5.0, 2),
    ],
)
def test_deepest_level_is_the_last_whose_both_sides_reach_the_cell_size(bounds, size, deepest):
    grid = LatLonGrid.with_cell_size(bounds, size)
    assert grid.max_level == deepest
    assert min(grid.cell_size(deepest)) >= size
    assert min(grid.cell_size(deepest + 1)) < size


@given(boxes, st.floats(1e-6, 400.0))
def test_deepest_level_equals_the_twin(box, size):
    grid = LatLonGrid.with_cell_size(box, size)
    height, width = grid.cell_size(0)
    assert grid.max_level == naive.deepest_level(height, width, size)
    # Extra levels lie below the deepest cells, down to level 31.
    assert LatLonGrid.with_cell_size(box, size, 2).max_level == min(grid.max_level + 2, 31)
    assert LatLonGrid.with_cell_size((-90, -180, 90, 180), 1e-12).max_level == 31


@pytest.mark.parametrize("extra_levels", [0, 1, 3])
def test_leaves_below_the_deepest_cells_are_never_smaller_than_float64_tells_apart(extra_levels):
    grid = LatLonGrid.with_cell_size((0, 0, 0, 0), 1e-15, extra_levels)
    assert grid.max_level == extra_levels
    # A box of some 1e-12 degrees around 0: sums and halves of it are exact to the last bits.
    assert grid.cell_size(extra_levels) == pytest.approx((SMALLEST_SIDE,) * 2, rel=1e-9)


@pytest.mark.parametrize(
    ("bounds", "smallest", "expected"),
    [
        ((46, 8, 47, 9), 1.0, (46, 8, 47, 9)),
        ((46, 8, 46, 8), 1.0, (45.5, 7.5, 46.5, 8.5)),
        ((46, 8, 46.5, 9.5), 1.0, (45.75, 8, 46.75, 9.5)),
        ((46, 8, 47.5, 8.5), 1.0, (46, 7.75, 47.5, 8.75)),
        ((46, 8, 46.875, 9.5), 1.0, (45.9375, 8, 46.9375, 9.5)),
        ((46, 8, 47.5, 8.875), 1.0, (46, 7.9375, 47.5, 8.9375)),
        ((0, 179.75, 1, -179.75), 1.0, (0, 179.5, 1, -179.5)),
        ((0, -180, 1, -180), 1.0, (0, 179.5, 1, -179.5)),
        ((0, 180, 1, 180), 1.0, (0, 179.5, 1, -179.5)),
        ((-90, 0, -89.5, 1), 1.0, (-90, 0, -89, 1)),
        ((89.75, 0, 90, 1), 1.0, (89, 0, 90, 1)),
        ((0, 10, 1, 20), 180.0, (-90, -75, 90, 105)),
        ((0, 10, 1, 20), 360.0, (-90, -180, 90, 180)),
    ],
)
def test_a_box_grows_evenly_to_the_smallest_side_and_no_further(bounds, smallest, expected):
    assert widened(bounds, smallest) == expected


@given(coordinates(max_rows=4), st.floats(1e-6, 400.0))
def test_a_box_widened_to_one_cell_still_holds_its_points(coords, size):
    grid = LatLonGrid.with_cell_size(box_of_coords(coords), size)
    assert OUTSIDE not in grid.encode(coords)


@given(
    st.floats(-90.0, 90.0),
    st.floats(-180.0, 180.0),
    st.sampled_from([0.01, 0.1, 0.3, 1e-3, 1e-5, 1.7, 100.0]),
    st.floats(0.0, 1.0),
    st.integers(0, 3),
)
def test_a_box_a_hair_short_of_one_cell_still_holds_its_corners(south, west, size, share, ulps):
    def stepped(start, most):
        end = start + size * share if share < 0.5 else start + size
        for _ in range(ulps):
            end = np.nextafter(end, start)
        return min(end, most)

    coords = np.array([(south, west), (stepped(south, 90.0), stepped(west, 180.0))])
    grid = LatLonGrid.with_cell_size(box_of_coords(coords), size)
    assert OUTSIDE not in grid.encode(coords)


def test_widening_over_the_antimeridian_does_not_round_a_corner_out():
    # The box is one rounding short of the cell size; around its middle it would end an ulp west of its own corner.
    corners = np.array([[-90.0, 179.99987335699183], [-89.999, -179.99912664300817]])
    grid = LatLonGrid.with_cell_size(box_of_coords(corners), 0.001)
    assert OUTSIDE not in grid.encode(corners)


@pytest.mark.parametrize("pole", [-90.0, 90.0])
@pytest.mark.parametrize("size", [0.01, 0.03, 0.1, 0.7, 1e-5, 33.3, 179.0, 200.0])
def test_a_box_at_a_pole_is_widened_towards_the_equator(pole, size):
    grid = LatLonGrid.with_cell_size((pole, 10.0, pole, 10.0), size)
    assert OUTSIDE not in grid.encode(np.array([[pole, 10.0]]))
    assert grid.north - grid.south == pytest.approx(min(size, 180.0), rel=1e-9)


def test_cells_beyond_the_antimeridian_are_shifted_and_those_across_it_cut():
    grid = LatLonGrid(0, 10, 8, 18, max_level=3)
    assert drawn_cells(grid, [4**2], 1)[0].equals(shapely.box(14, 0, 18, 4))
    grid = LatLonGrid(0, 170, 8, -170, max_level=1)
    assert [one.bounds for one in drawn_cells(grid, [0, 1], 1)] == [
        (170, 0, 180, 4),
        (-180, 0, -170, 4),
    ]
    grid = LatLonGrid(0, 170, 8, -160, max_level=1)
    across, beyond = drawn_cells(grid, [0, 1], 1)
    assert across.equals(shapely.union(shapely.box(170, 0, 180, 4), shapely.box(-180, 0, -175, 4)))
    assert beyond.bounds == (-175, 0, -160, 4)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((8, 0, 8, 8), "south < north"),
        ((9, 0, 8, 8), "south < north"),
        ((-91, 0, 8, 8), "-90 <= south"),
        ((0, 0, float("nan"), 8), "south < north"),
        ((0, 5, 8, 5), "west and east to differ"),
        ((0, -181, 8, 8), r"\[-180, 180\]"),
        ((0, 0, 8, 200), r"\[-180, 180\]"),
        ((0, 200, 8, 0), r"\[-180, 180\]"),
        ((0, 0, 8, -181), r"\[-180, 180\]"),
        ((0, 0, 1e-3, 1e-3), r"too small to tell apart in float64.*lower max_level"),
        ((0, 0, 1e-3, 90), "too small to tell apart"),
        ((0, 0, 90, 1e-3), "too small to tell apart"),
    ],
)
def test_unsound_boxes_are_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        LatLonGrid(*edges, 31)


def test_numbers_of_numpy_become_plain_ones():
    grid = LatLonGrid(*np.array([0, 0, 8, 8]), max_level=np.int64(2))
    assert grid == LatLonGrid(0, 0, 8, 8, max_level=2)
    assert [type(edge) for edge in grid.bounds] == [float] * 4
    assert type(grid.max_level) is int
