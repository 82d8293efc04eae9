from __future__ import annotations

import geopandas as gpd
import naive
import numpy as np
import pytest
import shapely
from hypothesis import given
from strategies import coordinates

from geocells.grids.bounds import box_of_bounds, box_of_coords


@pytest.mark.parametrize(
    ("coords", "box"),
    [
        ([(47, 8), (46, 9.5), (46.5, 6)], (46, 6, 47, 9.5)),
        # The shortest arc, over the antimeridian or up to it, never around the globe.
        ([(0, 170), (1, -160)], (0, 170, 1, -160)),
        ([(0, 180), (1, -180)], (0, -180, 1, -180)),
        ([(0, -180), (1, 175)], (0, 175, 1, 180)),
        ([(0, 180), (1, -175)], (0, -180, 1, -175)),
    ],
)
def test_box_of_data_is_their_extent_by_the_shortest_arc(coords, box):
    assert box_of_coords(np.array(coords, dtype=float)) == box


def test_data_around_the_whole_circle_get_all_of_it():
    coords = np.column_stack([np.linspace(-10, 10, 3601), np.linspace(-180, 180, 3601)])
    assert box_of_coords(coords) == (-10, -180, 10, 180)


def test_a_gap_counts_from_a_fifth_of_a_degree_on():
    longitudes = np.arange(-1799, 1799) / 10  # -179.9 to 179.8, a gap of 0.3 degrees
    coords = np.column_stack([np.zeros(len(longitudes)), longitudes])
    assert box_of_coords(coords) == (0, -179.9, 0, 179.8)
    narrow = np.vstack([coords, [[0.0, 179.95]]])
    assert box_of_coords(narrow) == (0, -180, 0, 180)


def test_threads_do_not_change_the_box(monkeypatch):
    longitudes = np.concatenate([np.linspace(100, 180, 30), np.linspace(-180, -120, 30)])
    coords = np.random.default_rng(0).permutation(np.column_stack([longitudes / 9, longitudes]))
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "5")
    assert box_of_coords(coords) == (-20, 100, 20, -120)


@given(coordinates())
def test_box_is_the_circle_without_its_widest_gap(coords):
    south, west, north, east = box_of_coords(coords)
    twin = naive.box_of_points([tuple(point) for point in coords])
    width = (east - west) % 360.0 if (west, east) != (-180.0, 180.0) else 360.0
    twin_width = (twin[3] - twin[1]) % 360.0
    assert (south, north) == (twin[0], twin[2])
    if len(set(coords[:, 1] % 360.0)) > 1 and twin_width > 0:
        # Widths, not edges: with two gaps equally wide either arc will do. Differences of degrees round to 1e-13.
        assert width == pytest.approx(twin_width, abs=1e-12) or 360.0 - twin_width < 0.2


NEAR, FAR = shapely.box(6, 46, 8, 47), shapely.box(9, 45, 10, 46)
PAST_180 = [shapely.box(177, -19, 182, -16), shapely.box(170, -30, 172, -25)]


@pytest.mark.parametrize(
    ("bounds", "box"),
    [
        # A box is its own; one without extent too: a builder widens it to one cell.
        ((45.8, 5.9, 47.9, 10.6), (45.8, 5.9, 47.9, 10.6)),
        (np.array([-5.0, 170.0, 5.0, -170.0]), (-5, 170, 5, -170)),
        ((-90, -180, 90, 180), (-90, -180, 90, 180)),
        ((46, 8, 46, 8), (46, 8, 46, 8)),
        # Polygons have the box around all their parts.
        (shapely.MultiPolygon([NEAR, FAR]), (45, 6, 47, 10)),
        ([NEAR, FAR], (45, 6, 47, 10)),
        (gpd.GeoSeries([NEAR, FAR], crs=4326), (45, 6, 47, 10)),
        (gpd.GeoDataFrame(geometry=[NEAR, FAR]), (45, 6, 47, 10)),
        # They may reach the ends of the globe.
        (shapely.box(-180, -90, 180, 90), (-90, -180, 90, 180)),
        (shapely.box(170, -90, 360, 90), (-90, 170, 90, 0)),
        # Cut at the antimeridian (Fiji) or drawn past it, they have the box over it.
        (
            shapely.MultiPolygon([shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -178, -16)]),
            (-19, 177, -16, -178),
        ),
        (PAST_180[0], (-19, 177, -16, -178)),
        (PAST_180, (-30, 170, -16, -178)),
        (PAST_180[::-1], (-30, 170, -16, -178)),
    ],
    ids=str,
)  # fmt: skip
def test_bounds_of_every_kind_become_one_box(bounds, box):
    assert box_of_bounds(bounds) == box


def test_polygons_in_another_reference_system_are_converted():
    metres = gpd.GeoSeries([shapely.box(6, 46, 8, 47)], crs=4326).to_crs(3857)
    # Web Mercator and back in float64: about 1e-14 of the coordinate.
    assert box_of_bounds(metres) == pytest.approx((46, 6, 47, 8), abs=1e-9)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((8.0, 45.0, 10.0), "must be .south, west, north, east."),
        ("Switzerland", "must be .south, west, north, east."),
        ([NEAR, "Switzerland"], "must be .south, west, north, east."),
        ([np.zeros((2, 2)), np.zeros((2, 3))], "must be .south, west, north, east."),
        ((45.0, 5.0, float("nan"), 10.0), "-90 <= south <= north <= 90"),
        ((48.0, 5.0, 45.0, 10.0), "-90 <= south <= north <= 90"),
        ((5.0, 45.0, 100.0, 47.0), "swapped"),
        ((45.0, 5.0, 47.0, 190.0), r"\[-180, 180\]"),
        ((45.0, -190.0, 47.0, 5.0), r"\[-180, 180\]"),
        (shapely.Polygon(), "only empty polygons"),
        (shapely.box(0, 0, 10, 95), "must lie on the globe"),
        (shapely.box(-190, 0, 10, 10), "must lie on the globe"),
        (shapely.box(350, 0, 370, 10), "must lie on the globe"),
        (
            [NEAR, shapely.box(0, 0, 10, 95)],
            "must lie on the globe.*row 1, from .*reference system",
        ),
        ([NEAR, shapely.box(0, -95, 10, 0)], "must lie on the globe"),
        ([NEAR, shapely.box(-190, 0, 10, 10)], "must lie on the globe"),
        ([NEAR, shapely.box(350, 0, 370, 10)], "must lie on the globe"),
    ],
)
def test_bounds_that_are_no_box_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        box_of_bounds(bounds)
