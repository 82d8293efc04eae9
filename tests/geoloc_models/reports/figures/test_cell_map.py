"""The map of cells: panels, zooms, scale and legend."""

from geoloc_models_small import small_cells, small_table

from geoloc_models.countries import load_countries
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
