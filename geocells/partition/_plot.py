"""Maps with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ..validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .cells import CellPartition

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
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("Maps need matplotlib: pip install 'geocells[plot]'.") from error
    check_choice(color_by, "color_by", COLOR_CHOICES)
    if ax is None:
        _, ax = plt.subplots(figsize=(9, 6), layout="constrained")
    table = cells.to_geodataframe()
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
        label = "images in the cell" if color_by == "count" else "quadtree level"
        table.plot(
            ax=ax,
            column=values,
            cmap="viridis",
            norm=norm,
            legend=True,
            legend_kwds={"label": label, "shrink": 0.7},
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
