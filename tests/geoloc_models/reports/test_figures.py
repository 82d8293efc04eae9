"""Pictures: drawn without a screen, labelled, with units."""

import numpy as np
import pytest
from geoloc_models_small import small_cells, small_table

from geoloc_models.data import load_countries
from geoloc_models.reports import figures


def axes_of(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_a_map_has_a_panel_per_country_with_labelled_axes(tmp_path):
    table, countries = small_table(), load_countries()
    panels = figures.panels_of_countries(countries, ["CH", "SE"])
    figure = figures.map_of_cells(
        small_cells(table), table.coords, countries, panels, title="Cells"
    )
    assert [axis.get_title() for axis in axes_of(figure)] == ["Switzerland", "Sweden"]
    assert all("°" in axis.get_xlabel() for axis in axes_of(figure))
    figures.save_figure(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


def test_a_zoom_is_drawn_at_the_side_and_marked_on_its_own_panel():
    table, countries = small_table(), load_countries()
    zoom = figures.MapPanel("Stockholm", (59.0, 17.5, 59.6, 18.5))
    figure = figures.map_of_cells(
        small_cells(table),
        table.coords,
        countries,
        figures.panels_of_countries(countries, ["CH", "SE"]),
        title="Cells",
        zooms=[zoom],
    )
    switzerland, sweden, stockholm = axes_of(figure)
    assert stockholm.get_title() == "Stockholm"
    assert stockholm.get_ylim() == (59.0, 59.6)
    assert [text.get_text() for text in sweden.texts] == ["Stockholm"]
    assert not switzerland.texts


def test_the_colours_of_a_map_have_a_scale_and_a_legend():
    table, countries = small_table(), load_countries()
    figure = figures.map_of_cells(
        small_cells(table), table.coords, countries, [figures.WORLD_PANEL], title="Cells"
    )
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert "Training images in the cell" in labels
    (legend,) = figure.legends
    words = {text.get_text() for text in legend.get_texts()}
    assert words == {"Cell", "Border or coast", "Training image"}


def test_the_error_curve_passes_through_the_shares():
    figure = figures.error_curves({"country": np.array([1.0, 10.0, 100.0, 1000.0])})
    (axis,) = figure.axes
    x, y = axis.lines[0].get_data()
    for distance, share in ((0.9, 0), (1.0, 25), (99, 50), (100, 75), (1000, 100)):
        assert max(y[x <= distance]) == pytest.approx(share)
    assert "km" in axis.get_xlabel()
    assert "%" in axis.get_ylabel()


def test_training_curves_mark_the_kept_epoch():
    history = [
        {"epoch": e, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": v, "val_accuracy": 0.5}
        for e, v in ((1, 3.0), (2, 1.0), (3, 2.0))
    ]
    figure = figures.training_curves({"country": history})
    marked = [line for line in figure.axes[0].lines if line.get_markersize() > 5]
    assert marked[0].get_xdata()[0] == 2


def test_an_example_says_truth_guess_and_distance():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    sheet = figures.example_sheet(
        [figures.Example(pixels, "Sweden", "Switzerland", 1234.5)], title="Examples"
    )
    assert sheet.axes[0].get_title() == "True: Sweden"
    assert "Switzerland, 1,23" in sheet.axes[0].get_xlabel()
