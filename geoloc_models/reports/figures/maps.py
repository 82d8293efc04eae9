"""Photos and cells on country outlines: the paper's Figures 1 and 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import shapely
from matplotlib.colors import ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from geocells import CellPartition
from geoloc_models.reports.figures.style import OKABE_ITO, counts_bar, counts_norm, plain_numbers

LAND, SEA, BORDER = "#f4f2ec", "#e3ecf3", "#111111"
DOT = OKABE_ITO[1]
DENSITY = ListedColormap(mpl.colormaps["viridis_r"](np.linspace(0.12, 1.0, 256)))
CELL_COLOURS, CELL_EDGE, CELL_ALPHA = mpl.colormaps["YlGnBu"], "#555555", 0.75
KM_PER_DEGREE = 111.195


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


WORLD_PANEL = MapPanel("World", (-60.0, -180.0, 84.0, 180.0))


def panels_of_countries(
    countries: gpd.GeoDataFrame, codes: Sequence[str], *, margin: float = 0.05
) -> list[MapPanel]:
    """One panel per country, with a margin as a share of its size.

    Examples
    --------
    >>> from geoloc_models.countries import load_countries
    >>> from geoloc_models.reports.figures import panels_of_countries
    >>> [panel.title for panel in panels_of_countries(load_countries(), ["CH", "SE"])]
    ['Switzerland', 'Sweden']
    """
    panels = []
    for code in codes:
        west, south, east, north = countries.loc[code].geometry.bounds
        dy, dx = margin * (north - south), margin * (east - west)
        box = (max(south - dy, -90.0), west - dx, min(north + dy, 90.0), east + dx)
        panels.append(MapPanel(str(countries.loc[code, "name"]), box))
    return panels


def map_of_cells(
    cells: CellPartition,
    coords: npt.ArrayLike,
    countries: gpd.GeoDataFrame,
    panels: Sequence[MapPanel],
    *,
    title: str,
    zooms: Sequence[MapPanel] = (),
) -> Figure:
    """Training images and the cells made of them, on country outlines.

    Parameters
    ----------
    cells : CellPartition
        Fitted on the training images.
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    countries : GeoDataFrame
        Outlines, of :func:`geoloc_models.countries.load_countries`.
    panels : sequence of MapPanel
        What to show, side by side.
    title : str
        Over the figure.
    zooms : sequence of MapPanel
        Parts of the panels to show enlarged, one above the other at the right.

    Returns
    -------
    Figure
        1600 pixels wide; cells coloured by their number of training images, on a logarithmic
        scale where the largest number is above 20 times the smallest.

    Examples
    --------
    >>> from geocells import CellBuilder
    >>> from geoloc_models.countries import load_countries
    >>> from geoloc_models.reports.figures import map_of_cells, panels_of_countries
    >>> from geoloc_models.tables import read_photo_table
    >>> coords = read_photo_table("photos.csv").coords
    >>> cells, countries = CellBuilder(min_images=20).fit(coords).cells_, load_countries()
    >>> panels = panels_of_countries(countries, ["CH"])
    >>> figure = map_of_cells(cells, coords, countries, panels, title="Cells")
    """
    coords = np.asarray(coords, dtype=np.float64)
    frame = cells.to_geodataframe()
    counts = np.asarray(cells.counts, dtype=np.float64)
    norm = counts_norm(max(counts.min(), 1.0), max(counts.max(), counts.min() + 1.0))
    frame["colour"] = [to_hex(CELL_COLOURS(norm(count))) for count in counts]
    figure, axes = _map_axes(panels, zooms)
    for axis, panel in zip(axes, [*panels, *zooms], strict=True):
        is_world = panel == WORLD_PANEL
        _draw_countries(axis, panel, countries, border=0.3 if is_world else 1.0)
        shown = _part_inside(frame, panel)
        if len(shown):
            how: dict[str, Any] = {"ax": axis, "aspect": None}
            shown.plot(color=shown["colour"], alpha=CELL_ALPHA, edgecolor="none", zorder=2, **how)
            width = 0.2 if is_world else 0.8
            shown.boundary.plot(color=CELL_EDGE, linewidth=width, zorder=3, **how)
        size = 1.0 if is_world else 4.0 if panel in zooms else 2.5
        _draw_dots(axis, coords, markersize=size, markeredgewidth=0, alpha=0.7)
        if panel not in zooms:
            for zoom in zooms:
                _mark_zoom(axis, panel, zoom)
        _frame_map(axis, panel)
    label = "Training images in the cell"
    counts_bar(figure, axes, norm, CELL_COLOURS, label, alpha=CELL_ALPHA)
    cell: dict[str, Any] = {"facecolor": CELL_COLOURS(0.3), "edgecolor": CELL_EDGE}
    figure.legend(
        handles=[
            Patch(**cell, alpha=CELL_ALPHA, label="Cell"),
            Line2D([], [], color=BORDER, label="Border or coast"),
            _dot_of_legend("Training image"),
        ],
        loc="lower right",
        ncols=3,
    )
    # An empty line below: maps of a fixed aspect grow into the space that the layout left them.
    figure.suptitle(f"{title}\n", fontsize="x-large")
    return figure


def map_of_photos(
    coords: npt.ArrayLike,
    countries: npt.ArrayLike,
    polygons: gpd.GeoDataFrame,
    panels: Sequence[MapPanel],
    part: npt.ArrayLike | None = None,
    *,
    title: str = "Where the photos were taken",
    n_named: int = 12,
    dots_up_to: int = 500,
) -> Figure:
    """Photos on country outlines: how many where, and how many in each country.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    countries : array-like
        (n,) country codes.
    polygons : GeoDataFrame
        Outlines with a ``name``, of :func:`geoloc_models.countries.load_countries`.
    panels : sequence of MapPanel
        What to show, side by side.
    part : array-like, optional
        (n,) part of the split of each photo, counted in the legend.
    title : str
        Over the figure.
    n_named : int, default 12
        Countries with a line of their own in the legend, the largest first.
    dots_up_to : int, default 500
        A panel with more photos shows hexagons coloured by their number (one scale for all
        panels, logarithmic where the largest is above 20); one with fewer, a dot per photo.

    Returns
    -------
    Figure
        1600 pixels wide.

    Examples
    --------
    >>> from geoloc_models.countries import load_countries
    >>> from geoloc_models.reports.figures import map_of_photos, panels_of_countries
    >>> from geoloc_models.tables import read_photo_table
    >>> table, countries = read_photo_table("photos.csv"), load_countries()
    >>> panels = panels_of_countries(countries, ["CH"])
    >>> figure = map_of_photos(table.coords, table.countries, countries, panels)
    """
    coords = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
    codes = np.asarray(countries, dtype=object).astype(str)
    parts = None if part is None else np.asarray(part, dtype=object).astype(str)
    figure, axes = _map_axes(panels, beside=4.0)
    all_hexagons = []
    has_dots = False
    for axis, panel in zip(axes, panels, strict=True):
        is_world = panel == WORLD_PANEL
        _draw_countries(axis, panel, polygons, border=0.3 if is_world else 0.8)
        south, west, north, east = panel.bounds
        is_shown = ((south, west) <= coords).all(axis=1) & (coords <= (north, east)).all(axis=1)
        shown = coords[is_shown]
        width = ""
        if len(shown) > dots_up_to:
            hexagons, size_km = _draw_hexagons(axis, shown, panel)
            all_hexagons.append(hexagons)
            width = f"\nhexagons about {size_km:.{1 if size_km < 10 else 0}f} km wide"
        else:
            has_dots = True
            edge: dict[str, Any] = {"markeredgewidth": 0.3, "markeredgecolor": "white"}
            _draw_dots(axis, shown, markersize=2.5 if is_world else 4.0, alpha=0.8, **edge)
        _frame_map(axis, panel)
        axis.set_title(f"{panel.title}: {len(shown):,} photos{width}")
    if all_hexagons:
        most = max(float(hexagons.get_array().max()) for hexagons in all_hexagons)
        norm = counts_norm(1.0, max(most, 2.0))
        for hexagons in all_hexagons:
            hexagons.set_norm(norm)
        unit = "" if type(norm) is Normalize else " (logarithmic)"
        counts_bar(figure, axes, norm, DENSITY, f"Photos in a hexagon{unit}")
    names = [] if parts is None else _ordered_parts(parts)
    figure.legend(
        handles=[
            *([_dot_of_legend("Photo")] if has_dots else []),
            *_counts_by_country(codes, polygons, parts, n_named),
        ],
        title=f"{len(codes):,} photos" + (f"\n({' + '.join(names)})" if names else ""),
        alignment="left",
        handlelength=1.0 if has_dots else 0.0,
        handletextpad=0.6 if has_dots else 0.0,
        loc="outside right upper",
    )
    figure.suptitle(title, fontsize="x-large")
    return figure


def _map_axes(
    panels: Sequence[MapPanel], zooms: Sequence[MapPanel] = (), *, beside: float = 1.0
) -> tuple[Figure, list[Any]]:
    """Axes for the panels, of one height, and for the zooms in a last column.

    ``beside`` inches of the width are not for maps.
    """
    widths = [panel.aspect for panel in panels]
    if zooms:
        widths.append(max(zoom.aspect for zoom in zooms) / len(zooms))
    height = float(np.clip((16.0 - beside) / sum(widths), 4.0, 7.4)) + 1.6
    figure = Figure(figsize=(16.0, height), dpi=100, layout="constrained")
    grid = figure.add_gridspec(max(len(zooms), 1), len(widths), width_ratios=widths)
    axes = [figure.add_subplot(grid[:, column]) for column in range(len(panels))]
    axes += [figure.add_subplot(grid[row, -1]) for row in range(len(zooms))]
    return figure, axes


def _part_inside(frame: gpd.GeoDataFrame, panel: MapPanel) -> gpd.GeoDataFrame:
    """Rows that a panel shows, cut off a little outside it: less to draw."""
    south, west, north, east = panel.bounds
    dy, dx = 0.1 * (north - south), 0.1 * (east - west)
    box = (west - dx, south - dy, east + dx, north + dy)
    inside = frame.iloc[frame.sindex.query(shapely.box(*box), predicate="intersects")]
    if panel == WORLD_PANEL:
        return inside
    return inside.set_geometry(shapely.clip_by_rect(inside.geometry.to_numpy(), *box))


def _draw_countries(
    axis: Any, panel: MapPanel, countries: gpd.GeoDataFrame, *, border: float
) -> None:
    axis.set_facecolor(SEA)
    outlines = _part_inside(countries, panel)
    how: dict[str, Any] = {"ax": axis, "aspect": None}
    outlines.plot(color=LAND, edgecolor="none", zorder=1, **how)
    outlines.boundary.plot(color=BORDER, linewidth=border, zorder=4, **how)


def _draw_dots(axis: Any, coords: npt.NDArray[np.float64], **how: Any) -> None:
    axis.plot(coords[:, 1], coords[:, 0], "o", color=DOT, zorder=5, **how)


def _dot_of_legend(label: str) -> Line2D:
    return Line2D([], [], color=DOT, linestyle="none", marker="o", markersize=5, label=label)


def _draw_hexagons(
    axis: Any, coords: npt.NDArray[np.float64], panel: MapPanel
) -> tuple[Any, float]:
    """Hexagons with at least one photo, regular on the map, and their width in kilometres."""
    south, west, north, east = panel.bounds
    across = int(np.clip(round(85 * panel.aspect**0.8), 30, 200))
    hexagons = axis.hexbin(
        coords[:, 1],
        coords[:, 0],
        gridsize=(across, max(1, round(across / panel.aspect / np.sqrt(3)))),
        extent=(west, east, south, north),
        mincnt=1,
        cmap=DENSITY,
        linewidths=0.1,
        zorder=3,
    )
    return hexagons, (east - west) / across * panel.stretch * KM_PER_DEGREE


def _mark_zoom(axis: Any, panel: MapPanel, zoom: MapPanel) -> None:
    """Frame and name the part of a panel that a zoom shows."""
    south, west, north, east = zoom.bounds
    map_south, map_west, map_north, map_east = panel.bounds
    if south < map_south or west < map_west or north > map_north or east > map_east:
        return
    box = Rectangle((west, south), east - west, north - south, fill=False, linewidth=1.8, zorder=6)
    axis.add_patch(box)
    label = axis.text(west, north, zoom.title, va="bottom", ha="left", zorder=7)
    label.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _frame_map(axis: Any, panel: MapPanel) -> None:
    """Limits, title and labelled axes of a map."""
    south, west, north, east = panel.bounds
    axis.set(xlim=(west, east), ylim=(south, north), aspect=1.0 / panel.stretch)
    axis.set(title=panel.title, xlabel="Longitude (°)", ylabel="Latitude (°)")
    for ticks, n_ticks in ((axis.xaxis, 4 if panel.aspect < 1.2 else 8), (axis.yaxis, 7)):
        ticks.set_major_locator(MaxNLocator(n_ticks, steps=[1, 2, 2.5, 5, 10]))
    plain_numbers(axis.xaxis, axis.yaxis)


def _counts_by_country(
    codes: npt.NDArray[np.str_],
    polygons: gpd.GeoDataFrame,
    parts: npt.NDArray[np.str_] | None,
    n_named: int,
) -> list[Line2D]:
    """Lines of the legend: a country and its number of photos, the largest first."""
    countries, counts = np.unique(codes, return_counts=True)
    ordered = countries[np.lexsort((countries, -counts))]
    names = polygons["name"]
    groups = [(str(names.get(code, code)), [code]) for code in ordered[:n_named]]
    if len(ordered) > n_named:
        groups.append((f"{len(ordered) - n_named} more countries", list(ordered[n_named:])))
    lines = []
    for name, members in groups:
        is_here = np.isin(codes, members)
        line = f"{name}: {is_here.sum():,}"
        if parts is not None:
            shares = [np.sum(is_here & (parts == part)) for part in _ordered_parts(parts)]
            line += f" ({' + '.join(f'{share:,}' for share in shares)})"
        lines.append(Line2D([], [], linestyle="none", label=line))
    return lines


def _ordered_parts(parts: npt.NDArray[np.str_]) -> list[str]:
    usual = ["train", "validation", "test"]
    return sorted(set(parts), key=lambda name: (usual.index(name) if name in usual else 9, name))
