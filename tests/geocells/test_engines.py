"""Cells equal those that other engines make, and other programs read the files."""

from __future__ import annotations

import duckdb
import engines
import numpy as np
import pyogrio
import pytest
import shapely
from partitions import cell_boxes, consolidated

from geocells import HealpixGrid, LatLonGrid

RNG = np.random.default_rng(3)
TOWNS = RNG.uniform((-60, -180), (75, 180), (400, 2))
SIZES = np.minimum(RNG.zipf(1.3, 30_000), 400) - 1
COORDS = TOWNS[SIZES] + RNG.normal(0, 0.2, (30_000, 2))
COORDS[:, 1] = (COORDS[:, 1] + 180) % 360 - 180
DEEPEST = 12


def our_cells(grid, keys_of_codes) -> engines.Cells:
    """Images of each cell by level and key."""
    cells = consolidated(50, grid=grid, leftover="noise").fit(COORDS).cells_
    codes = cells.ranges.first_codes(cells.n_cells)
    keys = keys_of_codes(cells.grid.grids[0], codes, cells.levels)
    return dict(
        zip(zip(cells.levels.tolist(), keys, strict=True), cells.counts.tolist(), strict=True)
    )


def squares(grid, codes, levels):
    """Row and column of the square that holds each cell."""
    corners = cell_boxes(grid, codes, DEEPEST)[:, :2]
    sides = np.array([180.0, 360.0]) / 2.0 ** levels[:, None]
    rows, columns = np.floor((corners - (-90.0, -180.0)) / sides + 1e-6).astype(int).T
    return (rows << 32 | columns).tolist()


@pytest.mark.parametrize("engine", [engines.by_numpy, engines.by_polars, engines.by_duckdb])
def test_cells_of_the_whole_map_are_those_of_group_by(engine):
    ours = our_cells(LatLonGrid(max_level=DEEPEST), squares)
    assert len(ours) > 100
    assert engine(*COORDS.T, 50, DEEPEST) == ours


def test_cells_on_healpix_are_those_of_its_numbers():
    pytest.importorskip("healpix_geo")
    ours = our_cells(
        HealpixGrid(DEEPEST),
        lambda _, codes, levels: (codes >> (2 * (DEEPEST - levels)).astype(np.uint64)).tolist(),
    )
    assert len(ours) > 100
    assert engines.by_healpix(*COORDS.T, 50, DEEPEST) == ours


def with_duckdb(path):
    wkb = duckdb.sql(f"SELECT ST_AsWKB(geometry) FROM '{path}' ORDER BY cell").fetchall()
    return shapely.from_wkb([polygon for (polygon,) in wkb])


def with_pyogrio(path):
    layer, table = pyogrio.read_arrow(path, columns=["cell"])
    polygons = table.sort_by("cell")[layer["geometry_name"] or "wkb_geometry"]
    return shapely.from_wkb(polygons.to_numpy())


@pytest.mark.parametrize(
    ("read", "suffix"),
    [
        (with_duckdb, ".parquet"),
        *((with_pyogrio, suffix) for suffix in (".geojson", ".gpkg", ".fgb")),
    ],
)
def test_other_programs_read_the_polygons(tmp_path, read, suffix):
    cells = consolidated(50, min_cell_size=0.1).fit(COORDS).cells_
    polygons = read(cells.save(tmp_path / f"cells{suffix}"))
    assert shapely.is_valid(polygons).all()
    apart = shapely.symmetric_difference(polygons, cells.polygons())
    assert shapely.area(apart).max() < 1e-10
