from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from partitions import consolidated
from shapely import affinity
from strategies import (
    BOXES,
    bottom_up_options,
    boxes,
    coordinates,
    coordinates_in,
    groups_of,
    leftovers,
    methods,
    min_cell_sizes,
)

from geocells import CellBuilder, LatLonGrid

# Areas are sums of products of degrees: 64 800 for the globe, so 1e-9 of a square degree is rounding.
AREA_TOLERANCE = 1e-9
# Cutting at the antimeridian moves edges by 360 degrees, which rounds them to 6e-14.
EDGE_TOLERANCE = 1e-12


def degrees_away(polygon: shapely.Geometry, latitude: float, longitude: float) -> float:
    """Distance in degrees, under either name of the antimeridian."""
    names = {longitude, -longitude} if abs(longitude) == 180.0 else {longitude}
    return min(polygon.distance(shapely.Point(name, latitude)) for name in names)


def box_area(box: tuple[float, float, float, float]) -> float:
    south, west, north, east = box
    return (north - south) * (east - west if east > west else east - west + 360.0)


def test_a_parent_has_its_children_as_holes():
    # One sixteenth inside the box has images enough; the rest of the box is the root's own cell around it.
    coords = [(3.5, 3.5)] * 2 + [(0.5, 7.5), (7.5, 0.5)]
    cells = consolidated(2, bounds=(0, 0, 8, 8), min_cell_size=2).fit(coords).cells_
    root, child = cells.polygons()[cells.levels == 0][0], cells.polygons()[cells.levels == 2][0]
    assert child.equals(shapely.box(2, 2, 4, 4))
    assert root.equals(shapely.box(0, 0, 8, 8).difference(child))
    assert len(root.interiors) == 1


def test_a_cell_split_by_its_children_is_a_multipolygon():
    # Two opposite quarters are cells of their own; what is left of the root touches in one point only.
    coords = [(1, 1)] * 3 + [(7, 7)] * 3 + [(1, 7)] * 2 + [(7, 1)]
    cells = consolidated(3, bounds=(0, 0, 8, 8), min_cell_size=4).fit(coords).cells_
    root = cells.polygons()[cells.levels == 0][0]
    assert root.geom_type == "MultiPolygon"
    assert root.equals(shapely.union(shapely.box(4, 0, 8, 4), shapely.box(0, 4, 4, 8)))


@given(st.data(), boxes, methods(), leftovers)
def test_polygons_are_valid_disjoint_and_hold_their_images(data, box, options, leftover):
    coords = data.draw(coordinates_in(box, max_rows=60))
    grid = LatLonGrid(*box, max_level=data.draw(st.integers(0, 5)))
    builder = CellBuilder(**options, leftover=leftover, grid=grid).fit(coords)
    polygons = builder.cells_.polygons()
    assert len(polygons) == builder.n_cells_
    assert shapely.is_valid(polygons).all()
    assert set(shapely.get_type_id(polygons)) <= {3, 6}
    west, south, east, north = shapely.bounds(polygons).T
    assert west.min() >= -180
    assert east.max() <= 180
    assert south.min() >= -90
    assert north.max() <= 90
    union = shapely.union_all(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(union.area, abs=AREA_TOLERANCE)
    assert union.area <= box_area(box) + AREA_TOLERANCE
    for (latitude, longitude), label in zip(coords, builder.labels_, strict=True):
        if label >= 0:
            assert degrees_away(polygons[label], latitude, longitude) <= EDGE_TOLERANCE


@given(coordinates(max_rows=60), methods() | bottom_up_options(), leftovers, min_cell_sizes)
def test_polygons_of_the_datas_own_box_hold_their_images(coords, options, leftover, min_cell_size):
    builder = CellBuilder(**options, leftover=leftover, min_cell_size=min_cell_size).fit(coords)
    is_drawn_exactly = options.get("grid", "latlon") == "latlon"  # others have curved sides
    polygons = builder.cells_.polygons()
    assert shapely.is_valid(polygons).all()
    for (latitude, longitude), label in zip(coords, builder.labels_, strict=True):
        if label >= 0 and is_drawn_exactly:
            assert degrees_away(polygons[label], latitude, longitude) <= EDGE_TOLERANCE


@given(st.data(), boxes, st.integers(2, 30))
def test_polygons_fill_the_box_when_leftover_is_a_cell_around_the_others(data, box, min_images):
    coords = data.draw(coordinates_in(box, max_rows=100))
    grid = LatLonGrid(*box, max_level=data.draw(st.integers(0, 5)))
    builder = consolidated(min_images, grid=grid, leftover="cell").fit(coords)
    cells = builder.cells_
    if (cells.levels == 0).any():
        # The root is a cell, by its images or by leftover: whatever is in no other cell is in it.
        assert shapely.area(cells.polygons()).sum() == pytest.approx(
            box_area(box), abs=AREA_TOLERANCE
        )
        assert shapely.union_all(cells.polygons()).area == pytest.approx(
            box_area(box), abs=AREA_TOLERANCE
        )
    else:
        assert builder.counts_.min() >= min_images


@given(st.data(), boxes, methods())
def test_a_point_in_the_middle_of_a_polygon_is_assigned_to_its_cell(data, box, options):
    coords = data.draw(coordinates_in(box, max_rows=60))
    grid = LatLonGrid(*box, max_level=data.draw(st.integers(0, 4)))
    cells = CellBuilder(**options, grid=grid).fit(coords).cells_
    inside = shapely.point_on_surface(cells.polygons())
    points = np.column_stack([shapely.get_y(inside), shapely.get_x(inside)])
    assert cells.assign(points, outside="noise").tolist() == list(range(cells.n_cells))


def test_neighbours_share_their_edges_exactly():
    grid = LatLonGrid(45.8, 5.9, 47.9, 10.6, max_level=5)
    rng = np.random.default_rng(0)
    coords = rng.uniform((45.8, 5.9), (47.9, 10.6), size=(3000, 2))
    cells = CellBuilder(1, method="top_down", grid=grid).fit(coords).cells_
    polygons = cells.polygons()
    tree = shapely.STRtree(polygons)
    left, right = tree.query(polygons, predicate="intersects")
    overlaps = shapely.area(shapely.intersection(polygons[left], polygons[right]))
    assert overlaps[left != right].max() == 0.0


@given(st.data(), coordinates(max_rows=60))
def test_polygons_of_each_group_are_disjoint_and_hold_their_images(data, coords):
    groups = data.draw(groups_of(len(coords)))
    builder = consolidated(5, min_cell_size=0.5).fit(coords, groups=groups)
    cells = builder.cells_
    polygons = cells.polygons()
    for name in set(groups):
        own = polygons[cells.groups == name]
        # A union of boxes at rounded edges, cut at the antimeridian: 1e-12 degrees times 360 of them.
        assert shapely.area(own).sum() == pytest.approx(
            shapely.union_all(own).area, abs=AREA_TOLERANCE
        )
    for (latitude, longitude), label in zip(coords, builder.labels_, strict=True):
        assert degrees_away(polygons[label], latitude, longitude) <= EDGE_TOLERANCE


@pytest.mark.parametrize("box", BOXES)
def test_one_cell_has_the_root_box_as_its_polygon(box):
    south, west, north, east = box
    cells = consolidated(1, grid=LatLonGrid(*box, max_level=0)).fit([(north, east)]).cells_
    whole = shapely.box(west, south, east if east > west else east + 360.0, north)
    near = shapely.intersection(whole, shapely.box(-180, -90, 180, 90))
    far = affinity.translate(shapely.intersection(whole, shapely.box(180, -90, 540, 90)), xoff=-360)
    expected = shapely.union(near, far)
    assert shapely.symmetric_difference(cells.polygons()[0], expected).area <= AREA_TOLERANCE
