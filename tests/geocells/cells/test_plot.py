from __future__ import annotations

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import pytest
import shapely

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from geocells import CellBuilder, CellPartition


def consolidated(min_images: int, **options: object) -> CellBuilder:
    """Build by consolidation, whatever the default method is."""
    return CellBuilder(min_images, method="consolidated", **options)


COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(400, 2))


@pytest.fixture
def cells() -> CellPartition:
    return consolidated(20, min_cell_size=0.1).fit(COORDS).cells_


@pytest.fixture(autouse=True)
def _closes_figures():
    yield
    plt.close("all")


def n_colors(ax: Axes) -> int:
    """Different colours on the drawn figure."""
    ax.figure.canvas.draw()
    pixels = np.ascontiguousarray(ax.figure.canvas.buffer_rgba())
    return len(np.unique(pixels.view(np.uint32)))


@pytest.mark.parametrize("color_by", ["cell", "count", "level"])
def test_a_map_is_drawn_with_a_patch_for_every_cell(cells, color_by):
    ax = cells.plot(color_by=color_by)
    assert isinstance(ax, Axes)
    n_parts = sum(len(shapely.get_parts(polygon)) for polygon in cells.polygons())
    assert sum(len(group.get_paths()) for group in ax.collections) >= min(n_parts, cells.n_cells)
    assert n_colors(ax) > 5


def test_the_map_goes_where_it_is_asked_to(cells):
    _, ax = plt.subplots()
    assert cells.plot(ax) is ax
    assert plt.get_fignums() == [ax.figure.number]


def test_the_map_shows_the_cells_and_little_else_even_with_outlines_of_the_world(cells):
    world = gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, 90)], crs=4326)
    ax = cells.plot(outlines=world)
    west, south, east, north = cells.to_geodataframe().total_bounds
    margin = 0.05 * max(east - west, north - south)
    low, high = ax.get_xlim()
    assert west - margin <= low <= west
    assert east <= high <= east + margin
    low, high = ax.get_ylim()
    assert south - margin <= low <= south
    assert north <= high <= north + margin


def test_locations_and_dots_may_be_left_out(cells):
    assert len(cells.plot(locations=False, dots=False).lines) == 0
    assert len(cells.plot(locations=True, dots=False).lines) == 1


def test_locations_are_drawn_at_longitude_and_latitude(cells):
    (line,) = cells.plot(dots=False).lines
    assert np.array_equal(np.asarray(line.get_xydata()), cells.locations[:, ::-1])


def test_one_degree_of_longitude_is_drawn_as_long_as_on_the_ground(cells):
    _, south, _, north = cells.to_geodataframe().total_bounds
    assert cells.plot().get_aspect() == pytest.approx(1 / np.cos(np.radians((south + north) / 2)))


@pytest.mark.parametrize("point", [(90.0, 0.0), (-90.0, 180.0), (0.0, 180.0), (47.0, 8.0)])
def test_a_single_cell_anywhere_is_drawn(point):
    ax = consolidated(1).fit([point]).cells_.plot()
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim(), ax.get_aspect()]).all()
    assert n_colors(ax) > 2


def test_cells_cut_at_the_antimeridian_are_drawn():
    cells = (
        consolidated(3, min_cell_size=0.5).fit([(0.0, 179.0), (1.0, -179.0), (1.0, 180.0)]).cells_
    )
    assert n_colors(cells.plot()) > 2


def test_an_unknown_colouring_is_refused(cells):
    with pytest.raises(
        ValueError, match="color_by must be one of 'cell', 'count', 'level'; got 'rainbow'"
    ):
        cells.plot(color_by="rainbow")
