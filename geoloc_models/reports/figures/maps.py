"""Photos and cells on country outlines: the paper's Figures 1 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import shapely
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from geocells import CellPartition
from geoloc_models.countries import load_countries
from geoloc_models.reports.figures.style import (
    FULL_WIDTH_MM,
    OKABE_ITO,
    QUIET,
    counts_bar,
    counts_norm,
    halo,
    legend_below,
    new_figure,
    printed,
    shades,
)

DOT = OKABE_ITO[1]
KM_PER_DEGREE = 111.195
HEXAGON_MM = 2.2
DOTS_UP_TO = 500
N_NAMED = 12
LEAST_BLOCK_MM = 38.0
BAR_MM = 15.0


@dataclass(frozen=True)
class MapPanel:
    """One map: a title, and the box it shows.

    Parameters
    ----------
    title : str
        Over the map.
    bounds : tuple of float
        South, west, north, east in degrees.

    Examples
    --------
    >>> from geoloc_models.reports.figures import MapPanel
    >>> MapPanel("Alps", (45.5, 5.5, 48.0, 11.0)).title
    'Alps'
    """

    title: str
    bounds: tuple[float, float, float, float]

    @property
    def stretch(self) -> float:
        """Length of a degree of longitude in degrees of latitude, mid-map."""
        south, _, north, _ = self.bounds
        return max(float(np.cos(np.radians((south + north) / 2.0))), 0.2)

    @property
    def aspect(self) -> float:
        """Width of the panel for a height of 1."""
        south, west, north, east = self.bounds
        return (east - west) * self.stretch / (north - south)

    def holds(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of these (n, 2) points it shows."""
        south, west, north, east = self.bounds
        inside = (coords >= (south, west)) & (coords <= (north, east))
        return np.asarray(inside.all(axis=1))


WORLD_PANEL = MapPanel("World", (-60.0, -180.0, 84.0, 180.0))
"""All land but the Antarctic."""


def panels_of_countries(countries: gpd.GeoDataFrame, codes: Sequence[str]) -> list[MapPanel]:
    """One panel per country, with a margin of a twentieth of its size.

    Examples
    --------
    >>> from geoloc_models.countries import load_countries
    >>> from geoloc_models.reports.figures import panels_of_countries
    >>> [panel.title for panel in panels_of_countries(load_countries(), ["CH", "SE"])]
    ['Switzerland', 'Sweden']
    """
    return [
        _panel_around(str(countries.loc[code, "name"]), countries.loc[code].geometry.bounds)
        for code in codes
    ]


def _panel_around(title: str, bounds: Sequence[float]) -> MapPanel:
    """Panel of what lies between west, south, east and north."""
    west, south, east, north = bounds
    dy, dx = 0.05 * (north - south) + 1e-3, 0.05 * (east - west) + 1e-3
    return MapPanel(title, (max(south - dy, -90.0), west - dx, min(north + dy, 90.0), east + dx))


def _panels(
    panels: Sequence[MapPanel] | None, coords: npt.NDArray[np.float64]
) -> Sequence[MapPanel]:
    """The panels asked for, or one around the images."""
    if panels is not None:
        return panels
    south, west = coords.min(axis=0, initial=90.0)
    north, east = coords.max(axis=0, initial=-90.0)
    return [_panel_around("", (west, south, east, north))] if len(coords) else [WORLD_PANEL]


@printed
def map_of_cells(
    cells: CellPartition | Mapping[str, CellPartition],
    coords: npt.ArrayLike,
    countries: gpd.GeoDataFrame | None = None,
    panels: Sequence[MapPanel] | None = None,
    *,
    title: str = "",
    zooms: Sequence[MapPanel] = (),
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Training images and the cells made of them, of one method or of several on one scale.

    Parameters
    ----------
    cells : CellPartition or mapping of str to CellPartition
        Fitted on the training images; several by the titles of their maps.
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    countries : GeoDataFrame, optional
        Outlines with their codes as index; by default all countries of
        :func:`geoloc_models.countries.load_countries`.
    panels : sequence of MapPanel, optional
        What to show; by default one map of all training images.
    title : str
        Over the figure.
    zooms : sequence of MapPanel
        Parts of the panels to show enlarged, beside the panel that holds them.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        Cells are coloured by their number of training images, on one scale, logarithmic where the
        largest number is above 20 times the smallest. They end at the country that their group
        names, otherwise at the coast.

    Examples
    --------
    >>> from geocells import CellBuilder
    >>> from geoloc_models.reports.figures import map_of_cells
    >>> from geoloc_models.tables import read_photo_table
    >>> coords = read_photo_table("photos.csv").coords
    >>> cells = CellBuilder(min_images=20).fit(coords).cells_
    >>> figure = map_of_cells({"Bottom-up": cells}, coords, width_mm=80)
    """
    coords = np.asarray(coords, dtype=np.float64)
    countries = load_countries() if countries is None else countries
    panels = _panels(panels, coords)
    partitions = cells if isinstance(cells, Mapping) else {"": cells}
    counts = np.concatenate([each.counts for each in partitions.values()]).astype(np.float64)
    norm = counts_norm(max(counts.min(), 1.0), max(counts.max(), counts.min() + 1.0))
    bands = [[panel, *(zoom for zoom in zooms if _is_part(zoom, panel))] for panel in panels]
    blocks = [(name, bands) for name in partitions]
    if len(partitions) == 1:
        blocks = [("", [band]) for band in bands]
        title = title or next(iter(partitions))
    figure, axes, bottom = _maps(blocks, title, width_mm)
    rim = to_rgba(mpl.rcParams["text.color"], 0.5)
    for index in range(len(blocks)):
        each = list(partitions.values())[index if len(partitions) > 1 else 0]
        frame = each.to_geodataframe()
        frame["colour"] = list(shades()(norm(each.counts)))
        for axis, panel in axes[index]:
            outlines = draw_outlines(axis, panel, countries)
            shown = _ending_at_borders(_part_inside(frame, panel), outlines)
            how: dict[str, Any] = {"ax": axis, "aspect": None, "linewidth": 0.3, "zorder": 2}
            if len(shown):
                shown.plot(color=list(shown["colour"]), edgecolor=rim, **how)
            _draw_dots(axis, coords[panel.holds(coords)], 1.2 if panel in zooms else 0.8)
            for zoom in zooms:
                if panel not in zooms and _is_part(zoom, panel):
                    south, west, north, east = zoom.bounds
                    box = (west, south), east - west, north - south
                    axis.add_patch(Rectangle(*box, fill=False, linewidth=0.9, zorder=6))
            axis.set(xlabel="", ylabel="")  # which GeoPandas writes
    counts_bar(bottom, norm, "Training images in the cell (each dot is one)")
    return figure


@printed
def map_of_photos(
    coords: npt.ArrayLike,
    countries: npt.ArrayLike | None = None,
    polygons: gpd.GeoDataFrame | None = None,
    panels: Sequence[MapPanel] | None = None,
    part: npt.ArrayLike | None = None,
    *,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Photos on country outlines: how many where, and how many in each country.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    countries : array-like, optional
        (n,) country codes, counted in the legend.
    polygons : GeoDataFrame, optional
        Outlines with a ``name``; by default all countries of
        :func:`geoloc_models.countries.load_countries`.
    panels : sequence of MapPanel, optional
        What to show, side by side; by default one map of all photos.
    part : array-like, optional
        (n,) part of the split of each photo, counted in the legend.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Notes
    -----
    A panel with more than 500 photos shows hexagons coloured by their number (one scale for all
    panels, logarithmic where the largest is above 20); one with fewer, a dot per photo. The 12
    countries with the most photos have a line of their own in the legend.

    Examples
    --------
    >>> from geoloc_models.reports.figures import map_of_photos
    >>> from geoloc_models.tables import read_photo_table
    >>> table = read_photo_table("photos.csv")
    >>> figure = map_of_photos(table.coords, table.countries)
    """
    coords = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
    polygons = load_countries() if polygons is None else polygons
    panels = _panels(panels, coords)
    lines: list[str] = []
    if countries is not None:
        codes = np.asarray(countries, dtype=object).astype(str)
        parts = None if part is None else np.asarray(part, dtype=object).astype(str)
        names = "" if parts is None else f" ({' + '.join(_ordered_parts(parts))})"
        lines = [
            f"{len(codes):,} photos{names}",
            *_counts_by_country(codes, polygons, parts),
        ]
    figure, axes, bottom = _maps([("", [[panel]]) for panel in panels], "", width_mm, 12.0)
    all_hexagons = []
    for ((axis, panel),) in axes:
        draw_outlines(axis, panel, polygons)
        shown = coords[panel.holds(coords)]
        axis.set_title(f"{panel.title}\n{len(shown):,} photos".removeprefix("\n"), fontsize=7)
        if len(shown) > DOTS_UP_TO:
            share = panel.aspect / sum(each.aspect for each in panels)
            across = max(1, round(width_mm * share / HEXAGON_MM))
            hexagons, size_km = _draw_hexagons(axis, shown, panel, across)
            all_hexagons.append(hexagons)
            axis.set_xlabel(f"{size_km:.{1 if size_km < 10 else 0}f} km hexagons", fontsize=6)
        else:
            _draw_dots(axis, shown, 2.0)
    if all_hexagons:
        most = max(float(hexagons.get_array().max()) for hexagons in all_hexagons)
        norm = counts_norm(1.0, max(most, 2.0))
        for hexagons in all_hexagons:
            hexagons.set_norm(norm)
        counts_bar(bottom, norm, "Photos in a hexagon")
    for line in lines:
        axes[0][0][0].plot([], [], " ", label=line)
    legend_below(figure, axes[0][0][0])
    return figure


def _maps(
    blocks: Sequence[tuple[str, list[list[MapPanel]]]],
    title: str,
    width_mm: float,
    words_mm: float = 6.0,
) -> tuple[Figure, list[list[tuple[Any, MapPanel]]], Any]:
    """Figure of blocks of maps, their axes and panels, and the space under them.

    A block has a title and bands of maps; the maps of a band are of one height, and have
    ``words_mm`` for words. Blocks without titles stand side by side, equally high; those with
    titles are alike, and stand side by side as far as the page is high enough.
    """
    shapes = [1.0 / sum(1.0 / sum(p.aspect for p in band) for band in bands) for _, bands in blocks]
    n_rows, maps_mm = 1, width_mm / sum(shapes)
    if blocks[0][0]:
        n_most = int(np.clip(width_mm // LEAST_BLOCK_MM, 1, len(blocks)))
        for n_columns in range(1, n_most + 1):
            n_rows = -(-len(blocks) // n_columns)
            maps_mm = n_rows * width_mm / n_columns / shapes[0]
            if maps_mm < 1.25 * width_mm:
                break
    n_columns = -(-len(blocks) // n_rows)
    maps_mm = min(maps_mm, 1.25 * width_mm * n_rows)
    maps_mm += n_rows * words_mm * max(len(bands) for _, bands in blocks) + 4.0
    figure = new_figure(width_mm, maps_mm + BAR_MM + 6.0 * bool(title), title)
    halves: Any = figure.subfigures(2, 1, height_ratios=[maps_mm, BAR_MM])
    top, bottom = halves
    widths = None if blocks[0][0] else shapes
    parts = top.subfigures(n_rows, n_columns, squeeze=False, width_ratios=widths).ravel()
    axes: list[list[tuple[Any, MapPanel]]] = []
    for part, (name, bands) in zip(parts, blocks, strict=False):
        part.suptitle(name)
        heights = [1.0 / sum(panel.aspect for panel in band) for band in bands]
        grid = part.add_gridspec(len(bands), 1, height_ratios=heights)
        axes.append([])
        for row, band in enumerate(bands):
            cells = grid[row].subgridspec(1, len(band), width_ratios=[p.aspect for p in band])
            for column, panel in enumerate(band):
                axis = part.add_subplot(cells[column])
                axis.set_title(panel.title, fontsize=7.5)
                axes[-1].append((axis, panel))
    return figure, axes, bottom


def draw_outlines(axis: Any, panel: MapPanel, countries: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Land and borders of a panel with a scale, and no degrees; returns what is drawn."""
    south, west, north, east = panel.bounds
    axis.set(
        xlim=(west, east), ylim=(south, north), aspect=1.0 / panel.stretch, xticks=[], yticks=[]
    )
    for spine in axis.spines.values():
        spine.set(visible=True, linewidth=0.4, color=QUIET)
    outlines = _part_inside(countries, panel)
    ink = mpl.rcParams["text.color"]
    if len(outlines):
        how: dict[str, Any] = {"ax": axis, "aspect": None}
        outlines.plot(color=ink, alpha=0.07, edgecolor="none", zorder=1, **how)
        outlines.boundary.plot(
            color=ink, linewidth=0.15 if east - west > 90 else 0.3, zorder=4, **how
        )
    axis.set(xlabel="", ylabel="")
    if panel == WORLD_PANEL:
        return outlines
    width_km = (east - west) * panel.stretch * KM_PER_DEGREE
    power = 10.0 ** np.floor(np.log10(0.4 * width_km))
    length = max(step * power for step in (1, 2, 5) if step * power <= 0.4 * width_km)
    share = length / width_km
    how = {"transform": axis.transAxes, "zorder": 8, "path_effects": [halo()]}
    axis.plot([0.95 - share, 0.95], [0.03, 0.03], color=ink, linewidth=1.0, **how)
    axis.text(0.95, 0.05, f"{length:,.0f} km", ha="right", fontsize=6, **how)
    return outlines


def _part_inside(frame: gpd.GeoDataFrame, panel: MapPanel) -> gpd.GeoDataFrame:
    """Rows that a panel shows, cut off a little outside it, in no more detail than is seen."""
    south, west, north, east = panel.bounds
    dy, dx = 0.02 * (north - south), 0.02 * (east - west)
    box = shapely.box(west - dx, south - dy, east + dx, north + dy)
    inside = frame.iloc[np.sort(frame.sindex.query(box, predicate="intersects"))]
    simple = shapely.simplify(inside.geometry.to_numpy(), (north - south) / 2000)
    return inside.set_geometry(shapely.intersection(shapely.make_valid(simple), box))


def _ending_at_borders(cells: gpd.GeoDataFrame, outlines: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """What of each cell lies in the country that its group names, or else on land."""
    land = shapely.union_all(outlines.geometry.to_numpy())
    shapes = outlines.geometry.to_dict()
    groups = cells["group"] if "group" in cells else np.full(len(cells), None)
    within = [shapes.get(group, land) for group in groups]
    clipped = cells.set_geometry(shapely.intersection(cells.geometry.to_numpy(), within))
    return clipped[shapely.area(clipped.geometry.to_numpy()) > 0]


def _is_part(zoom: MapPanel, panel: MapPanel) -> bool:
    """Whether the panel shows all of the zoom."""
    return bool(panel.holds(np.reshape(zoom.bounds, (2, 2))).all())


def _draw_dots(axis: Any, coords: npt.NDArray[np.float64], size: float) -> None:
    how: dict[str, Any] = {"markersize": size, "markeredgewidth": 0, "alpha": 0.7, "zorder": 5}
    axis.plot(coords[:, 1], coords[:, 0], "o", color=DOT, **how)


def _draw_hexagons(
    axis: Any, coords: npt.NDArray[np.float64], panel: MapPanel, across: int
) -> tuple[Any, float]:
    """Hexagons with at least one photo, regular on the map, and their width in kilometres."""
    south, west, north, east = panel.bounds
    hexagons = axis.hexbin(
        coords[:, 1],
        coords[:, 0],
        gridsize=(across, max(1, round(across / panel.aspect / np.sqrt(3)))),
        extent=(west, east, south, north),
        mincnt=1,
        cmap=shades(),
        linewidths=0.1,
        zorder=3,
    )
    return hexagons, (east - west) / across * panel.stretch * KM_PER_DEGREE


def _counts_by_country(
    codes: npt.NDArray[np.str_],
    polygons: gpd.GeoDataFrame,
    parts: npt.NDArray[np.str_] | None,
) -> list[str]:
    """Lines of the legend: a country and its number of photos, the largest first."""
    countries, counts = np.unique(codes, return_counts=True)
    ordered = countries[np.lexsort((countries, -counts))]
    names = polygons["name"]
    groups = [(str(names.get(code, code)), [code]) for code in ordered[:N_NAMED]]
    if len(ordered) > N_NAMED:
        groups.append((f"{len(ordered) - N_NAMED} more countries", list(ordered[N_NAMED:])))
    lines = []
    for name, members in groups:
        is_here = np.isin(codes, members)
        line = f"{name}: {is_here.sum():,}"
        if parts is not None:
            shares = [np.sum(is_here & (parts == part)) for part in _ordered_parts(parts)]
            line += f" ({' + '.join(f'{share:,}' for share in shares)})"
        lines.append(line)
    return lines


def _ordered_parts(parts: npt.NDArray[np.str_]) -> list[str]:
    usual = ["train", "validation", "test"]
    return sorted(set(parts), key=lambda name: (usual.index(name) if name in usual else 9, name))
