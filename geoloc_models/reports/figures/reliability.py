"""Reliability diagrams: how often a model is right, by how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoloc_models._errors import GeolocError
from geoloc_models.inference.calibration_report import Bin
from geoloc_models.reports.figures._style import GRID, OKABE_ITO, QUIET

_COLUMNS = 3


def reliability_diagrams(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """A panel per event: the share that came true against the probability given.

    Parameters
    ----------
    bins : mapping of str to sequence of Bin
        By the panel's title; of a panel without bins nothing is drawn.

    Returns
    -------
    Figure
        Dots with 95 % intervals, as large as their bins are full; on the dashed line a model is
        right as often as it says, below it it is too sure.

    Raises
    ------
    GeolocError
        If no panel has a bin.
    """
    drawn = {title: found for title, found in bins.items() if found}
    if not drawn:
        raise GeolocError("No model has probabilities to hold against the truth.")
    n_columns = min(_COLUMNS, len(drawn))
    n_rows = -(-len(drawn) // n_columns)
    figure = Figure(figsize=(3.4 * n_columns, 3.4 * n_rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(n_rows, n_columns, squeeze=False)).reshape(-1)
    for axis, (title, found) in zip(axes, drawn.items(), strict=False):
        _panel(axis, title, found)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    figure.supxlabel("Probability that the model gives (%)", fontsize=10)
    figure.supylabel("Share that came true (%)", fontsize=10)
    return figure


def _panel(axis: Axes, title: str, bins: Sequence[Bin]) -> None:
    total = sum(own.n_photos for own in bins)
    sure = 100 * np.array([own.confidence for own in bins])
    right = 100 * np.array([own.accuracy for own in bins])
    below = right - 100 * np.array([own.low for own in bins])
    above = 100 * np.array([own.high for own in bins]) - right
    sizes = 12 + 160 * np.array([own.n_photos / total for own in bins])
    axis.plot([0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=1)
    spans = np.maximum(np.stack([below, above]), 0.0)
    axis.errorbar(sure, right, yerr=spans, fmt="none", ecolor=OKABE_ITO[0], alpha=0.6, capsize=2)
    axis.scatter(sure, right, s=sizes, color=OKABE_ITO[0], zorder=3)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
    axis.set_title(title, fontsize=9)
    axis.grid(**GRID)
