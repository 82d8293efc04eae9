"""Maps with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geocells.validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from geocells.cells.partition import CellPartition

# Paul Tol's "light" scheme: nine colours that colour-blind readers tell apart.
CELL_COLORS = (
    "#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD",
)  # fmt: skip
COLOR_CHOICES = ("cell", "count", "level")
SMALLEST_VISIBLE = 0.006
"""A cell smaller than this share of the map's longer side gets a dot."""


def plot(
    cells: CellPartition,
    ax: Axes | None = None,
    *,
    color_by: str = "cell",
    locations: bool = True,
    outlines: Any = None,
    dots: bool = True,
    **style: Any,
) -> Axes:
    """Draw cells, locations, outlines and dots for cells too small to see; see `CellPartition.plot`."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.colors import LogNorm
        from matplotlib.ticker import LogLocator, StrMethodFormatter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Maps need matplotlib: pip install 'geocells[plot]'.") from error
    check_choice(color_by, "color_by", COLOR_CHOICES)
    table = cells.to_geodataframe()
    if ax is None:
        _, ax = plt.subplots(figsize=_figure_size(table.total_bounds), layout="constrained")
    style = {"edgecolor": "#333333", "linewidth": 0.4, "alpha": 0.75, **style}
    if not len(table):
        ax.set_title("no cells")
        return ax
    if color_by == "cell":
        colors = np.array(CELL_COLORS, dtype=object)[np.arange(cells.n_cells) % len(CELL_COLORS)]
        table.plot(ax=ax, color=colors, **style)
    else:
        values = cells.counts if color_by == "count" else cells.levels
        norm = LogNorm(max(1, values.min()), values.max() + 1) if color_by == "count" else None
        legend: dict[str, Any] = {"label": "quadtree level", "shrink": 0.7}
        if color_by == "count":
            legend |= {
                "label": "images in the cell",
                "ticks": LogLocator(subs=(1, 2, 3, 5)),
                "format": StrMethodFormatter("{x:,.0f}"),
            }
        table.plot(
            ax=ax,
            column=values,
            cmap="viridis",
            norm=norm,
            legend=True,
            legend_kwds=legend,
            **style,
        )
    west, south, east, north = table.total_bounds
    # Outlines must not stretch the map beyond the cells.
    margin = 0.02 * max(east - west, north - south, 1e-6)
    if outlines is not None:
        outlines.boundary.plot(ax=ax, color="#555555", linewidth=0.7, zorder=3)
    ax.set_xlim(west - margin, east + margin)
    ax.set_ylim(south - margin, north + margin)
    if dots:
        _, lows, _, highs = table.bounds.to_numpy().T
        extent = np.sqrt(shapely.area(table.geometry.to_numpy()))
        small = (extent < SMALLEST_VISIBLE * max(east - west, north - south)) & (highs >= lows)
        ax.plot(
            cells.locations[small, 1], cells.locations[small, 0], "s", color="#882255",
            markersize=2.5, zorder=4, linestyle="none",
        )  # fmt: skip
    if locations:
        ax.plot(
            cells.locations[:, 1], cells.locations[:, 0], "k.", markersize=1.8, zorder=5, linestyle="none",
        )  # fmt: skip
    # One degree of longitude is drawn as long as it is on the ground in the middle of the map.
    middle = np.radians(np.clip((south + north) / 2, -80.0, 80.0))
    ax.set_aspect(1.0 / np.cos(middle))
    ax.set_xlabel("longitude (degrees)")
    ax.set_ylabel("latitude (degrees)")
    return ax


def _figure_size(bounds: Any) -> tuple[float, float]:
    """Width and height in inches that suit a map of these bounds: west, south, east, north in degrees."""
    width, height = 9.0, 6.0
    if np.isfinite(bounds).all():
        west, south, east, north = bounds
        middle = np.radians(np.clip((south + north) / 2, -80.0, 80.0))
        height = width * (north - south) / max(1e-9, (east - west) * np.cos(middle)) + 0.8
    return width, float(np.clip(height, 3.0, 9.0))
