"""Sizes, colours, lines and axes that all figures share, and figures as files."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from geoloc_models.files import replacing

FULL_WIDTH_MM = 170.0
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
QUIET = "#808080"

# Sizes in points, as printed; colours stay those of the caller's style, dark ones included.
printed = mpl.rc_context(
    {
        "axes.axisbelow": True,
        "axes.labelsize": 7.5,
        "axes.linewidth": 0.6,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 8,
        "figure.constrained_layout.h_pad": 0.02,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.02,
        "figure.dpi": 200,
        "figure.labelsize": 7.5,
        "figure.titlesize": 9,
        "font.size": 7.5,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.title_fontsize": 7,
        "lines.linewidth": 1.3,
        "lines.markersize": 3.5,
    }
)


def new_figure(width_mm: float, height_mm: float, title: str = "") -> Figure:
    """Figure of this size as printed; the title is broken where it is wider."""
    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
    if title:
        figure.suptitle(textwrap.fill(title, int(0.6 * width_mm)))
    return figure


def new_axes(
    width_mm: float, height_mm: float, n_panels: int = 1, least_mm: float = 50.0, title: str = ""
) -> tuple[Figure, list[Any]]:
    """Figure with panels on a grid, as many side by side as have ``least_mm`` each.

    ``height_mm`` is that of a line of panels.
    """
    n_columns = int(np.clip(width_mm // least_mm, 1, n_panels))
    n_rows = -(-n_panels // n_columns)
    figure = new_figure(width_mm, height_mm * n_rows, title)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis in axes[n_panels:]:
        axis.remove()
    for axis in axes[:n_panels]:
        style_ticks(axis)
        axis.grid(color=mpl.rcParams["grid.color"], linewidth=0.4, alpha=0.5)
    return figure, list(axes[:n_panels])


def style_ticks(axis: Any) -> None:
    """Small ticks in the style's colour: an axis makes most of its ticks later, when it is drawn."""
    axis.tick_params(
        labelsize=7,
        width=0.6,
        length=2.5,
        color=mpl.rcParams["xtick.color"],
        labelcolor=mpl.rcParams["text.color"],
    )


def line_style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of a line; the first 30 differ in colour and in one of the others.

    The colours are Okabe and Ito's.
    """
    n_colours = len(OKABE_ITO)
    return {
        "color": OKABE_ITO[index % n_colours],
        "linestyle": DASHES[(index + index // n_colours) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def shades() -> Colormap:
    """Colours of counts: few near the background's lightness, many far from it."""
    is_dark = sum(to_rgb(mpl.rcParams["figure.facecolor"])) < 1.5
    colours = mpl.colormaps["YlGnBu_r" if is_dark else "YlGnBu"]
    return ListedColormap(colours(np.linspace(0.05, 0.85, 256)))


def halo() -> withStroke:
    """Rim in the background's colour, for words and lines over a map."""
    return withStroke(linewidth=1.6, foreground=mpl.rcParams["figure.facecolor"])


def plain_numbers(*axes: Any) -> None:
    """Write the numbers of these axes as 0.5, 20 or 2500, on a logarithmic axis too."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_below(figure: Figure, axis: Any) -> None:
    """One legend for all panels, in as many columns as have room, in a space added under them."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        fit = 72 * figure.get_figwidth() / (3.6 * max(map(len, labels)) + 36.0)
        n_columns = int(np.clip(fit, 1, len(labels)))
        n_lines = -(-len(labels) // n_columns)
        figure.set_figheight(figure.get_figheight() + (3.6 * n_lines + 2.0) / 25.4)
        figure.legend(handles, labels, loc="outside lower center", ncols=n_columns)


def counts_norm(least: float, most: float) -> Normalize:
    """Scale of counts: logarithmic where the largest is above 20 times the smallest."""
    return LogNorm(least, most) if most > 20 * least else Normalize(least, most)


def counts_bar(figure: Any, norm: Normalize, label: str) -> None:
    """Bar of the colours of counts, in the middle of a figure of its own."""
    mappable = mpl.cm.ScalarMappable(norm=norm, cmap=shades())
    axis = figure.add_axes((0.2, 0.65, 0.6, 0.2))
    style_ticks(axis)
    bar = figure.colorbar(mappable, cax=axis, orientation="horizontal", label=label)
    bar.outline.set_linewidth(0.4)
    if isinstance(norm, LogNorm):
        steps = (1.0, 2.0, 5.0) if norm.vmax is not None and norm.vmax < 1000 else (1.0,)
        axis.xaxis.set_major_locator(LogLocator(subs=steps))
        axis.xaxis.set_minor_locator(NullLocator())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format.

    Examples
    --------
    >>> from geoloc_models.reports.figures import confusion, save_figure
    >>> save_figure(confusion(["CH", "SE"], ["CH", "SE"]), "confusion.pdf")
    """
    with replacing(path) as partial:
        figure.savefig(partial)
