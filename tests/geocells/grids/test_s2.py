from __future__ import annotations

import math

import naive_s2
import numpy as np
import pytest
import s2sphere
import shapely
from hypothesis import given
from hypothesis import strategies as st
from partitions import drawn_cells, uniform_on_sphere
from strategies import coordinates

from geocells import CellBuilder
from geocells.grids import OUTSIDE, GroupedGrid, LatLonGrid, S2Grid, n_codes
from geocells.grids._s2_kernels import leaf_by_the_book

levels = st.integers(0, 30)


def reference_ids(coords: np.ndarray, level: int = 30) -> np.ndarray:
    """Ids of s2sphere, with +180 read as -180."""
    ids = []
    for latitude, longitude in coords.tolist():
        point = s2sphere.LatLng.from_degrees(latitude, -180.0 if longitude == 180.0 else longitude)
        ids.append(s2sphere.CellId.from_lat_lng(point).parent(level).id())
    return np.array(ids, dtype=np.uint64)


def reference_cell(code: int, level: int, max_level: int = 30) -> s2sphere.Cell:
    place = int(code) << (2 * (30 - max_level))
    return s2sphere.Cell(s2sphere.CellId(2 * place + (1 << (2 * (30 - level)))))


def awkward_coords() -> np.ndarray:
    """Poles, antimeridian, borders and corners of faces and cells, signed zeros, and their neighbours in float64."""
    corner = math.degrees(math.asin(1 / math.sqrt(3)))
    latitudes = {0.0, -0.0, 90.0, 45.0, 30.0, 60.0, 35.26439, corner, 89.999999999, 1e-300, 5e-324}
    longitudes = {0.0, -0.0, 180, 45, 90, 135, 30, 60, 1e-300, 1e-16, 179.99999999999997}
    grid = {(a, b) for a in latitudes for b in longitudes}
    rows = [(s * a, t * b) for a, b in grid for s in (1, -1) for t in (1, -1)]
    rng = np.random.default_rng(3)
    for level in (1, 2, 5, 13, 29, 30):
        for _ in range(60):
            face = int(rng.integers(6))
            i, j = (int(k) << (30 - level) for k in rng.integers(0, 2**level + 1, 2))
            u, v = (s2sphere.CellId.st_to_uv(k / 2**30) for k in (i, j))
            point = s2sphere.LatLng.from_point(s2sphere.face_uv_to_xyz(face, u, v))
            rows.append((point.lat().degrees, point.lng().degrees))
    coords = np.array(rows)
    nudged = [np.nextafter(coords, np.inf), np.nextafter(coords, -np.inf)]
    coords = np.vstack([coords, *nudged])
    return np.column_stack([coords[:, 0].clip(-90, 90), coords[:, 1].clip(-180, 180)])


def spherical_area(geometry: shapely.Geometry) -> float:
    """Steradians inside straight lines of a map: the integral of sin(latitude) - sin(reference) along the border."""
    total = 0.0
    for part in shapely.get_parts(geometry):
        reference = math.radians(part.bounds[1])
        for k, ring in enumerate([part.exterior, *part.interiors]):
            lon, lat = np.radians(shapely.get_coordinates(ring)).T
            # Simpson's rule, along straight sides.
            nodes = [lat[:-1], (lat[:-1] + lat[1:]) / 2, lat[1:]]
            heights = [2 * np.cos((a + reference) / 2) * np.sin((a - reference) / 2) for a in nodes]
            mean = (heights[0] + 4 * heights[1] + heights[2]) / 6
            area = abs(float((np.diff(lon) * mean).sum()))
            total += area if k == 0 else -area
    return total


# ------------------------------------------------------------------------------------------------ codes


@pytest.mark.parametrize("level", [0, 1, 2, 11, 29, 30])
def test_ids_of_every_level_equal_those_of_s2sphere(level):
    # The poles and both names of the antimeridian are among the awkward ones.
    n_rows, step = (20_000, 1) if level == 30 else (500, 7)
    coords = np.vstack([uniform_on_sphere(n_rows, seed=level), awkward_coords()[::step]])
    ids = S2Grid().cell_ids(coords, level)
    assert coords[ids != reference_ids(coords, level)].tolist() == []
    # The grid's own leaves don't matter for ids.
    assert np.array_equal(S2Grid(4).cell_ids(coords, level), ids)


def test_every_row_equals_its_calculation_by_the_book():
    coords = uniform_on_sphere(20_000, seed=5)
    codes = S2Grid().encode(coords).astype(np.int64)
    faces, i, j, _ = S2Grid().squares(codes, np.full(len(codes), 30))
    by_the_book = np.array([leaf_by_the_book(*point) for point in coords])
    assert np.array_equal(np.column_stack([i, j]), by_the_book[:, 1:])
    assert np.array_equal(codes >> 60, faces)


@given(coordinates(max_rows=30), levels)
def test_codes_equal_the_twins(coords, level):
    codes = S2Grid(level).encode(coords)
    assert codes.tolist() == [naive_s2.encode(*point, level) for point in coords.tolist()]


def test_no_rows_give_no_ids():
    assert len(S2Grid().cell_ids(np.empty((0, 2)))) == 0


def test_the_deepest_level_is_the_last_whose_average_edge_reaches_the_size():
    for degrees in (100.0, 50.0, 1.0, 0.01, 1e-5):
        radians = math.radians(degrees)
        assert S2Grid.with_cell_size(degrees).max_level == s2sphere.AVG_EDGE.get_max_level(radians)
    assert S2Grid.with_cell_size(0.01).max_level == 13
    assert S2Grid.with_cell_size(0.01, extra_levels=2).max_level == 15
    assert S2Grid.with_cell_size(1e-12).max_level == 30
    assert S2Grid.with_cell_size(1e-12, extra_levels=3).max_level == 30
    # An edge of exactly the size still counts.
    assert S2Grid.with_cell_size(S2Grid().cell_size(9)[0]).max_level == 9


# ------------------------------------------------------------------------------------------ Morton order


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_morton_codes_equal_the_twins(level):
    codes = np.arange(6 * 4**level, dtype=np.uint64)
    morton = S2Grid(level).to_morton(codes)
    assert morton.tolist() == [naive_s2.to_morton(int(code), level) for code in codes]
    assert sorted(morton.tolist()) == codes.tolist()


@given(levels, st.randoms(use_true_random=False))
def test_morton_order_and_back_is_the_identity(level, random):
    grid = S2Grid(level)
    codes = np.array(
        [random.randrange(n_codes(grid)) for _ in range(50)] + [int(OUTSIDE)], dtype=np.uint64
    )
    assert np.array_equal(grid.from_morton(grid.to_morton(codes)), codes)
    assert np.array_equal(grid.to_morton(grid.from_morton(codes)), codes)


@given(st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_a_quadtree_cell_is_an_aligned_range_in_both_orders(level, deeper, random):
    grid = S2Grid(level + min(deeper, 4))
    span = 4 ** (grid.max_level - level)
    start = span * random.randrange(6 * 4**level)
    morton = np.sort(grid.to_morton(np.arange(start, start + span, dtype=np.uint64)))
    assert morton[0] % span == 0
    assert np.array_equal(morton, morton[0] + np.arange(span, dtype=np.uint64))


def test_latitude_longitude_codes_are_in_morton_order_already():
    codes = np.arange(64, dtype=np.uint64)
    grid = LatLonGrid(max_level=3)
    assert np.array_equal(grid.to_morton(codes), codes)
    assert np.array_equal(grid.from_morton(codes), codes)


# --------------------------------------------------------------------------------------------- polygons


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4, 6, 9, 13, 20, 26])
def test_areas_are_those_of_s2sphere(level):
    n_cells = 6 * 4**level
    rng = np.random.default_rng(level)
    places = np.arange(n_cells) if n_cells < 500 else rng.integers(0, n_cells, 300)
    codes = places.astype(np.uint64) << np.uint64(2 * (30 - level))
    at_poles = S2Grid().encode(
        np.array([[90 - 1e-11, 45.0 + 90 * k] for k in range(4)] + [[-90 + 1e-11, 45.0], [0, -180]])
    )
    shift = np.uint64(2 * (30 - level))
    codes = np.concatenate([codes, at_poles >> shift << shift])
    polygons = drawn_cells(S2Grid(), codes, level)
    assert shapely.is_valid(polygons).all()
    exact = [reference_cell(code, level).exact_area() for code in codes]
    # 0.1 % for the straight pieces of curved sides; s2sphere's own areas carry six digits.
    assert [spherical_area(polygon) for polygon in polygons] == pytest.approx(exact, rel=1e-3)


def test_corners_are_the_vertices_of_s2sphere():
    coords = uniform_on_sphere(200, seed=8)
    for level in (3, 12, 30):
        shift = np.uint64(2 * (30 - level))
        codes = S2Grid().encode(coords) >> shift << shift
        polygons = drawn_cells(S2Grid(), codes, level)
        for code, polygon in zip(codes, polygons, strict=True):
            drawn = shapely.get_coordinates(polygon)
            cell = reference_cell(code, level)
            for k in range(4):
                vertex = s2sphere.LatLng.from_point(cell.get_vertex(k))
                off = np.abs(drawn - [vertex.lng().degrees, vertex.lat().degrees])
                off[:, 0] = np.minimum(off[:, 0], np.abs(off[:, 0] - 360))
                if abs(vertex.lat().degrees) > 90 - 1e-12:
                    off[:, 0] = 0  # a pole has no longitude
                # A few last bits of 180 degrees: our vertices are not normalised first.
                assert off.max(axis=1).min() < 2e-13


@pytest.mark.parametrize("level", [0, 2, 5, 10, 16])
def test_points_lie_in_the_polygon_of_their_cell(level):
    coords = uniform_on_sphere(400, seed=level)
    coords[:100, 0] = np.sign(coords[:100, 0]) * (90 - 10.0 ** np.linspace(-6, 1, 100))
    coords[100:140, 1] = np.sign(coords[100:140, 1]) * (180 - 10.0 ** np.linspace(-6, 0, 40))
    grid = S2Grid(level)
    polygons = drawn_cells(grid, grid.encode(coords), level)
    points = shapely.points(coords[:, 1], coords[:, 0])
    missed = np.flatnonzero(~shapely.covers(polygons, points))
    assert len(missed) < 8
    # Those that miss lie within a thousandth of a side of it (the map stretches longitudes).
    size = grid.cell_size(level)[0]
    stray = shapely.distance(polygons[missed], points[missed]) * np.cos(
        np.radians(coords[missed, 0])
    )
    assert (stray <= 2e-3 * size).all()


def test_a_cell_at_a_pole_reaches_it():
    for latitude in (90, -90):
        near = math.copysign(90 - 1e-7, latitude)
        for level in (1, 6, 25):
            grid = S2Grid(level)
            code = grid.encode(np.array([[near, 30.0]]))
            polygon = drawn_cells(grid, code, level)[0]
            top = shapely.get_coordinates(polygon)
            assert sorted(top[top[:, 1] == latitude][:, 0].tolist()) in ([0, 90], [0, 0, 90])


def test_whole_faces_at_the_antimeridian_are_cut_there():
    polygons = drawn_cells(S2Grid(0), range(6), 0)
    assert [polygon.geom_type for polygon in polygons] == [
        "Polygon", "Polygon", "Polygon", "MultiPolygon", "Polygon", "Polygon",
    ]  # fmt: skip
    assert polygons[2].bounds == pytest.approx((-180, math.degrees(math.asin(3**-0.5)), 180, 90))
    assert polygons[3].bounds == pytest.approx((-180, -45, 180, 45))
    for face in range(6):
        alone = drawn_cells(S2Grid(0), [face], 0)[0]
        assert alone.is_valid
        assert alone.geom_type == polygons[face].geom_type
        # Its neighbours' corners are missing on its sides: a thousandth covers the difference.
        apart = alone.symmetric_difference(polygons[face]).area
        assert apart < 1e-3 * polygons[face].area
    assert shapely.area(polygons).sum() == pytest.approx(360 * 180, rel=1e-12)


def test_codes_and_levels_may_be_lists():
    grid = S2Grid(2)
    codes, levels = np.array([4, 90], dtype=np.uint64), np.array([1, 2])
    assert [k.tolist() for k in grid.squares([4, 90], [1, 2])] == [
        k.tolist() for k in grid.squares(codes, levels)
    ]
    union = grid.union_polygons([4, 90], [1, 2], np.zeros(2, np.int64), 1)[0]
    assert union.equals(grid.union_polygons(codes, levels, np.zeros(2, np.int64), 1)[0])


def test_cells_of_one_face_that_meet_in_a_point_are_two_parts():
    grid, levels = S2Grid(1), np.ones(2, np.int64)
    opposite = np.array([0, 2], dtype=np.uint64)  # the first and third quadrant along the curve
    union = grid.union_polygons(opposite, levels, np.zeros(2, np.int64), 1)[0]
    assert union.geom_type == "MultiPolygon"
    assert union.is_valid
    assert len(union.geoms) == 2
    alone = drawn_cells(grid, opposite, 1)
    assert union.area == pytest.approx(shapely.area(alone).sum(), rel=1e-12)


@pytest.mark.parametrize("level", [0, 1, 2, 3, 8])
def test_no_point_of_an_outline_is_said_twice(level):
    coords = uniform_on_sphere(60, seed=level)
    coords = coords[np.abs(coords[:, 0]) < (30 if level < 2 else 60)]  # a pole may be
    grid = S2Grid(level)
    polygons = drawn_cells(grid, grid.encode(coords), level)
    once = shapely.remove_repeated_points(polygons)
    assert np.array_equal(shapely.get_num_coordinates(once), shapely.get_num_coordinates(polygons))


@pytest.mark.parametrize("level", [1, 2, 5])
def test_cells_east_and_west_of_the_antimeridian_are_mirrored(level):
    rows = [(20.0, 180 - 1e-6), (-20.0, 180 - 1e-6), (60.0, 180 - 1e-6), (-60.0, 180 - 1e-6)]
    grid = S2Grid(level)
    west, east = (
        drawn_cells(grid, grid.encode(np.array(rows) * (1.0, sign)), level) for sign in (1.0, -1.0)
    )
    for one, other in zip(west, east, strict=True):
        mirrored = shapely.transform(other, lambda xy: xy * (-1.0, 1.0))
        # As many points too: none is added because a longitude is read on the wrong side.
        assert shapely.get_num_coordinates(one) == shapely.get_num_coordinates(other)
        assert shapely.area(one.symmetric_difference(mirrored)) < 1e-9


def test_six_faces_make_the_map():
    grid = S2Grid(0)
    whole = grid.union_polygons(
        np.arange(6, dtype=np.uint64), np.zeros(6, np.int64), np.zeros(6, np.int64), 1
    )[0]
    assert whole.equals(shapely.box(-180, -90, 180, 90))


def without_one_cell(code: int, level: int) -> tuple[list[int], list[int]]:
    """Codes and levels of the fewest cells that make a face but for one of its cells."""
    codes, own_levels = [], []
    for above in range(1, level + 1):
        span = 4 ** (30 - above)
        first = code - code % (4 * span)
        siblings = [first + k * span for k in range(4) if first + k * span != code - code % span]
        codes += siblings
        own_levels += [above] * 3
    return codes, own_levels


@pytest.mark.parametrize("level", [6, 12, 16, 24])
def test_a_small_hole_near_a_curved_border_leaves_a_valid_polygon(level):
    # One cell away from the northern border of face 0, which the map draws as an arc.
    grid = S2Grid()
    side = 1 << (30 - level)
    u = s2sphere.CellId.st_to_uv(0.3)
    v = s2sphere.CellId.st_to_uv(1 - 1.5 * side / 2**30)
    point = s2sphere.LatLng.from_point(s2sphere.face_uv_to_xyz(0, u, v))
    code = int(grid.encode(np.array([[point.lat().degrees, point.lng().degrees]]))[0])
    code -= code % 4 ** (30 - level)
    codes, own_levels = without_one_cell(code, level)
    polygon = grid.union_polygons(
        np.array(codes, dtype=np.uint64), np.array(own_levels), np.zeros(len(codes), np.int64), 1
    )[0]
    assert polygon.geom_type == "Polygon"
    assert polygon.is_valid
    assert len(polygon.interiors) == 1
    hole = drawn_cells(grid, [code], level)[0]
    # The hole's far corners carry no point in one of the two; a thousandth covers the difference.
    assert shapely.Polygon(polygon.interiors[0]).area == pytest.approx(hole.area, rel=1e-3)


def test_cells_of_mixed_levels_cover_the_map_without_gaps_or_overlaps():
    coords = np.vstack(
        [uniform_on_sphere(3000, seed=4), np.tile([[90.0, 0.0], [-90.0, 7.0]], (40, 1))]
    )
    coords = np.vstack([coords, np.tile([[12.0, 180.0], [46.9, 7.4]], (300, 1))])
    for options in (
        {"method": "top_down", "min_images": 5},
        {"method": "consolidated", "min_images": 20, "leftover": "cell"},
        {"method": "consolidated", "min_images": 800, "leftover": "cell"},
    ):
        builder = CellBuilder(grid=S2Grid(9), **options).fit(coords)
        polygons = builder.cells_.polygons()
        assert shapely.is_valid(polygons).all()
        assert set(shapely.get_type_id(polygons)) <= {3, 6}
        if options.get("leftover") == "cell":
            # The union of the cells is the whole map; shared borders agree point by point.
            union = shapely.union_all(polygons)
            assert union.equals(shapely.box(-180, -90, 180, 90))
            assert shapely.area(polygons).sum() == pytest.approx(360 * 180, rel=1e-12)
        tree = shapely.STRtree(polygons)
        left, right = tree.query(polygons, predicate="overlaps")
        shared = shapely.area(shapely.intersection(polygons[left], polygons[right]))
        assert shared.max(initial=0.0) < 1e-9


def test_a_single_grid_of_thirty_levels_fits_the_codes():
    coords = np.vstack([uniform_on_sphere(100, seed=1), [[47.0, 8.0]] * 5])
    grid = GroupedGrid((S2Grid(30),))
    assert grid.code_bits == 63
    builder = CellBuilder(5, method="top_down", grid=S2Grid(30)).fit(coords)
    assert np.array_equal(builder.assign(coords), builder.labels_)
    with pytest.raises(ValueError, match="63 bits"):
        GroupedGrid((S2Grid(30), S2Grid(30)))
