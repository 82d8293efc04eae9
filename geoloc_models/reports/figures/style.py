"""Colours, lines and axes that all figures share, and figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from geoloc_models._files import replacing

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
QUIET = "#666666"
GRID: dict[str, Any] = {"color": "#e0e0e0", "linewidth": 0.6}


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


def plain_numbers(*axes: Any) -> None:
    """Write the numbers of these axes as 0.5, 20 or 2500, on a logarithmic axis too."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend_below(figure: Figure, axis: Any, n_lines: int) -> None:
    """One legend for all panels, under them."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(n_lines, 4))


def counts_norm(least: float, most: float) -> Normalize:
    """Scale of counts: logarithmic where the largest is above 20 times the smallest."""
    return LogNorm(least, most) if most > 20 * least else Normalize(least, most)


def counts_bar(
    figure: Figure, axes: list[Any], norm: Normalize, colours: Colormap, label: str, **how: Any
) -> None:
    """Bar of the colours of counts, under some axes."""
    mappable = mpl.cm.ScalarMappable(norm=norm, cmap=colours)
    bar = figure.colorbar(mappable, ax=axes, location="bottom", shrink=0.4, aspect=40, **how)
    bar.set_label(label)
    if isinstance(norm, LogNorm):
        steps = (1.0, 2.0, 5.0) if norm.vmax is not None and norm.vmax < 1000 else (1.0,)
        bar.ax.xaxis.set_major_locator(LogLocator(subs=steps))
        bar.ax.xaxis.set_minor_locator(NullLocator())
    else:
        bar.ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix chooses the format.

    Examples
    --------
    >>> from geoloc_models.reports.figures import confusion, save_figure
    >>> save_figure(confusion(["CH", "SE"], ["CH", "SE"]), "confusion.pdf")
    """
    with replacing(path) as partial:
        figure.savefig(partial, facecolor="white")
