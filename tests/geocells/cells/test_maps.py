from __future__ import annotations

import json
import re
import sys

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import pytest
import shapely

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from geocells import CellBuilder, CellPartition, GeocellsWarning
from geocells.cells import maps
from geocells.web_map import MapPage

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(400, 2))
VIRIDIS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]
GROUPS = np.where(COORDS[:, 1] < 8, "west", "east")


def consolidated(
    min_images: int, coords: object, groups: object = None, **options: object
) -> CellPartition:
    return (
        CellBuilder(min_images, method="consolidated", **options).fit(coords, groups=groups).cells_
    )


@pytest.fixture
def cells() -> CellPartition:
    return consolidated(20, COORDS, GROUPS, min_cell_size=0.1)


@pytest.fixture(autouse=True)
def _closes_figures():
    yield
    plt.close("all")


# ------------------------------------------------------------------------------------------- pictures


def n_colors(ax: Axes) -> int:
    """Different colours on the drawn figure."""
    ax.figure.canvas.draw()
    pixels = np.ascontiguousarray(ax.figure.canvas.buffer_rgba())
    return len(np.unique(pixels.view(np.uint32)))


@pytest.mark.parametrize("color_by", ["cell", "count", "level"])
def test_a_picture_has_a_patch_for_every_cell(cells, color_by):
    ax = cells.plot(color_by=color_by)
    assert sum(len(group.get_paths()) for group in ax.collections) >= cells.n_cells
    assert n_colors(ax) > 5


def test_the_picture_goes_where_the_caller_wants_it(cells):
    _, ax = plt.subplots()
    assert cells.plot(ax) is ax
    assert plt.get_fignums() == [ax.figure.number]


def test_the_picture_shows_the_cells_and_little_else_even_with_outlines_of_the_world(cells):
    world = gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, 90)], crs=4326)
    ax = cells.plot(outlines=world)
    west, south, east, north = cells.to_geodataframe().total_bounds
    margin = 0.05 * max(east - west, north - south)
    for (low, high), least, most in ((ax.get_xlim(), west, east), (ax.get_ylim(), south, north)):
        assert least - margin <= low <= least
        assert most <= high <= most + margin
    # One degree of longitude is drawn as long as it is on the ground.
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians((south + north) / 2)))


def test_coasts_and_borders_are_drawn_unless_they_are_not_wanted(cells):
    assert len(cells.plot().collections) == 1 + len(cells.plot(outlines=None).collections)
    near = content(cells.explore(tiles=None))["borders"]["geometries"]
    assert any(shapely.geometry.shape(own).contains(shapely.Point(8.0, 47.0)) for own in near)


@pytest.mark.parametrize("color_by", ["count", "level"])
def test_maps_to_compare_share_one_scale(cells, color_by):
    pages = [
        content(own.explore(color_by=color_by, limits=(1, 1000)))
        for own in (cells, consolidated(100, COORDS))
    ]
    title = {"count": "images in the cell", "level": "quadtree level"}[color_by]
    for page in pages:
        assert page["scale"] == {"title": title, "ends": ["1", "1000"], "colors": VIRIDIS}
    norm = cells.plot(color_by=color_by, limits=(1, 1000)).collections[0].norm
    assert (norm.vmin, norm.vmax) == (1, 1000)
    assert content(cells.explore())["scale"] is None


@pytest.mark.parametrize("limits", [(5, 1), (0, 10), (1, np.inf), (np.nan, 2)])
def test_limits_that_make_no_scale_are_refused(cells, limits):
    for draw in (cells.plot, cells.explore):
        with pytest.raises(ValueError, match="limits must be the least and the greatest count"):
            draw(color_by="count", limits=limits)


def test_locations_and_dots_of_small_cells_may_be_left_out(cells):
    assert len(cells.plot(locations=False, dots=False).lines) == 0
    (line,) = cells.plot(dots=False).lines
    assert np.array_equal(np.asarray(line.get_xydata()), cells.locations[:, ::-1])


def test_cells_too_small_to_see_have_a_dot():
    crowd = np.tile([(10.0, 20.0)], (3, 1))
    wide = consolidated(
        3, [*crowd, (-50, -100), (50, 100), (60, 120)], leftover="cell", min_cell_size=0.1
    )
    dots, _ = wide.plot().lines
    (small,) = np.flatnonzero(wide.levels > 5)
    assert np.asarray(dots.get_xydata()).tolist() == [wide.locations[small, ::-1].tolist()]


@pytest.mark.parametrize(
    "coords",
    [[(90.0, 0.0)], [(-90.0, 180.0)], [(0.0, 180.0)], [(47.0, 8.0)], [(0.0, 179.0), (1.0, -179.0)]],
)
def test_a_cell_anywhere_is_drawn(coords):
    ax = consolidated(len(coords), coords).plot()
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim(), ax.get_aspect()]).all()
    assert n_colors(ax) > 2


# ---------------------------------------------------------------------------------- pages for a browser


def content(page: MapPage) -> dict:
    """What the page's program draws."""
    return json.loads(re.search(r'id="map-content">(.*?)</script>', page.html).group(1))


def values(page: MapPage, name: str) -> list:
    return [feature["properties"][name] for feature in content(page)["cells"]["features"]]


def test_every_cell_and_location_is_drawn_with_its_count_level_and_group(cells):
    page = cells.explore(color_by="level")
    assert values(page, "cell") == list(range(cells.n_cells))
    assert values(page, "images") == cells.counts.tolist()
    assert values(page, "level") == cells.levels.tolist()
    assert values(page, "group") == cells.groups.tolist()
    # To a tenth of a metre.
    assert np.allclose(content(page)["locations"], cells.locations, rtol=0, atol=1e-6)
    west, south, east, north = cells.to_geodataframe().total_bounds
    assert content(page)["bounds"] == [[south, west], [north, east]]
    assert content(cells.explore(locations=False))["locations"] is None


def test_all_but_the_background_is_in_the_page(cells):
    page = cells.explore(tiles=None).html
    assert re.findall(r'(?:src|href)="?([^">]*)', re.sub("(?s)<script.*?</script>", "", page)) == []
    assert set(re.findall(r"url\((?!data:)[^)]*\)", page)) == {"url(#default#VML)"}
    assert "img-src data:" in page
    assert "img-src data: https:" in cells.explore().html
    assert content(cells.explore(tiles=None))["tiles"] is None
    with pytest.raises(ValueError, match="Unknown background 'nowhere'"):
        cells.explore(tiles="nowhere")


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)//"])
def test_names_are_shown_and_not_run_as_html(name):
    page = consolidated(1, [(1.0, 1.0)], [name]).explore(color_by="group")
    assert values(page, "group") == [name]
    assert name not in page.html
    # The scripts' own hashes alone may run; a name is a text in JSON.
    assert page.html.count("<script>") == page.html.count("sha256-")


def test_colours_run_from_the_least_to_the_greatest(cells):
    page = cells.explore(color_by="count")
    color_of_count = dict(zip(values(page, "images"), values(page, "color"), strict=True))
    # The ends of viridis.
    assert color_of_count[cells.counts.min()] == "#440154"
    assert color_of_count[cells.counts.max()] == "#fde725"
    assert len(set(color_of_count.values())) > 5
    colors = values(cells.explore(color_by="group"), "color")
    assert colors == [maps.CELL_COLORS[group == "west"] for group in cells.groups]


def test_of_too_many_cells_the_fullest_are_shown_and_a_warning_says_so(cells):
    with pytest.warns(GeocellsWarning, match=f"the 5 fullest of {cells.n_cells} cells") as warned:
        page = cells.explore(max_cells=5)
    assert warned[0].filename == __file__
    assert sorted(values(page, "images")) == sorted(cells.counts)[-5:]
    assert values(page, "color") == [maps.CELL_COLORS[k % 9] for k in values(page, "cell")]


def test_cells_on_both_sides_of_the_antimeridian_are_drawn_side_by_side():
    rng = np.random.default_rng(1)
    fiji = np.column_stack([rng.uniform(-19, -16, 500), rng.uniform(177, 182, 500)])
    fiji[:, 1] = (fiji[:, 1] + 180.0) % 360.0 - 180.0
    cells = consolidated(20, fiji)
    (south, west), (north, east) = content(cells.explore())["bounds"]
    assert 176.9 < west < 177.1
    assert 181.9 < east < 182.1
    longitudes = np.array(content(cells.explore())["locations"])[:, 1]
    assert (longitudes > 180.0).any()
    assert west <= longitudes.min() < longitudes.max() <= east
    low, high = cells.plot().get_xlim()
    assert high - low < 6
    drawn = [
        shapely.geometry.shape(own["geometry"])
        for own in content(cells.explore())["cells"]["features"]
    ]
    across = [cell for cell in drawn if cell.bounds[0] < 180.0 < cell.bounds[2]]
    assert across
    assert {cell.geom_type for cell in across} == {"Polygon"}
    assert south < north


def test_cells_all_around_the_world_are_drawn_from_180_west_to_180_east():
    groups = np.repeat(["America", "Africa and Asia"], 300)  # the wider gap is in the Atlantic
    longitudes = np.concatenate([np.linspace(-170, -40, 300), np.linspace(-10, 175, 300)])
    cells = consolidated(20, np.column_stack([np.zeros(600), longitudes]), groups)
    (_, west), (_, east) = content(cells.explore())["bounds"]
    assert (west, east) == (-170.0, 175.0)


def test_outlines_with_too_many_corners_are_simplified(monkeypatch):
    square = shapely.segmentize(shapely.box(0, 0, 1, 1), 0.01)
    assert maps._simplified(np.array([square]))[0] is square
    monkeypatch.setattr(maps, "MOST_CORNERS", 10)
    (simple,) = maps._simplified(np.array([square]))
    assert simple.equals(square)
    assert shapely.get_num_coordinates(simple) == 5


def test_a_thousand_cells_make_a_page_of_a_megabyte():
    coords = np.random.default_rng(2).uniform((-60, -180), (70, 180), size=(8000, 2))
    cells = consolidated(5, coords)
    assert cells.n_cells > 800
    assert len(cells.explore(color_by="count").html) < 2e6


def test_colourings_that_cannot_be_are_refused(cells):
    with pytest.raises(ValueError, match="built without groups"):
        consolidated(20, COORDS).explore(color_by="group")
    with pytest.raises(ValueError, match="color_by must be one of"):
        cells.explore(color_by="rainbow")
    with pytest.raises(
        ValueError, match="color_by must be one of 'cell', 'count', 'level'; got 'rainbow'"
    ):
        cells.plot(color_by="rainbow")


@pytest.mark.parametrize(
    ("package", "options"), [("jinja2", {}), ("matplotlib", {"color_by": "level"})]
)
def test_without_a_package_the_error_names_the_remedy(cells, monkeypatch, package, options):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package}: pip install '\.\[plot\]'"):
        cells.explore(**options)
