"""Maps of cells and of photos: panels, zooms, scale and legend."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from geoloc_models_small import small_cells, small_table

from geoloc_models.countries import load_countries
from geoloc_models.reports import figures

BOXES = gpd.GeoDataFrame(
    {"name": ["Left", "Right"]},
    geometry=[shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)],
    index=["LL", "RR"],
    crs="EPSG:4326",
)
PANEL = figures.MapPanel("Both", (0.0, 0.0, 10.0, 20.0))


def words_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def hexagons_of(figure):
    return [
        part
        for axis in figure.axes
        for part in axis.collections
        if part.get_array() is not None and axis.get_title()
    ]


def titled_axes(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_cells_have_a_panel_per_country_a_zoom_a_scale_and_a_legend(tmp_path):
    table, countries = small_table(), load_countries()
    figure = figures.map_of_cells(
        small_cells(table),
        table.coords,
        countries,
        figures.panels_of_countries(countries, ["CH", "SE"]),
        title="Cells",
        zooms=[figures.MapPanel("Stockholm", (59.0, 17.5, 59.6, 18.5))],
    )
    switzerland, sweden, stockholm = titled_axes(figure)
    titles = [axis.get_title() for axis in (switzerland, sweden, stockholm)]
    assert titles == ["Switzerland", "Sweden", "Stockholm"]
    assert all("°" in axis.get_xlabel() for axis in (switzerland, sweden, stockholm))
    assert stockholm.get_ylim() == (59.0, 59.6)
    assert [text.get_text() for text in sweden.texts] == ["Stockholm"]  # the zoom's frame
    assert not switzerland.texts
    assert "Training images in the cell" in [axis.get_xlabel() for axis in figure.axes]
    (legend,) = figure.legends
    words = {text.get_text() for text in legend.get_texts()}
    assert words == {"Cell", "Border or coast", "Training image"}
    figures.save_figure(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


def test_few_photos_are_dots():
    coords = [[1.0, 2.0], [3.0, 14.0], [50.0, 50.0]]
    figure = figures.map_of_photos(coords, ["LL", "RR", "RR"], BOXES, [PANEL])
    (axis,) = figure.axes
    (dots,) = axis.lines
    assert dots.get_xydata().tolist() == [[2.0, 1.0], [14.0, 3.0]]  # the third is outside
    assert axis.get_title() == "Both: 2 photos"
    assert "°" in axis.get_xlabel()
    words, title = words_of(figure)
    assert words == ["Photo", "Right: 2", "Left: 1"]
    assert title == "3 photos"


def test_many_photos_are_hexagons_that_hold_them_all():
    random = np.random.default_rng(0)
    coords = np.vstack([random.uniform(0, [10, 20], (300, 2)), np.full((200, 2), 5.0)])
    figure = figures.map_of_photos(coords, ["LL"] * 500, BOXES, [PANEL], dots_up_to=100)
    (hexagons,) = hexagons_of(figure)
    counts = hexagons.get_array()
    assert counts.sum() == 500
    assert counts.max() >= 200
    assert figure.axes[0].get_title().startswith("Both: 500 photos\nhexagons about ")
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert "Photos in a hexagon (logarithmic)" in labels


def test_panels_share_one_scale():
    coords = np.vstack([np.full((150, 2), 5.0), np.tile([5.0, 15.0], (110, 1))])
    panels = [
        figures.MapPanel("Left", (0.0, 0.0, 10.0, 10.0)),
        figures.MapPanel("Right", (0.0, 10.0, 10.0, 20.0)),
    ]
    figure = figures.map_of_photos(coords, ["LL"] * 260, BOXES, panels, dots_up_to=100)
    left, right = hexagons_of(figure)
    assert left.norm is right.norm
    assert left.norm.vmax == 150


def test_parts_are_counted_in_the_order_of_their_use():
    part = ["test", "train", "train", "validation", "elsewhere"]
    figure = figures.map_of_photos(
        np.full((5, 2), 5.0), ["LL", "LL", "RR", "LL", "XX"], BOXES, [PANEL], part
    )
    words, title = words_of(figure)
    assert title == "5 photos\n(train + validation + test + elsewhere)"
    assert words[1:] == [
        "Left: 3 (1 + 1 + 1 + 0)",
        "Right: 1 (1 + 0 + 0 + 0)",
        "XX: 1 (0 + 0 + 0 + 1)",
    ]


def test_countries_beyond_the_named_are_counted_together():
    codes = ["LL"] * 3 + ["RR"] * 2 + ["XX", "YY"]
    figure = figures.map_of_photos(np.full((7, 2), 5.0), codes, BOXES, [PANEL], n_named=1)
    words, _ = words_of(figure)
    assert words[1:] == ["Left: 3", "3 more countries: 4"]


def test_no_photo_at_all_is_an_empty_map():
    figure = figures.map_of_photos(np.empty((0, 2)), [], BOXES, [PANEL])
    assert figure.axes[0].get_title() == "Both: 0 photos"


@pytest.mark.parametrize("panel", [figures.WORLD_PANEL, PANEL])
def test_hexagons_are_as_wide_as_said(panel):
    coords = np.random.default_rng(0).uniform(1, 9, (200, 2))
    figure = figures.map_of_photos(coords, ["LL"] * 200, BOXES, [panel], dots_up_to=10)
    (hexagons,) = hexagons_of(figure)
    degrees = np.ptp(hexagons.get_paths()[0].vertices[:, 0])
    south, _, north, _ = panel.bounds
    expected = degrees * 111.195 * np.cos(np.radians((south + north) / 2))
    said = float(figure.axes[0].get_title().split("about ")[1].split(" km")[0])
    assert said == pytest.approx(expected, abs=0.51)
