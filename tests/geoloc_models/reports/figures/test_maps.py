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
    return [text.get_text() for text in legend.get_texts()]


def hexagons_of(figure):
    return [
        part
        for axis in figure.axes
        for part in axis.collections
        if part.get_array() is not None and axis.get_title()
    ]


def titled_axes(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_cells_of_several_methods_share_a_scale_and_end_at_borders(tmp_path):
    table, countries = small_table(), load_countries()
    cells = small_cells(table)
    figure = figures.map_of_cells(
        {"One": cells, "Two": cells},
        table.coords,
        panels=figures.panels_of_countries(countries, ["CH", "SE"]),
        zooms=[figures.MapPanel("Stockholm", (59.0, 17.5, 59.6, 18.5))],
    )
    axes = titled_axes(figure)
    assert [axis.get_title() for axis in axes] == ["Switzerland", "Sweden", "Stockholm"] * 2
    assert axes[2].get_ylim() == (59.0, 59.6)
    assert [len(axis.patches) for axis in axes[:3]] == [0, 1, 0]  # the zoom's frame
    assert "100 km" in [text.get_text() for text in axes[0].texts]
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels.count("Training images in the cell (each dot is one)") == 1
    west, _, east, _ = countries.loc["CH"].geometry.bounds
    drawn = [path.vertices for part in axes[0].collections for path in part.get_paths()]
    cells_drawn = np.vstack([path.vertices for path in axes[0].collections[2].get_paths()])
    assert len(drawn) > 2
    assert west - 0.01 <= cells_drawn[:, 0].min()
    assert cells_drawn[:, 0].max() <= east + 0.01
    figures.save_figure(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


def test_without_panels_a_map_shows_all_images():
    table = small_table()
    for figure in (
        figures.map_of_cells(small_cells(table), table.coords),
        figures.map_of_photos(table.coords),
    ):
        (south, north), (west, east) = figure.axes[0].get_ylim(), figure.axes[0].get_xlim()
        assert (table.coords > (south, west)).all()
        assert (table.coords < (north, east)).all()


def test_few_photos_are_dots():
    coords = [[1.0, 2.0], [3.0, 14.0], [50.0, 50.0]]
    figure = figures.map_of_photos(coords, ["LL", "RR", "RR"], BOXES, [PANEL])
    axis = figure.axes[0]
    dots = next(line for line in axis.lines if line.get_marker() == "o")
    assert dots.get_xydata().tolist() == [[2.0, 1.0], [14.0, 3.0]]  # the third is outside
    assert axis.get_title() == "Both\n2 photos"
    assert words_of(figure) == ["3 photos", "Right: 2", "Left: 1"]


def test_many_photos_are_hexagons_that_hold_them_all(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.maps.DOTS_UP_TO", 100)
    random = np.random.default_rng(0)
    coords = np.vstack([random.uniform(0, [10, 20], (300, 2)), np.full((200, 2), 5.0)])
    figure = figures.map_of_photos(coords, ["LL"] * 500, BOXES, [PANEL])
    (hexagons,) = hexagons_of(figure)
    counts = hexagons.get_array()
    assert counts.sum() == 500
    assert counts.max() >= 200
    assert figure.axes[0].get_title() == "Both\n500 photos"
    assert "Photos in a hexagon" in [axis.get_xlabel() for axis in figure.axes]


def test_panels_share_one_scale(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.maps.DOTS_UP_TO", 100)
    coords = np.vstack([np.full((150, 2), 5.0), np.tile([5.0, 15.0], (110, 1))])
    panels = [
        figures.MapPanel("Left", (0.0, 0.0, 10.0, 10.0)),
        figures.MapPanel("Right", (0.0, 10.0, 10.0, 20.0)),
    ]
    figure = figures.map_of_photos(coords, ["LL"] * 260, BOXES, panels)
    left, right = hexagons_of(figure)
    assert left.norm is right.norm
    assert left.norm.vmax == 150


def test_parts_are_counted_in_the_order_of_their_use():
    part = ["test", "train", "train", "validation", "elsewhere"]
    figure = figures.map_of_photos(
        np.full((5, 2), 5.0), ["LL", "LL", "RR", "LL", "XX"], BOXES, [PANEL], part
    )
    assert words_of(figure) == [
        "5 photos (train + validation + test + elsewhere)",
        "Left: 3 (1 + 1 + 1 + 0)",
        "Right: 1 (1 + 0 + 0 + 0)",
        "XX: 1 (0 + 0 + 0 + 1)",
    ]


def test_countries_beyond_the_named_are_counted_together(monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.maps.N_NAMED", 1)
    codes = ["LL"] * 3 + ["RR"] * 2 + ["XX", "YY"]
    figure = figures.map_of_photos(np.full((7, 2), 5.0), codes, BOXES, [PANEL])
    assert words_of(figure)[1:] == ["Left: 3", "3 more countries: 4"]


def test_no_photo_at_all_is_an_empty_map():
    figure = figures.map_of_photos(np.empty((0, 2)), [], BOXES, [PANEL])
    assert figure.axes[0].get_title() == "Both\n0 photos"


@pytest.mark.parametrize("panel", [figures.WORLD_PANEL, PANEL])
def test_hexagons_are_as_wide_as_said(panel, monkeypatch):
    monkeypatch.setattr("geoloc_models.reports.figures.maps.DOTS_UP_TO", 10)
    coords = np.random.default_rng(0).uniform(1, 9, (200, 2))
    figure = figures.map_of_photos(coords, ["LL"] * 200, BOXES, [panel])
    (hexagons,) = hexagons_of(figure)
    degrees = np.ptp(hexagons.get_paths()[0].vertices[:, 0])
    south, _, north, _ = panel.bounds
    expected = degrees * 111.195 * np.cos(np.radians((south + north) / 2))
    said = float(figure.axes[0].get_xlabel().removesuffix(" km hexagons"))
    assert said == pytest.approx(expected, abs=0.51)
