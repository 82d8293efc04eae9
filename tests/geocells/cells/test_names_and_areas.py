"""Cells by their labels, names, neighbours and areas."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pytest
import s2sphere
import shapely
from partitions import consolidated, uniform_on_sphere
from s2geometry import S2CellId, S2CellUnion, S2LatLng
from shapely import affinity

from geocells import (
    CellBuilder,
    ClusteredCells,
    HealpixGrid,
    LatLonGrid,
    S2Grid,
    load_cells,
    sphere,
)
from geocells.cells import CodeRangeIndex, Ranges
from geocells.grids import GroupedGrid


def consolidated_on(grid: str) -> CellBuilder:
    return consolidated(40, grid=grid)


WORLD = uniform_on_sphere(4000, 5)
GRIDS = ["latlon", "s2", "healpix"]


def test_a_cell_has_its_numbers_by_its_label():
    coords = [(1, 1), (2, 2), (2, 2)]
    cells = consolidated(1, location="medoid").fit(coords, groups=["A", "B", "B"]).cells_
    assert dataclasses.astuple(cells[1]) == (1, 2.0, 2.0, 2, 0, "B")
    assert [cell.group for cell in cells] == ["A", "B"]
    for label in (-1, 2):
        with pytest.raises(IndexError, match=f"no cell {label}: cells are 0 to 1"):
            cells[label]
    for label in ("1", 1.0, slice(1)):
        with pytest.raises(TypeError, match="by its number"):
            cells[label]


@pytest.mark.parametrize("grid", GRIDS)
def test_partitions_are_equal_where_their_cells_are(tmp_path, grid):
    cells = consolidated(40, grid=grid).fit(WORLD).cells_
    assert cells == consolidated(40, grid=grid).fit(WORLD[::-1]).cells_
    assert cells == load_cells(cells.save(tmp_path / "cells.parquet"))
    assert cells != consolidated(41, grid=grid, outside="noise").fit(WORLD).cells_
    assert cells != dataclasses.replace(cells, outside="noise")
    assert cells != dataclasses.replace(cells, counts=cells.counts + 1)
    assert cells != "cells"


@pytest.mark.parametrize("grid", GRIDS)
def test_areas_are_those_on_the_sphere(grid):
    grid = LatLonGrid(max_level=3) if grid == "latlon" else grid
    cells = CellBuilder(1, method="top_down", grid=grid, min_cell_size=20).fit(WORLD).cells_
    sphere_km2 = 4 * np.pi * sphere.EARTH_RADIUS_KM**2
    assert cells.areas_km2.sum() == pytest.approx(sphere_km2, rel=1e-12)
    assert (cells.areas_km2 > 0).all()
    if grid == "healpix":
        # All equal, but that sides are drawn by straight pieces.
        assert cells.areas_km2 == pytest.approx(sphere_km2 / cells.n_cells, rel=1e-2)


def test_the_area_of_a_box_is_known():
    bounds = (0.0, 0.0, 30.0, 90.0)
    cells = consolidated(1, bounds=bounds, min_cell_size=30).fit([(1.0, 1.0)]).cells_
    # A quarter of the zone between the equator and 30 degrees, which is half of its hemisphere.
    assert cells.areas_km2.tolist() == [pytest.approx(np.pi / 4 * sphere.EARTH_RADIUS_KM**2)]


def test_tokens_are_those_of_the_s2_library():
    builder = consolidated(5, grid="s2").fit(WORLD)
    tokens = builder.cells_.tokens
    assert len(tokens) == builder.n_cells_
    for (latitude, longitude), label in zip(WORLD[:300], builder.labels_, strict=False):
        leaf = S2CellId(S2LatLng.FromDegrees(latitude, longitude))
        assert any(S2CellId.FromToken(token).contains(leaf) for token in tokens[label])
    leaves = [S2CellId(S2LatLng.FromDegrees(*place)) for place in WORLD.tolist()]
    for place, level, error in (
        ([95, 8], 3, "Latitude"),
        ([1, 2], 31, "0..30"),
        ([1, 2], 1.5, "int"),
    ):
        with pytest.raises((TypeError, ValueError), match=error):
            S2Grid().tokens([place], level)
    for level in (0, 7, 30):
        assert S2Grid().tokens(WORLD, level) == [leaf.parent(level).ToToken() for leaf in leaves]


@pytest.mark.parametrize(
    ("grid", "first"),
    [(LatLonGrid(0, 0, 8, 8, 2), [("00",), ("03", "30")]), (HealpixGrid(3), [("3/1",), ("3/40",)])],
)
def test_tokens_name_the_quadtree_cells_of_a_cell(grid, first):
    codes = np.array(
        [[0, 1], [3, 4], [12, 13]] if isinstance(grid, LatLonGrid) else [[1, 2], [40, 41]]
    )
    owners = [0, 1, 1] if isinstance(grid, LatLonGrid) else [0, 1]
    ranges = Ranges(*codes.T.astype(np.uint64), np.array(owners))
    cells = dataclasses.replace(
        consolidated(1).fit([(1.0, 1.0), (40.0, 40.0)]).cells_,
        cell_index=CodeRangeIndex(GroupedGrid((grid,)), ranges),
    )
    assert cells.tokens.tolist() == first


def drawn_by_s2sphere(token: str) -> shapely.Polygon:
    """An S2 cell on the map, 64 points a side."""
    cell = s2sphere.Cell(s2sphere.CellId.from_token(token))
    corners = np.array([list(cell.get_vertex(k % 4)) for k in range(5)])
    shares = np.linspace(0, 1, 64)[:, None]
    vectors = np.concatenate([a + shares * (b - a) for a, b in pairwise(corners)])
    latitudes, longitudes = sphere.from_unit_vectors(vectors).T
    return shapely.Polygon(np.column_stack([np.unwrap(longitudes, period=360), latitudes]))


@pytest.mark.parametrize("builder", [*map(consolidated_on, GRIDS), ClusteredCells(min_images=40)])
def test_few_s2_cells_cover_a_cell_and_none_lies_apart_from_it(builder):
    places = WORLD[::4]
    cells = builder.fit(places).cells_
    closer = cells.s2_covering(max_cells=20)
    for max_cells, covering in ((8, cells.s2_covering()), (20, closer)):
        assert len(covering) == cells.n_cells
        unions = [S2CellUnion([S2CellId.FromToken(token) for token in one]) for one in covering]
        for (latitude, longitude), label in zip(places.tolist(), builder.labels_, strict=True):
            leaf = S2CellId(S2LatLng.FromDegrees(latitude, longitude))
            assert unions[label].Contains(leaf) or label < 0
        assert max(map(len, covering)) <= max_cells
    polygons = cells.polygons()
    around = [affinity.translate(p, turn) for p in polygons for turn in (-360, 0, 360)]
    for label, tokens in enumerate(closer):
        for token in tokens:
            drawn = drawn_by_s2sphere(token)
            if max(map(abs, drawn.bounds[1::2])) < 75:  # the naive outlines hold no pole
                apart = shapely.distance(drawn, around[3 * label : 3 * label + 3]).min()
                assert apart <= 1e-3 * np.sqrt(drawn.area)


def test_s2_cells_that_cover_cells_of_an_s2_grid_are_their_own_with_enough():
    for groups in (None, np.arange(len(WORLD)) % 2):
        cells = consolidated(5, grid="s2").fit(WORLD, groups=groups).cells_
        enough = max(map(len, cells.tokens))
        assert cells.s2_covering(enough).tolist() == cells.tokens.tolist()
    assert consolidated(1, grid=S2Grid(0)).fit([[0, 0]]).cells_.s2_covering(1)[0] == ("1",)
    for wrong, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="max_cells must be"):
            cells.s2_covering(wrong)


@pytest.mark.parametrize("grid", GRIDS)
def test_neighbours_are_the_cells_whose_polygons_meet(grid):
    cells = CellBuilder(60, grid=grid, method="top_down").fit(WORLD).cells_
    polygons = cells.polygons()
    shifted = shapely.transform(polygons, lambda points: points + np.array([360.0, 0.0]))
    meet = shapely.intersects(polygons[:, None], polygons[None, :])
    meet |= shapely.intersects(polygons[:, None], shifted[None, :])
    expected = np.argwhere(np.triu(meet | meet.T, k=1))
    assert np.array_equal(cells.neighbors(), expected)


def test_cells_are_cut_to_polygons():
    coords = [(1, 1), (1, 3), (3, 1), (3, 3)]
    builder = CellBuilder(1, method="top_down", bounds=(0, 0, 4, 4), min_cell_size=2)
    cells = builder.fit(coords).cells_
    land = gpd.GeoSeries([shapely.box(0, 0, 1, 1), shapely.box(0, 1, 4, 2)], crs=4326)
    for given in (land, land.to_frame("land").to_crs(3857), land.union_all()):
        table = cells.clip(given)  # the northern cells touch it alone
        assert table.index.tolist() == cells.assign(coords[:2]).tolist()
        assert table["count"].tolist() == [1, 1]
        expected = [shapely.box(0, 0, 1, 1) | shapely.box(0, 1, 2, 2), shapely.box(2, 1, 4, 2)]
        assert shapely.area(table.geometry.to_numpy() ^ np.array(expected)).max() < 1e-9


@pytest.mark.parametrize("polygons", ["Sweden", None, shapely.Point(1, 1)])
def test_what_is_no_polygon_cuts_no_cells(polygons):
    cells = consolidated(1).fit([(1, 1)]).cells_
    with pytest.raises(TypeError, match="polygons must be"):
        cells.clip(polygons)


def test_cells_are_geojson_to_other_programs():
    cells = consolidated(1).fit([(1, 1), (2, 2)], groups=["A", "B"]).cells_
    written = json.loads(cells.to_geojson())
    assert [feature["properties"]["group"] for feature in written["features"]] == ["A", "B"]
    assert not any("id" in feature for feature in written["features"])  # the column `cell` is it
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in written["features"]]
    assert shapely.equals(shapes, cells.polygons()).all()
    assert cells.__geo_interface__["type"] == "FeatureCollection"
    assert len(cells.__geo_interface__["features"]) == 2
