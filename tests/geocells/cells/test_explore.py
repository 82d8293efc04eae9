from __future__ import annotations

import sys

import folium
import numpy as np
import pytest

from geocells import CellBuilder, CellPartition, GeocellsWarning
from geocells.cells import _explore

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(400, 2))
GROUPS = np.where(COORDS[:, 1] < 8, "west", "east")


@pytest.fixture
def cells() -> CellPartition:
    return (
        CellBuilder(20, method="consolidated", min_cell_size=0.1).fit(COORDS, groups=GROUPS).cells_
    )


def layers(chart: folium.Map) -> dict[str, folium.GeoJson]:
    return {
        child.layer_name: child
        for child in chart._children.values()
        if isinstance(child, folium.GeoJson)
    }


def test_every_cell_is_drawn_with_its_count_level_and_group(cells):
    drawn = layers(cells.explore(color_by="level"))["cells"].data["features"]
    assert [own["properties"]["cell"] for own in drawn] == list(range(cells.n_cells))
    assert [own["properties"]["images"] for own in drawn] == cells.counts.tolist()
    assert [own["properties"]["level"] for own in drawn] == cells.levels.tolist()
    assert [own["properties"]["group"] for own in drawn] == cells.groups.tolist()


def test_locations_are_drawn_at_longitude_and_latitude(cells):
    points = layers(cells.explore())["locations (mean)"].data["features"]
    places = [own["geometry"]["coordinates"] for own in points]
    assert np.allclose(places, cells.locations[:, ::-1], atol=1e-6)
    assert list(layers(cells.explore(locations=False))) == ["cells"]


@pytest.mark.parametrize("color_by", ["cell", "count", "level", "group"])
def test_the_page_renders_with_every_colouring(cells, color_by):
    page = cells.explore(color_by=color_by).get_root().render()
    assert "leaflet" in page
    assert page.count('"images"') >= cells.n_cells


def test_colours_run_from_the_least_to_the_greatest():
    colors = _explore._ramp(np.array([3.0, 1.0, 2.0]))
    assert colors[1] == _explore.RAMP[0]
    assert colors[0] == _explore.RAMP[-1]
    assert colors[2] not in _explore.RAMP[::5]
    assert set(_explore._ramp(np.ones(4))) == {_explore.RAMP[0]}


def test_of_too_many_cells_the_fullest_are_shown_and_the_rest_is_told(cells):
    with pytest.warns(GeocellsWarning, match=f"the 5 fullest of {cells.n_cells} cells") as told:
        chart = cells.explore(max_cells=5)
    assert told[0].filename == __file__
    shown = [own["properties"]["images"] for own in layers(chart)["cells"].data["features"]]
    assert sorted(shown) == sorted(cells.counts)[-5:]


def test_outlines_with_too_many_corners_are_simplified_and_the_legend_says_so(cells, monkeypatch):
    monkeypatch.setattr(_explore, "MOST_CORNERS", 1)
    (name,) = layers(cells.explore(locations=False))
    assert name.startswith("cells (outlines simplified to ")


def test_the_map_shows_the_cells(cells):
    west, south, east, north = cells.to_geodataframe().total_bounds
    page = cells.explore().get_root().render()
    assert "fitBounds" in page
    assert f"{south}" in page
    assert f"{north}" in page
    assert west < east


def test_thousands_of_cells_make_a_page_of_some_megabytes():
    coords = np.random.default_rng(2).uniform((-60, -180), (70, 180), size=(30_000, 2))
    cells = CellBuilder(5, method="consolidated").fit(coords).cells_
    assert cells.n_cells > 3000
    page = cells.explore(color_by="count").get_root().render()
    assert len(page) < 12e6


def test_colouring_by_groups_needs_groups():
    plain = CellBuilder(20, method="consolidated").fit(COORDS).cells_
    with pytest.raises(ValueError, match="built without groups"):
        plain.explore(color_by="group")
    with pytest.raises(ValueError, match="color_by must be one of"):
        plain.explore(color_by="rainbow")


def test_without_folium_the_error_names_the_remedy(cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "folium", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'geocells\[plot\]'"):
        cells.explore()
