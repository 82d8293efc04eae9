"""Curves: errors, accuracy by training photos, training by epoch, reliability, risk and coverage."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.scores import RADII_KM
from geoloc_models.reports.figures.style import (
    FULL_WIDTH_MM,
    OKABE_ITO,
    QUIET,
    legend_below,
    line_style,
    new_axes,
    plain_numbers,
    printed,
)
from geoloc_models.reports.tables import model_title

if TYPE_CHECKING:
    import pandas as pd

    from geoloc_models.evaluation import Evaluation
    from geoloc_models.inference.calibration_report import Bin

History = Sequence[Mapping[str, float]]

MOST_KM = 20_037.0
LEAST_KM = 0.1
BARS_UP_TO = 4
N_GROUPS = 8


@printed
def error_curves(
    distances_km: Mapping[str, npt.NDArray[np.float64]],
    *,
    centre_km: npt.NDArray[np.float64] | None = None,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Share of test images within each distance, a curve per model.

    Parameters
    ----------
    distances_km : mapping of str to ndarray
        (n,) errors by model name.
    centre_km : ndarray, optional
        (n,) errors of always answering the training centre.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import error_curves
    >>> figure = error_curves({"cells": np.array([3.0, 40.0, 700.0])})
    """
    figure, (axis,) = new_axes(width_mm, 0.4 * width_mm + 20.0)
    for index, (name, values) in enumerate(distances_km.items()):
        style = {**line_style(index), "marker": ""}
        axis.plot(*_cumulative(values), label=model_title(name), **style)
    if centre_km is not None:
        label = "Guess: training centre"
        axis.plot(*_cumulative(centre_km), color=QUIET, linewidth=0.8, label=label)
    axis.set(xscale="log", xlim=(0.5, 20_000), ylim=(0, 100), xticks=RADII_KM)
    axis.minorticks_off()
    plain_numbers(axis.xaxis)
    axis.set_xlabel("Distance from the truth (km)")
    axis.set_ylabel("Within that distance (%)")
    legend_below(figure, axis)
    return figure


def _cumulative(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points of the step curve of shares, in percent."""
    ordered = np.sort(np.maximum(values, LEAST_KM))
    shares = 100.0 * np.arange(1, len(ordered) + 1) / len(ordered)
    x = np.repeat(np.concatenate([[LEAST_KM], ordered, [MOST_KM]]), 2)[1:]
    y = np.repeat(np.concatenate([[0.0], shares, [100.0]]), 2)[:-1]
    return x, y


@printed
def error_against_distance(
    errors_km: Mapping[str, npt.ArrayLike],
    distance_to_training_km: npt.ArrayLike,
    *,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Error of test images by the distance to the nearest training photo.

    Parameters
    ----------
    errors_km : mapping of str to array-like
        (n,) errors by model name, in kilometres.
    distance_to_training_km : array-like
        (n,) distances of the same test images from the nearest training photo, in kilometres, as
        :func:`geoloc_models.evaluation.nearest_km` gives.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        A median per model of each of eight groups of about as many images, fewer where distances
        repeat; with up to four models, bars from the first to the third
        quartile; the line of equal distances. Both axes are logarithmic; what is nearer than
        0.1 km stands at 0.1 km.

    Examples
    --------
    >>> from geoloc_models.reports.figures import error_against_distance
    >>> figure = error_against_distance({"cells": [3.0, 40.0, 700.0]}, [1.0, 10.0, 100.0])
    """
    distance = np.asarray(distance_to_training_km, dtype=np.float64)
    errors = {name: np.asarray(values, dtype=np.float64) for name, values in errors_km.items()}
    for name, values in errors.items():
        if values.shape != distance.shape:
            raise GeolocError(
                f"Model {name} has {len(values)} errors for {len(distance)} distances to the "
                "nearest training photo; each test image needs both."
            )
    groups = _groups_by_distance(distance)
    centres = np.array([max(np.median(distance[rows]), LEAST_KM) for rows in groups])
    has_bars = len(errors) <= BARS_UP_TO
    figure, (axis,) = new_axes(width_mm, 0.4 * width_mm + 20.0)
    spread = _side_by_side(len(errors), 0.035 if has_bars else 0.0)
    for index, (name, values) in enumerate(errors.items()):
        shown = np.maximum(values, LEAST_KM)
        quartiles = [np.percentile(shown[rows], (25, 50, 75)) for rows in groups]
        low, median, high = np.array(quartiles).reshape(-1, 3).T
        axis.errorbar(
            centres * spread[index],
            median,
            yerr=[median - low, high - median] if has_bars else None,
            label=model_title(name),
            elinewidth=0.7,
            capsize=1.5,
            **line_style(index),
        )
    ends = np.array([centres[0] / 2, centres[-1] * 2] if groups else [1.0, 10.0])
    axis.plot(ends, ends, color=QUIET, linewidth=0.8, label="As far off as the nearest photo")
    axis.set(xscale="log", yscale="log", xlim=ends)
    axis.set_xlabel("Distance to the nearest training photo (km)")
    axis.set_ylabel("Error (km)")
    sizes = sorted({len(rows) for rows in groups}) or [0]
    size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    axis.set_title(f"Medians{', quartiles' * has_bars} of {size} images each")
    legend_below(figure, axis)
    plain_numbers(axis.xaxis, axis.yaxis)
    return figure


def _side_by_side(n: int, width: float) -> npt.NDArray[np.float64]:
    """Factors that keep the bars of n models apart on a logarithmic axis."""
    return 10 ** (width * np.linspace(-1.0, 1.0, n)) if n > 1 else np.ones(n)


def _groups_by_distance(
    distance: npt.NDArray[np.float64],
) -> list[npt.NDArray[np.int64]]:
    """Rows of each group of images, by quantiles of the distance."""
    if len(distance) == 0:
        return []
    inner = np.unique(np.quantile(distance, np.linspace(0, 1, N_GROUPS + 1)[1:-1]))
    group = np.searchsorted(inner, distance, side="right")
    return [np.flatnonzero(group == each) for each in np.unique(group)]


@printed
def accuracy_by_dataset_size(
    results: Mapping[str, Mapping[int, Evaluation]],
    *,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Accuracy by country, and within 25 and 200 km, by training photos: the paper's Figure 8.

    Parameters
    ----------
    results : mapping of str to mapping of int to Evaluation
        By model name, then by number of training photos; all on the same test images.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        Lines with 95 % intervals where there are any; the numbers of photos on a logarithmic axis.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate
    >>> from geoloc_models.reports.figures import accuracy_by_dataset_size
    >>> countries, truth = np.array(["CH", "SE"], dtype=object), np.array([[46.9, 7.4], [63.8, 20.3]])
    >>> result = evaluate(Predictions(truth, countries, None, np.arange(2)), truth, countries)
    >>> figure = accuracy_by_dataset_size({"cells": {100: result, 1000: result}})
    """
    figures = {
        model: {size: by_size[size].figures() for size in sorted(by_size)}
        for model, by_size in results.items()
    }
    every = [each for by_size in figures.values() for each in by_size.values()]
    names = ["country", "25 km", "200 km"]
    names = [name for name in names if any(name in each for each in every)] or names[:1]
    figure, axes = new_axes(width_mm, 48.0, len(names))
    spread = _side_by_side(len(results), 0.02)
    for axis, name in zip(axes, names, strict=True):
        for index, (model, by_size) in enumerate(figures.items()):
            points = {size: each[name] for size, each in by_size.items() if name in each}
            values = np.array([each.value for each in points.values()])
            bounds = np.array([each.bounds for each in points.values()]).reshape(-1, 2)
            axis.errorbar(
                np.array(list(points)) * spread[index],
                values,
                yerr=np.abs(bounds - values[:, None]).T,
                label=model_title(model),
                elinewidth=0.7,
                capsize=1.5,
                **line_style(index),
            )
        axis.set_xscale("log")
        axis.set_xticks(sorted({size for by_size in results.values() for size in by_size}))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
        axis.set_xlabel("Training photos")
        axis.set_ylim(0, 102)  # lines at 100 stay whole
        axis.set_title("Right country" if name == "country" else f"Within {name}")
    axes[0].set_ylabel("Test images (%)")
    legend_below(figure, axes[0])
    return figure


def _thousands(value: float) -> str:
    return f"{value / 1000:g} K" if value >= 1000 and value % 100 == 0 else f"{value:,.0f}"


@printed
def training_curves(histories: Mapping[str, History], *, width_mm: float = FULL_WIDTH_MM) -> Figure:
    """Loss and accuracy of all models by epoch; the epoch that was kept has a marker.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By model name; an epoch has ``epoch``, ``train_loss``, ``val_loss`` (nats, or the model's own loss) and
        ``train_accuracy``, ``val_accuracy`` (0 to 1, over the model's own classes). What is missing or NaN leaves a
        gap.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        Solid lines on validation images, thin dashed ones on training images (augmented where they
        are). Losses that leap above all first epochs' by half are cut off.

    Examples
    --------
    >>> from geoloc_models.reports.figures import training_curves
    >>> from geoloc_models.training import load_run, table_source
    >>> run = load_run("runs/mine", table_source("split.parquet"))
    >>> figure = training_curves({run.name: run.history})
    """
    figure, axes = new_axes(width_mm, 52.0, 2)
    first_losses = []
    for index, (name, history) in enumerate(histories.items()):
        style = {**line_style(index), "linestyle": "-"}
        epochs, losses = _by_epoch(history, "epoch"), _by_epoch(history, "val_loss")
        finite = np.where(np.isfinite(losses), losses, np.inf)
        kept = [int(finite.argmin())] if np.isfinite(finite).any() else []
        for axis, metric, scale in zip(axes, ("loss", "accuracy"), (1.0, 100.0), strict=True):
            training = scale * _by_epoch(history, f"train_{metric}")
            validation = scale * _by_epoch(history, f"val_{metric}")
            axis.plot(epochs, training, "--", color=style["color"], linewidth=0.6)
            axis.plot(epochs, validation, label=model_title(name), markevery=kept, **style)
        first_losses += [*_by_epoch(history[:1], "train_loss"), *losses[:1]]
    axes[0].set(ylabel="Loss", ylim=(0, None))
    axes[1].set(ylabel="Right class (%)", ylim=(0, 102))
    highest = max((loss for loss in first_losses if np.isfinite(loss)), default=np.inf)
    axes[0].set_ylim(top=min(axes[0].get_ylim()[1], 1.5 * highest))
    for axis in axes:
        axis.set_xlabel("Epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_below(figure, axes[0])
    return figure


def _by_epoch(history: History, name: str) -> npt.NDArray[np.float64]:
    """Values by epoch; NaN where there is none."""
    values = [epoch.get(name) for epoch in history]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


@printed
def reliability_diagrams(
    bins: Mapping[str, Sequence[Bin]], *, width_mm: float = FULL_WIDTH_MM
) -> Figure:
    """Reliability diagrams: how often a model is right, by how sure it is, a panel per event.

    Parameters
    ----------
    bins : mapping of str to sequence of Bin
        By the panel's title; of a panel without bins nothing is drawn.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        Dots with 95 % intervals, as large as their bins are full; on the dashed line a model is
        right as often as it says, below it it is too sure.

    Raises
    ------
    GeolocError
        If no panel has a bin.

    Examples
    --------
    >>> from geoloc_models.inference.calibration_report import Bin
    >>> from geoloc_models.reports.figures import reliability_diagrams
    >>> bins = [Bin(40, 0.3, 0.25, 0.14, 0.40), Bin(60, 0.8, 0.85, 0.74, 0.92)]
    >>> figure = reliability_diagrams({"The likeliest cell": bins})
    """
    panels = {title: panel for title, panel in bins.items() if panel}
    if not panels:
        raise GeolocError("No model has probabilities to compare with the truth.")
    figure, axes = new_axes(width_mm, min(46.0, width_mm), len(panels), 38.0)
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        names = ("confidence", "accuracy", "low", "high", "n_photos")
        values = {name: np.array([getattr(each, name) for each in panel]) for name in names}
        sure, right = 100 * values["confidence"], 100 * values["accuracy"]
        spans = np.maximum([right - 100 * values["low"], 100 * values["high"] - right], 0.0)
        sizes = 4 + 80 * values["n_photos"] / values["n_photos"].sum()
        colour = OKABE_ITO[0]
        axis.plot([0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=0.8)
        axis.errorbar(sure, right, yerr=spans, fmt="none", ecolor=colour, alpha=0.6, elinewidth=0.7)
        axis.scatter(sure, right, s=sizes, color=colour, zorder=3)
        axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
        axis.set_title(textwrap.fill(title, 22))
        axis.set(xticks=range(0, 101, 50), yticks=range(0, 101, 50))
    figure.supxlabel("Probability that the model gives (%)")
    figure.supylabel("Share that came true (%)")
    return figure


@printed
def risk_coverage_curves(
    curves: Mapping[str, pd.DataFrame], *, width_mm: float = FULL_WIDTH_MM
) -> Figure:
    """Share of wrong answers by the share of photos answered, a curve per model.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        By model name: what :func:`geocells.decoding.risk_coverage` gives.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Returns
    -------
    Figure
        The surest answers stand at the left, all of them at the right; lower is better.

    Examples
    --------
    >>> from geocells.decoding import risk_coverage
    >>> from geoloc_models.reports.figures import risk_coverage_curves
    >>> curve = risk_coverage([0.9, 0.5, 0.7, 0.2], [True, False, True, True])
    >>> figure = risk_coverage_curves({"cells": curve}, width_mm=80)
    """
    figure, (axis,) = new_axes(width_mm, 0.3 * width_mm + 20.0)
    for index, (name, curve) in enumerate(curves.items()):
        style = {**line_style(index), "marker": ""}
        axis.plot(100 * curve["coverage"], 100 * curve["risk"], label=model_title(name), **style)
    axis.set(xlim=(0, 100), xlabel="Photos answered, the surest first (%)")
    axis.set_ylim(0, None)
    axis.set_ylabel("Wrong answers (%)")
    legend_below(figure, axis)
    return figure
