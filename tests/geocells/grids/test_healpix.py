from __future__ import annotations

import numpy as np
import pytest
import shapely
from partitions import drawn_cells, uniform_on_sphere

from geocells import CellBuilder, HealpixGrid, load_cells

nested = pytest.importorskip("healpix_geo.nested")  # which needs NumPy 2

RNG = np.random.default_rng(0)
MILLION = uniform_on_sphere(1_000_000, 0)


@pytest.mark.parametrize("n_rows", [300, 1_000_000])  # the few, as mutation testing has no time
@pytest.mark.parametrize("level", [0, 1, 9, 17, 24, 29])
def test_codes_are_the_nested_numbers_of_healpix_geo(level, n_rows):
    coords = MILLION[:n_rows]
    reference = nested.lonlat_to_healpix(coords[:, 1], coords[:, 0], level, ellipsoid="sphere")
    assert np.array_equal(HealpixGrid(level).encode(coords), reference)


def test_a_hair_west_of_greenwich_is_greenwich():
    # A quarter turn has no float64 between it and four quarters less a hair.
    latitudes = np.linspace(-90, 90, 181)
    west, on = (np.column_stack([latitudes, np.full(181, end)]) for end in (-1e-300, 0.0))
    assert np.array_equal(HealpixGrid().encode(west), HealpixGrid().encode(on))


def polygons(level: int) -> np.ndarray:
    codes = np.arange(12 * 4**level, dtype=np.uint64) << np.uint64(2 * (29 - level))
    return drawn_cells(HealpixGrid(29), codes, level)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_cells_cover_the_map_once_and_have_the_corners_of_healpix_geo(level):
    drawn = polygons(level)
    assert shapely.is_valid(drawn).all()
    # Areas on the map, good to the rounding of sums.
    assert shapely.area(drawn).sum() == pytest.approx(360 * 180, rel=1e-12)
    assert shapely.area(shapely.union_all(drawn)) == pytest.approx(360 * 180, rel=1e-12)
    numbers = np.arange(len(drawn), dtype=np.uint64)
    longitudes, latitudes = nested.vertices(numbers, level, ellipsoid="sphere")
    longitudes = (longitudes + 180.0) % 360.0 - 180.0
    for corner in range(4):
        points = shapely.points(longitudes[:, corner], latitudes[:, corner])
        elsewhere = shapely.points(-longitudes[:, corner], latitudes[:, corner])
        off = shapely.distance(points, drawn)
        at_end = np.abs(longitudes[:, corner]) > 180.0 - 1e-9
        off[at_end] = np.minimum(off, shapely.distance(elsewhere, drawn))[at_end]
        assert off.max() < 1e-9


def test_cells_of_different_sizes_share_their_borders_over_the_borders_of_faces():
    faces = np.repeat(np.arange(12), 4 ** (np.arange(12) % 4))
    levels = faces % 4
    places = np.concatenate([np.arange(4**level) for level in np.arange(12) % 4])
    codes = ((faces << 58) | (places << (58 - 2 * levels))).astype(np.uint64)
    drawn = HealpixGrid(29).union_polygons(codes, levels, np.arange(len(codes)), len(codes))
    assert shapely.area(drawn).sum() == pytest.approx(360 * 180, rel=1e-12)
    assert shapely.area(shapely.union_all(drawn)) == pytest.approx(360 * 180, rel=1e-12)
    assert HealpixGrid().n_faces == 12


def test_small_cells_far_from_the_poles_are_plain_diamonds():
    cells = HealpixGrid(8).encode(np.array([[1.0, 20.0], [30.0, 100.0]]))
    drawn = drawn_cells(HealpixGrid(8), cells, 8)
    assert shapely.get_num_coordinates(drawn).tolist() == [5, 5]
    none = HealpixGrid(8).union_polygons(cells[:0], np.empty(0, np.int64), np.empty(0, np.int64), 1)
    assert none[0].is_empty


def test_sides_are_drawn_where_they_are():
    """Places lie in the polygon of their cell, or nearer to it than a thousandth of its side."""
    level = 4
    drawn = polygons(level)[HealpixGrid(level).encode(MILLION[:20_000])]
    off = shapely.distance(shapely.points(MILLION[:20_000, ::-1]), drawn)
    # A degree of longitude is short near the poles.
    assert (off * np.cos(np.radians(MILLION[:20_000, 0]))).max() < 1e-3 * 58.6 / 2**level


@pytest.mark.parametrize("method", ["bottom_up", "consolidated", "top_down"])
def test_cells_of_every_construction_are_valid_disjoint_and_saved(tmp_path, method):
    coords = np.concatenate(
        [RNG.normal((66, 179), 8, (3000, 2)), RNG.normal((-1, 45), 1, (3000, 2))]
    )
    coords = np.column_stack([coords[:, 0].clip(-90, 90), (coords[:, 1] + 180) % 360 - 180])
    builder = CellBuilder(40, method=method, grid="healpix").fit(coords)
    cells = builder.cells_
    drawn = cells.polygons()
    assert shapely.is_valid(drawn).all()
    assert shapely.area(drawn).sum() == pytest.approx(
        shapely.area(shapely.union_all(drawn)), rel=1e-9
    )
    loaded = load_cells(cells.save(tmp_path / "cells.parquet"))
    assert loaded.grid == cells.grid
    assert np.array_equal(loaded.assign(coords), builder.labels_)


@pytest.mark.parametrize(
    ("size", "level"), [(100.0, 0), (58.6, 0), (29.4, 0), (29.3, 1), (0.01, 12)]
)
def test_deepest_cells_are_the_last_as_large_as_asked_for(size, level):
    grid = HealpixGrid.with_cell_size(size)
    assert grid.max_level == level
    assert HealpixGrid.with_cell_size(size, 2).max_level == level + 2
    if level:
        assert grid.cell_size(level)[0] >= size > grid.cell_size(level + 1)[0]
