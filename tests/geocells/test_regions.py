from __future__ import annotations

from functools import lru_cache

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import coordinates

from geocells import RegionCells
from geocells.cells import VoronoiIndex

COORDS = np.random.default_rng(0).uniform((0, 0), (4, 4), size=(400, 2))


def squares(n_rows: int = 4, n_columns: int = 4, side: float = 1.0) -> gpd.GeoDataFrame:
    rows, columns = np.divmod(np.arange(n_rows * n_columns), n_columns)
    outlines = shapely.box(columns * side, rows * side, (columns + 1) * side, (rows + 1) * side)
    names = np.where(columns < n_columns // 2, "west", "east")
    return gpd.GeoDataFrame({"half": names}, geometry=outlines, crs=4326)


@lru_cache
def voronoi_regions(seed: int, n_regions: int) -> gpd.GeoDataFrame:
    """Regions of odd shapes all over the globe, with exact common borders."""
    sites = np.random.default_rng(seed).uniform((-80, -170), (80, 170), size=(n_regions, 2))
    return gpd.GeoDataFrame(geometry=VoronoiIndex(sites).polygons(n_regions), crs=4326)


# ------------------------------------------------------------------------------------------- the cells


@settings(max_examples=25)
@given(st.data(), coordinates(max_rows=100), st.integers(1, 20), st.booleans())
def test_every_image_is_in_one_cell_that_has_images_enough(data, coords, min_images, cut):
    regions = voronoi_regions(data.draw(st.integers(0, 10)), data.draw(st.integers(1, 12)))
    most = min_images + data.draw(st.integers(0, 20)) if cut else None
    builder = RegionCells(regions, min_images, most).fit(coords)
    assert np.array_equal(builder.assign(coords), builder.labels_)
    assert np.array_equal(np.bincount(builder.labels_), builder.counts_)
    assert builder.counts_.sum() == len(coords)
    assert builder.counts_.min() >= min_images or builder.n_cells_ == 1
    polygons = builder.cells_.polygons()
    assert shapely.is_valid(polygons).all()
    # Cells are disjoint and cover what the regions cover.
    total = shapely.area(shapely.union_all(regions.geometry.to_numpy(), grid_size=1e-9))
    assert shapely.area(polygons).sum() == pytest.approx(total, abs=1e-4)
    for (latitude, longitude), label in zip(coords[:20], builder.labels_[:20], strict=True):
        names = {longitude, -longitude} if abs(longitude) == 180 else {longitude}
        # Intersections of slanted borders with a cut are rounded; regions reach 1e-9 degrees short of one another.
        assert (
            min(polygons[label].distance(shapely.Point(name, latitude)) for name in names) <= 1e-6
        )


def test_without_merging_cells_are_the_regions_of_shapely():
    regions = voronoi_regions(3, 10)
    coords = np.random.default_rng(1).uniform((-85, -175), (85, 175), size=(3000, 2))
    builder = RegionCells(regions, min_images=1).fit(coords)
    held = shapely.covers(
        regions.geometry.to_numpy()[None, :], shapely.points(coords[:, ::-1])[:, None]
    )
    assert held.sum(axis=1).max() == 1
    inside = held.any(axis=1)
    assert np.array_equal(builder.region_of_image_[inside], held.argmax(axis=1)[inside])
    assert np.array_equal(builder.labels_, builder.region_of_image_)


def test_a_shared_border_belongs_to_the_lowest_region():
    builder = RegionCells(squares(2, 2), min_images=1).fit(
        [(0.5, 0.5), (0.5, 1.5), (1.5, 0.5), (1.5, 1.5)]
    )
    borders = [(0.5, 1.0), (1.0, 0.5), (1.0, 1.0), (1.0, 1.5), (1.5, 1.0), (0, 0), (2, 2)]
    assert builder.assign(borders).tolist() == [0, 0, 0, 1, 2, 0, 3]


def test_neighbours_short_of_images_are_merged():
    coords = [(0.5, 0.5)] * 3 + [(0.5, 1.5)] + [(0.5, 2.5)] * 2
    builder = RegionCells(squares(1, 3), min_images=2).fit(coords)
    assert builder.labels_.tolist() == [0] * 3 + [1] * 3
    assert [own.tolist() for own in builder.regions_of_cell_] == [[0], [1, 2]]
    assert builder.cells_.polygons()[1].equals(shapely.box(1, 0, 3, 1))
    assert builder.cells_.levels.tolist() == [0, 0]


def test_a_region_with_too_many_images_is_cut_at_their_median():
    builder = RegionCells(squares(1, 1, 4.0), min_images=50, max_images=100).fit(COORDS)
    assert builder.counts_.tolist() == [100] * 4
    assert builder.cells_.levels.tolist() == [2] * 4
    polygons = builder.cells_.polygons()
    assert shapely.union_all(polygons).equals(shapely.box(0, 0, 4, 4))
    # Where two cells meet, the place belongs to the northern or eastern one.
    east_edge = polygons[0].bounds[2]
    neighbour = builder.assign([(polygons[0].bounds[1] + 1e-3, east_edge)])[0]
    assert neighbour != 0
    assert polygons[neighbour].bounds[0] == east_edge


def test_groups_keep_their_regions_apart():
    coords = np.array([(0.5, x) for x in (0.5, 0.5, 1.5, 2.5, 3.5, 3.5)])
    builder = RegionCells(squares(1, 4), 3, group="half").fit(coords)
    assert builder.cells_.groups.tolist() == ["west", "east"]
    assert builder.labels_.tolist() == [0, 0, 0, 1, 1, 1]
    assert builder.assign([(0.5, 0.5)] * 2, ["east", "west"]).tolist() == [1, 0]
    # An image that says it is in the east belongs to the nearest region there.
    groups = ["west", "west", "east", "east", "east", "east"]
    told = RegionCells(squares(1, 4), 2, group="half").fit(coords, groups=groups)
    assert told.region_of_image_.tolist() == [0, 0, 2, 2, 3, 3]
    assert np.array_equal(told.assign(coords, groups), told.labels_)


def test_a_group_without_images_has_no_cell():
    builder = RegionCells(squares(1, 4), 1, group="half", outside="noise").fit([(0.5, 0.5)])
    assert builder.cells_.groups.tolist() == ["west"]
    assert builder.assign([(0.5, 1.5), (0.5, 3.5)]).tolist() == [0, -1]


# --------------------------------------------------------------------------------------------- outside


def test_images_outside_every_region_go_to_the_nearest_border():
    # Nearer to the long region's border, though its middle is far away.
    outlines = [shapely.box(0, 0, 40, 5), shapely.box(0, 8, 3, 9)]
    builder = RegionCells(outlines, min_images=1).fit([(1, 1), (8.5, 1), (6.0, 1), (7.5, 1)])
    assert builder.labels_.tolist() == [0, 1, 0, 1]
    assert builder.region_of_image_.tolist() == [0, 1, 0, 1]
    # On the other side of the antimeridian.
    assert RegionCells([shapely.box(170, 0, 179, 5), shapely.box(-150, 0, -140, 5)], 1).fit(
        [(1, 175), (1, -145)]
    ).assign([(1, -178)]).tolist() == [0]


def test_images_outside_may_be_noise_or_an_error():
    coords = [(0.5, 0.5), (50.0, 50.0)]
    builder = RegionCells(squares(1, 1), 1, outside="noise").fit(coords)
    assert builder.labels_.tolist() == [0, -1]
    assert builder.region_of_image_.tolist() == [0, -1]
    assert builder.counts_.tolist() == [1]
    with pytest.raises(
        ValueError, match=r"must lie in a region; 1 of 2 rows do not \(first: row 1, latitude 50"
    ):
        RegionCells(squares(1, 1), 1, outside="raise").fit(coords)
    with pytest.raises(ValueError, match="No image lies in a region"):
        RegionCells(squares(1, 1), 1, outside="noise").fit([(50.0, 50.0)])


# ------------------------------------------------------------------------------------- outlines, files


def test_both_names_of_the_antimeridian_lie_in_one_region():
    outlines = [shapely.box(-180, 0, -170, 5), shapely.box(170, 0, 180, 5)]
    builder = RegionCells(outlines, 1).fit([(1, -175), (1, 175)])
    assert builder.assign([(1, 180), (1, -180)]).tolist() == [0, 0]
    # Longitudes that run on past 180 are brought back.
    across = RegionCells([shapely.box(170, 0, 190, 5)], 1).fit([(1, 175), (1, -175)])
    assert across.labels_.tolist() == [0, 0]
    assert across.assign([(1, -171), (1, -169)]).tolist() == [0, 0]
    assert across.cells_.assign([(1, -169)], outside="noise").tolist() == [-1]


def test_poles_lie_in_the_region_that_reaches_them():
    outlines = [shapely.box(-180, -90, 180, 0), shapely.box(-180, 0, 180, 90)]
    builder = RegionCells(outlines, 1).fit([(-90, 0), (90, 0)])
    assert builder.assign([(90, 180), (90, -77), (-90, 12), (0, 3)]).tolist() == [1, 1, 0, 0]


def test_other_reference_systems_and_broken_outlines_are_understood():
    regions = squares(2, 2)
    builder = RegionCells(regions.to_crs(3857), 1).fit(COORDS / 2.1)
    assert np.array_equal(builder.labels_, RegionCells(regions, 1).fit(COORDS / 2.1).labels_)
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert not bow_tie.is_valid
    mended = RegionCells([bow_tie], 1).fit([(0.2, 1.9), (1.9, 0.2)])
    assert shapely.is_valid(mended.cells_.polygons()).all()


def test_the_order_of_the_images_does_not_matter():
    order = np.random.default_rng(0).permutation(len(COORDS))
    one = RegionCells(squares(), 30, 60).fit(COORDS)
    other = RegionCells(squares(), 30, 60).fit(COORDS[order])
    assert np.array_equal(one.labels_[order], other.labels_)
    assert np.array_equal(one.centroids_, other.centroids_)


@pytest.mark.parametrize(
    ("regions", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one polygon"),
        ([shapely.Point(0, 0)], {}, TypeError, "row 0 is Point"),
        ([shapely.box(0, 0, 1, 1), None], {}, TypeError, "row 1 is None"),
        ([shapely.Polygon()], {}, ValueError, "row 0 is empty"),
        ([shapely.box(0, 0, 1e6, 1e6)], {}, ValueError, "must lie on the globe.*reference system"),
        (squares(), {"group": "country"}, ValueError, "group must name a column"),
        (squares(), {"min_images": 5, "max_images": 4}, ValueError, "max_images must be at least 5"),
    ],
)  # fmt: skip
def test_unsound_regions_and_parameters_are_refused(regions, options, error, message):
    with pytest.raises(error, match=message):
        RegionCells(regions, **options).fit(COORDS)


def test_groups_must_be_those_of_the_regions():
    with pytest.raises(ValueError, match="group names no column"):
        RegionCells(squares()).fit(COORDS, groups=["west"] * 400)
    with pytest.raises(ValueError, match="no region of the group 'north'"):
        RegionCells(squares(), group="half").fit(COORDS, groups=["north"] * 400)


def test_text_tells_regions_by_their_number():
    builder = RegionCells(squares(), min_images=5).fit(COORDS)
    assert repr(builder) == "RegionCells(regions=<GeoDataFrame of 16>, min_images=5)"
    assert repr(builder.cells_).startswith("<CellPartition regions: ")
