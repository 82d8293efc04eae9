"""Pictures of a run: maps, errors over distance, examples, training curves.

Colours are Okabe and Ito's, which readers with any colour vision tell apart; lines also differ
in their dashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import shapely
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from geocells import CellPartition
from geoloc_models._files import replacing
from geoloc_models.reports.table import model_title

mpl.use("Agg")

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
LAND = "#f4f2ec"
BORDER = "#111111"
CELL_EDGE = "#555555"
DOT = "#D55E00"
SEA = "#e3ecf3"
CELL_ALPHA = 0.75


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


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format."""
    with replacing(path) as partial:
        figure.savefig(partial, facecolor="white")


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
        Outlines, of :func:`geoloc_models.data.load_countries`.
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
    figure, axes = _map_grid(panels, zooms)
    for axis, panel in zip(axes, [*panels, *zooms], strict=True):
        is_world = panel == WORLD_PANEL
        outlines, shown = _inside(countries, panel), _inside(frame, panel)
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
                _mark_zoom(axis, panel, zoom)
        _frame_map(axis, panel)
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
    figure.suptitle(title, fontsize="x-large")
    return figure


def _map_grid(panels: Sequence[MapPanel], zooms: Sequence[MapPanel]) -> tuple[Figure, list[Any]]:
    """Axes for the panels, of one height, and for the zooms in a last column."""
    widths = [_aspect(panel) for panel in panels]
    if zooms:
        widths.append(max(_aspect(zoom) for zoom in zooms) / len(zooms))
    height = float(np.clip(15.0 / sum(widths), 4.0, 7.4)) + 1.6
    figure = Figure(figsize=(16.0, height), dpi=100, layout="constrained")
    grid = figure.add_gridspec(max(len(zooms), 1), len(widths), width_ratios=widths)
    axes = [figure.add_subplot(grid[:, column]) for column in range(len(panels))]
    axes += [figure.add_subplot(grid[row, -1]) for row in range(len(zooms))]
    return figure, axes


def _inside(frame: gpd.GeoDataFrame, panel: MapPanel) -> gpd.GeoDataFrame:
    """Rows that a panel shows, cut off a little outside it: less to draw."""
    south, west, north, east = panel.bounds
    dy, dx = 0.1 * (north - south), 0.1 * (east - west)
    box = (west - dx, south - dy, east + dx, north + dy)
    inside = frame.iloc[frame.sindex.query(shapely.box(*box), predicate="intersects")]
    if panel == WORLD_PANEL:
        return inside
    return inside.set_geometry(shapely.clip_by_rect(inside.geometry.to_numpy(), *box))


def _mark_zoom(axis: Any, panel: MapPanel, zoom: MapPanel) -> None:
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


def _frame_map(axis: Any, panel: MapPanel) -> None:
    south, west, north, east = panel.bounds
    axis.set_xlim(west, east)
    axis.set_ylim(south, north)
    axis.set_aspect(1.0 / _stretch(panel))
    axis.set_title(panel.title)
    for labels, ticks in ((axis.xaxis, 4 if _aspect(panel) < 1.2 else 8), (axis.yaxis, 7)):
        labels.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
        labels.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("Longitude (°)")
    axis.set_ylabel("Latitude (°)")


def _stretch(panel: MapPanel) -> float:
    """Length of a degree of longitude in degrees of latitude, mid-map."""
    south, _, north, _ = panel.bounds
    return max(float(np.cos(np.radians((south + north) / 2.0))), 0.2)


def _aspect(panel: MapPanel) -> float:
    """Width of a panel for a height of 1."""
    south, west, north, east = panel.bounds
    return (east - west) * _stretch(panel) / (north - south)


def error_curves(
    distances_km: Mapping[str, npt.NDArray[np.float64]],
    *,
    centre_km: npt.NDArray[np.float64] | None = None,
    radii_km: Sequence[float] = (1, 25, 200, 750, 2500),
) -> Figure:
    """Share of test images within each distance, a curve per model.

    Parameters
    ----------
    distances_km : mapping of str to ndarray
        (n,) errors by model name.
    centre_km : ndarray, optional
        (n,) errors of always answering the training centre.
    radii_km : sequence of float
        Marked by vertical lines.
    """
    figure = Figure(figsize=(8.0, 5.0), dpi=150, layout="constrained")
    axis = figure.subplots()
    curves = {model_title(name): values for name, values in distances_km.items()}
    styles = list(zip(OKABE_ITO, DASHES, strict=True))
    for index, (title, values) in enumerate(curves.items()):
        colour, dashes = styles[index % len(styles)]
        axis.plot(*_cumulative(values), color=colour, linestyle=dashes, linewidth=2, label=title)
    if centre_km is not None:
        axis.plot(
            *_cumulative(centre_km),
            color="#666666",
            linewidth=1.2,
            label="Always the training centre",
        )
    for radius in radii_km:
        axis.axvline(radius, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.set_xscale("log")
    axis.set_xlim(0.5, 20_000)
    axis.set_ylim(0, 100)
    axis.set_xticks(list(radii_km))
    axis.minorticks_off()
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("Distance from the truth (km, logarithmic)")
    axis.set_ylabel("Test images within that distance (%)")
    axis.set_title("How far off the models are")
    axis.legend(loc="upper left", frameon=True)
    return figure


def _cumulative(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points of the step curve of shares, in percent."""
    ordered = np.sort(np.maximum(values, 0.1))
    shares = 100.0 * np.arange(1, len(ordered) + 1) / len(ordered)
    x = np.repeat(np.concatenate([[0.1], ordered, [20_037.0]]), 2)[1:]
    y = np.repeat(np.concatenate([[0.0], shares, [100.0]]), 2)[:-1]
    return x, y


def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Loss and accuracy by epoch, a row of two panels; the best epoch is marked."""
    figure = Figure(figsize=(11.0, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots(1, 2)
    for index, (name, history) in enumerate(histories.items()):
        colour = OKABE_ITO[index % len(OKABE_ITO)]
        epochs = [epoch["epoch"] for epoch in history]
        losses = [epoch["val_loss"] for epoch in history]
        best = int(np.nanargmin(losses)) if losses else 0
        for axis, metric, scale in ((axes[0], "loss", 1.0), (axes[1], "accuracy", 100.0)):
            for stage, dashes in (("train", ":"), ("val", "-")):
                values = [scale * epoch[f"{stage}_{metric}"] for epoch in history]
                label = f"{model_title(name)}, {'training' if stage == 'train' else 'validation'}"
                axis.plot(epochs, values, color=colour, linestyle=dashes, label=label)
                if stage == "val" and values:
                    axis.plot(epochs[best], values[best], "o", color=colour)
    axes[0].set_ylabel("Cross entropy (nats)")
    axes[1].set_ylabel("Right class (%)")
    axes[1].set_ylim(0, 102)  # lines at 100 stay whole
    for axis in axes:
        axis.set_xlabel("Epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.grid(color="#e0e0e0", linewidth=0.6)
    axes[0].set_title("Loss (the dot is the epoch that was kept)")
    axes[1].set_title("Accuracy over each model's own classes")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure


@dataclass(frozen=True)
class Example:
    """A test image with its truth and a guess.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    truth, guess : str
        Country of each.
    error_km : float
        Distance between them.
    """

    image: npt.NDArray[np.uint8]
    truth: str
    guess: str
    error_km: float


def example_sheet(examples: Sequence[Example], *, title: str, columns: int = 6) -> Figure:
    """Test images with truth, guess and distance; right and wrong differ in sign and colour."""
    n_rows = max(1, -(-len(examples) // columns))
    figure = Figure(figsize=(2.1 * columns, 2.5 * n_rows + 0.6), dpi=120, layout="constrained")
    axes = np.atleast_1d(figure.subplots(n_rows, columns)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, example in zip(axes, examples, strict=False):
        is_right = example.truth == example.guess
        colour = OKABE_ITO[0] if is_right else OKABE_ITO[1]
        axis.set_axis_on()
        axis.set_xticks([])
        axis.set_yticks([])
        axis.imshow(example.image)
        for spine in axis.spines.values():
            spine.set_color(colour)
            spine.set_linewidth(3)
        axis.set_title(f"True: {example.truth}", fontsize="medium")
        axis.set_xlabel(
            f"{'✓' if is_right else '✗'} {example.guess}, {example.error_km:,.0f} km",
            color=colour,
            fontsize="medium",
        )
    figure.suptitle(title)
    return figure
