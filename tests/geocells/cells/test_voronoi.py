from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import sphere
from geocells.cells import CellPartition, VoronoiIndex
from geocells.cells.voronoi import voronoi_polygons

GLOBE = 360.0 * 180.0

# Sites at least this far apart, as a fit leaves them.
APART_KM = 0.01

# A side is drawn in steps of a quarter of a degree: it strays 15 m times the tangent of the latitude.
STRAY_KM = 0.02


def apart(points: np.ndarray) -> np.ndarray:
    """Rows of which none is within 10 m of an earlier one."""
    kept: list[np.ndarray] = []
    for point in points:
        if not kept or sphere.haversine(np.array(kept), point).min() > APART_KM:
            kept.append(point)
    return np.array(kept)


def assert_covers_the_globe(polygons: np.ndarray) -> None:
    assert shapely.is_valid(polygons).all()
    assert set(shapely.get_type_id(polygons)) <= {3, 6}
    west, south, east, north = shapely.bounds(polygons).T
    assert west.min() >= -180
    assert east.max() <= 180
    assert south.min() >= -90
    assert north.max() <= 90
    # Borders are shared point by point; what is left are roundings along them (1e-12 degrees times 1000 of them).
    assert shapely.area(polygons).sum() == pytest.approx(GLOBE, abs=1e-6)
    assert shapely.union_all(polygons, grid_size=1e-9).area == pytest.approx(GLOBE, abs=1e-5)


def assert_points_lie_in_the_cell_of_the_nearest_site(sites: np.ndarray, seed: int = 0) -> None:
    polygons = voronoi_polygons(sites)
    assert_covers_the_globe(polygons)
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform((-90, -180), (90, 180), size=(300, 2)), sites])
    km = sphere.haversine_matrix(points, sites)
    nearest = km.argmin(axis=1)
    second = np.partition(km, 1, axis=1)[:, 1] if len(sites) > 1 else np.full(len(points), np.inf)
    # Where the runner-up is as near within what a drawn border may stray, either will do.
    latitude = np.radians(np.minimum(np.abs(points[:, 0]), 89.9))
    clear = second - km.min(axis=1) > 2 * STRAY_KM * (1 + np.tan(latitude))
    held = shapely.covers(polygons[nearest], shapely.points(points[:, 1], points[:, 0]))
    assert held[clear].all()


@given(coordinates(max_rows=60), st.integers(1, 40))
def test_polygons_hold_the_places_nearest_to_their_site(coords, n_sites):
    assert_points_lie_in_the_cell_of_the_nearest_site(apart(coords)[:n_sites])


@pytest.mark.parametrize(
    "sites",
    [
        [(47.0, 8.0)],
        [(90.0, 0.0)],
        [(47.0, 8.0), (59.0, 18.0)],
        [(10.0, 0.0), (-10.0, 180.0)],  # antipodes
        [(90.0, 0.0), (-90.0, 0.0)],
        [(0.0, 179.0), (0.0, -179.0)],
        [(0.0, 0.0), (0.0, 120.0), (0.0, -120.0)],  # lunes from pole to pole
        [(80.0, 0.0), (80.0, 120.0), (80.0, -120.0)],
        [(47.0, 8.0), (47.1, 8.0), (59.0, 18.0)],
        [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0)],  # on one great circle
        [(60.0, x) for x in range(-180, 180, 45)],  # on one parallel: the pole is a corner of all
        [(90.0, 0.0), (-90.0, 0.0), (0.0, 0.0), (0.0, 90.0), (0.0, 180.0), (0.0, -90.0)],
        [(a, b) for a in (-45.0, 45.0) for b in (0.0, 90.0, 180.0, -90.0)],  # corners at both poles
        [(47.0 + a, 8.0 + b) for a in (0, 0.001, 0.002) for b in (0, 0.001)],  # a lattice of 100 m
    ],
)  # fmt: skip
def test_polygons_of_awkward_sites(sites):
    assert_points_lie_in_the_cell_of_the_nearest_site(np.array(sites))


def test_no_sites_have_no_polygons():
    assert len(voronoi_polygons(np.empty((0, 2)))) == 0


def test_sites_in_one_place_are_refused():
    with pytest.raises(ValueError, match="apart: their Voronoi cells cannot be told apart"):
        voronoi_polygons(np.array([(1.0, 1.0), (2.0, 2.0), (1.0, 1.0)]))
    with pytest.raises(ValueError, match="cannot be told apart"):
        voronoi_polygons(np.array([(0.0, 180.0), (0.0, -180.0)]))


def test_two_hemispheres_share_a_meridian():
    east, west = voronoi_polygons(np.array([(0.0, 90.0), (0.0, -90.0)]))
    assert east.symmetric_difference(shapely.box(0, -90, 180, 90)).area <= 1e-6
    assert west.symmetric_difference(shapely.box(-180, -90, 0, 90)).area <= 1e-6


@given(coordinates(max_rows=40), coordinates(max_rows=40))
def test_every_place_is_held_by_the_nearest_site(sites, elsewhere):
    sites = apart(sites)
    found = VoronoiIndex(sites).cells_that_hold(elsewhere, None, sites)
    km = sphere.haversine_matrix(elsewhere, sites)
    chosen = km[np.arange(len(elsewhere)), found]
    # Chords between vectors good to 5e-14 do not tell points near the antipode apart.
    assert (chosen <= km.min(axis=1) + 1e-2).all()


def test_both_names_of_the_antimeridian_give_one_answer():
    sites = np.array([(0.0, 170.0), (0.0, -170.0)])
    found = VoronoiIndex(sites).cells_that_hold(
        np.array([(0.0, 180.0), (0.0, -180.0)]), None, sites
    )
    assert found[0] == found[1]


def test_no_sites_hold_no_places():
    none = np.empty((0, 2))
    assert VoronoiIndex(none).cells_that_hold(np.zeros((2, 2)), None, none).tolist() == [-1, -1]


def test_each_group_has_voronoi_cells_of_its_own():
    sites = np.array([(0.0, 0.0), (0.0, 90.0), (10.0, 10.0)])
    cell_index = VoronoiIndex(sites, np.array([0, 0, 1]))
    place = np.array([(9.0, 9.0)] * 4)
    asked = np.array([0, 1, -1, 5])
    assert cell_index.cells_that_hold(place, asked, sites).tolist() == [0, 2, -1, -1]
    assert cell_index.cells_that_hold(place, None, sites).tolist() == [2] * 4
    polygons = cell_index.polygons(3)
    assert polygons[2].area == pytest.approx(GLOBE)
    assert shapely.area(polygons[:2]).sum() == pytest.approx(GLOBE)


def test_cells_without_code_ranges_say_so():
    sites = np.array([(0.0, 0.0)])
    cells = CellPartition(
        VoronoiIndex(sites), sites, sites, np.ones(1, np.int64), np.zeros(1, np.int64)
    )
    with pytest.raises(AttributeError, match="Cells of kind 'voronoi' have no ranges"):
        cells.ranges  # noqa: B018
