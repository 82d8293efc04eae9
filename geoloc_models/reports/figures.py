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
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from geocells import CellPartition
from geoloc_models._files import replacing
from geoloc_models.reports.table import model_title

mpl.use("Agg")

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
LAND = "#f4f2ec"
BORDER = "#8c8c8c"
SEA = "#e3ecf3"
CELL_ALPHA = 0.6


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
        figure.savefig(partial, dpi=150, facecolor="white")


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

    Returns
    -------
    Figure
        Cells coloured by their number of training images, on a logarithmic scale where the
        largest number is above 20 times the smallest.
    """
    coords = np.asarray(coords, dtype=np.float64)
    frame = cells.to_geodataframe()
    counts = np.asarray(cells.counts, dtype=np.float64)
    least, most = max(counts.min(), 1.0), max(counts.max(), counts.min() + 1.0)
    norm = LogNorm(least, most) if most > 20 * least else Normalize(least, most)
    colours = mpl.colormaps["viridis"]
    figure = Figure(figsize=_map_size(panels), layout="constrained")
    axes = np.atleast_1d(
        figure.subplots(1, len(panels), width_ratios=[_width(panel) for panel in panels])
    )
    thin = len(panels) == 1 and panels[0] == WORLD_PANEL
    for axis, panel in zip(axes, panels, strict=True):
        _draw_outlines(axis, countries, panel)
        frame.plot(
            ax=axis,
            color=[colours(norm(count)) for count in counts],
            alpha=CELL_ALPHA,
            edgecolor="none",
            aspect=None,
            zorder=2,
        )
        frame.boundary.plot(
            ax=axis, color="#333333", linewidth=0.2 if thin else 0.5, aspect=None, zorder=3
        )
        countries.boundary.plot(
            ax=axis, color="black", linewidth=0.3 if thin else 0.7, aspect=None, zorder=4
        )
        axis.plot(
            coords[:, 1],
            coords[:, 0],
            linestyle="none",
            marker="o",
            markersize=0.7 if thin else 2.0,
            color=OKABE_ITO[1],
            markeredgewidth=0,
            alpha=0.8,
            zorder=5,
        )
        _frame_map(axis, panel)
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(norm=norm, cmap=colours), ax=list(axes), shrink=0.7, alpha=CELL_ALPHA
    )
    bar.set_label("Training images in the cell")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.suptitle(title)
    return figure


def _draw_outlines(axis: Any, countries: gpd.GeoDataFrame, panel: MapPanel) -> None:
    axis.set_facecolor(SEA)
    countries.plot(ax=axis, color=LAND, edgecolor=BORDER, linewidth=0.5, aspect=None, zorder=1)


def _frame_map(axis: Any, panel: MapPanel) -> None:
    south, west, north, east = panel.bounds
    axis.set_xlim(west, east)
    axis.set_ylim(south, north)
    axis.set_aspect(1.0 / _stretch(panel))
    axis.set_title(panel.title)
    axis.set_xlabel("Longitude (°)")
    axis.set_ylabel("Latitude (°)")


def _stretch(panel: MapPanel) -> float:
    """Length of a degree of longitude in degrees of latitude, mid-map."""
    south, _, north, _ = panel.bounds
    return max(float(np.cos(np.radians((south + north) / 2.0))), 0.2)


def _aspect(panel: MapPanel) -> float:
    south, west, north, east = panel.bounds
    return (east - west) * _stretch(panel) / (north - south)


def _width(panel: MapPanel) -> float:
    """Width of a panel for a height of 1: its own, within reason."""
    return float(np.clip(_aspect(panel), 0.5, 1.3 if panel != WORLD_PANEL else 2.0))


def _map_size(panels: Sequence[MapPanel]) -> tuple[float, float]:
    height = 7.5
    width = height * 0.8 * sum(_width(panel) for panel in panels) + 2.0
    if len(panels) == 1:
        height = 0.85 * (width - 2.0) / _aspect(panels[0]) + 1.0
    return width, height


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
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axis = figure.subplots()
    curves = {model_title(name): values for name, values in distances_km.items()}
    styles = list(zip(OKABE_ITO, DASHES, strict=True))
    for index, (title, values) in enumerate(curves.items()):
        colour, dashes = styles[index % len(styles)]
        axis.plot(*_cumulative(values), color=colour, linestyle=dashes, linewidth=2, label=title)
    if centre_km is not None:
        axis.plot(
            *_cumulative(centre_km), color="#666666", linewidth=1.2, label="Always training centre"
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
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
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
    axes[1].set_ylim(0, 100)
    for axis in axes:
        axis.set_xlabel("Epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
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
    figure = Figure(figsize=(2.1 * columns, 2.65 * n_rows + 0.5), layout="constrained")
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
        axis.set_title(f"{example.truth}", fontsize="small")
        axis.set_xlabel(
            f"{'✓' if is_right else '✗'} {example.guess}, {example.error_km:,.0f} km off",
            color=colour,
            fontsize="small",
        )
    figure.suptitle(title)
    return figure
