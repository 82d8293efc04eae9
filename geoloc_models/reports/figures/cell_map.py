"""The cells on the map, with the images they were made of: the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from geocells import CellPartition
from geoloc_models.reports.figures.panels import (
    BORDER,
    LAND,
    SEA,
    WORLD_PANEL,
    MapPanel,
    frame_map,
    inside,
    map_grid,
    mark_zoom,
)

CELL_EDGE = "#555555"
DOT = "#D55E00"
CELL_ALPHA = 0.75


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
    """
    coords = np.asarray(coords, dtype=np.float64)
    frame = cells.to_geodataframe()
    counts = np.asarray(cells.counts, dtype=np.float64)
    least, most = max(counts.min(), 1.0), max(counts.max(), counts.min() + 1.0)
    norm = LogNorm(least, most) if most > 20 * least else Normalize(least, most)
    colours = mpl.colormaps["YlGnBu"]
    frame["colour"] = [mpl.colors.to_hex(colours(norm(count))) for count in counts]
    figure, axes = map_grid(panels, zooms)
    for axis, panel in zip(axes, [*panels, *zooms], strict=True):
        is_world = panel == WORLD_PANEL
        outlines, shown = inside(countries, panel), inside(frame, panel)
        axis.set_facecolor(SEA)
        how: dict[str, Any] = {"ax": axis, "aspect": None}
        outlines.plot(color=LAND, edgecolor="none", zorder=1, **how)
        if len(shown):
            shown.plot(color=shown["colour"], alpha=CELL_ALPHA, edgecolor="none", zorder=2, **how)
            shown.boundary.plot(
                color=CELL_EDGE, linewidth=0.2 if is_world else 0.8, zorder=3, **how
            )
        outlines.boundary.plot(color=BORDER, linewidth=0.3 if is_world else 1.0, zorder=4, **how)
        axis.plot(
            coords[:, 1],
            coords[:, 0],
            linestyle="none",
            marker="o",
            markersize=1.0 if is_world else 4.0 if panel in zooms else 2.5,
            color=DOT,
            markeredgewidth=0,
            alpha=0.7,
            zorder=5,
        )
        if panel not in zooms:
            for zoom in zooms:
                mark_zoom(axis, panel, zoom)
        frame_map(axis, panel)
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(norm=norm, cmap=colours),
        ax=list(axes),
        orientation="horizontal",
        location="bottom",
        shrink=0.4,
        aspect=40,
        alpha=CELL_ALPHA,
    )
    bar.set_label("Training images in the cell")
    if isinstance(norm, LogNorm):
        bar.ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    line: dict[str, Any] = {"linestyle": "none", "marker": "o"}
    figure.legend(
        handles=[
            Patch(facecolor=colours(0.3), alpha=CELL_ALPHA, edgecolor=CELL_EDGE, label="Cell"),
            Line2D([], [], color=BORDER, label="Border or coast"),
            Line2D([], [], color=DOT, markersize=5, label="Training image", **line),
        ],
        loc="lower right",
        ncols=3,
    )
    # An empty line below: maps of a fixed aspect grow into the space that the layout left them.
    figure.suptitle(f"{title}\n", fontsize="x-large")
    return figure
