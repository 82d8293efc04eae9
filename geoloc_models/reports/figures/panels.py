"""Maps: what they show, and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

LAND = "#f4f2ec"
SEA = "#e3ecf3"
BORDER = "#111111"


@dataclass(frozen=True)
class MapPanel:
    """One map: a title, and the box it shows.

    Parameters
    ----------
    title : str
        Over the map.
    bounds : tuple of float
        South, west, north, east in degrees.
    """

    title: str
    bounds: tuple[float, float, float, float]


def panels_of_countries(
    countries: gpd.GeoDataFrame, codes: Sequence[str], *, margin: float = 0.05
) -> list[MapPanel]:
    """One panel per country, with a margin as a share of its size."""
    panels = []
    for code in codes:
        west, south, east, north = countries.loc[code].geometry.bounds
        dy, dx = margin * (north - south), margin * (east - west)
        box = (max(south - dy, -90.0), west - dx, min(north + dy, 90.0), east + dx)
        panels.append(MapPanel(str(countries.loc[code, "name"]), box))
    return panels


WORLD_PANEL = MapPanel("World", (-60.0, -180.0, 84.0, 180.0))


def map_grid(
    panels: Sequence[MapPanel], zooms: Sequence[MapPanel], *, beside: float = 1.0
) -> tuple[Figure, list[Any]]:
    """Axes for the panels, of one height, and for the zooms in a last column.

    ``beside`` inches of the width are not for maps.
    """
    widths = [aspect(panel) for panel in panels]
    if zooms:
        widths.append(max(aspect(zoom) for zoom in zooms) / len(zooms))
    height = float(np.clip((16.0 - beside) / sum(widths), 4.0, 7.4)) + 1.6
    figure = Figure(figsize=(16.0, height), dpi=100, layout="constrained")
    grid = figure.add_gridspec(max(len(zooms), 1), len(widths), width_ratios=widths)
    axes = [figure.add_subplot(grid[:, column]) for column in range(len(panels))]
    axes += [figure.add_subplot(grid[row, -1]) for row in range(len(zooms))]
    return figure, axes


def inside(frame: gpd.GeoDataFrame, panel: MapPanel) -> gpd.GeoDataFrame:
    """Rows that a panel shows, cut off a little outside it: less to draw."""
    south, west, north, east = panel.bounds
    dy, dx = 0.1 * (north - south), 0.1 * (east - west)
    box = (west - dx, south - dy, east + dx, north + dy)
    inside = frame.iloc[frame.sindex.query(shapely.box(*box), predicate="intersects")]
    if panel == WORLD_PANEL:
        return inside
    return inside.set_geometry(shapely.clip_by_rect(inside.geometry.to_numpy(), *box))


def mark_zoom(axis: Any, panel: MapPanel, zoom: MapPanel) -> None:
    """Frame and name the part of a panel that a zoom shows."""
    south, west, north, east = zoom.bounds
    if not (panel.bounds[0] <= south and north <= panel.bounds[2]):
        return
    if not (panel.bounds[1] <= west and east <= panel.bounds[3]):
        return
    axis.add_patch(
        Rectangle((west, south), east - west, north - south, fill=False, linewidth=1.8, zorder=6)
    )
    label = axis.text(west, north, zoom.title, va="bottom", ha="left", zorder=7)
    label.set_path_effects([withStroke(linewidth=3, foreground="white")])


def frame_map(axis: Any, panel: MapPanel) -> None:
    """Limits, title and labelled axes of a map."""
    south, west, north, east = panel.bounds
    axis.set_xlim(west, east)
    axis.set_ylim(south, north)
    axis.set_aspect(1.0 / stretch(panel))
    axis.set_title(panel.title)
    for labels, ticks in ((axis.xaxis, 4 if aspect(panel) < 1.2 else 8), (axis.yaxis, 7)):
        labels.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
        labels.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("Longitude (°)")
    axis.set_ylabel("Latitude (°)")


def stretch(panel: MapPanel) -> float:
    """Length of a degree of longitude in degrees of latitude, mid-map."""
    south, _, north, _ = panel.bounds
    return max(float(np.cos(np.radians((south + north) / 2.0))), 0.2)


def aspect(panel: MapPanel) -> float:
    """Width of a panel for a height of 1."""
    south, west, north, east = panel.bounds
    return (east - west) * stretch(panel) / (north - south)
