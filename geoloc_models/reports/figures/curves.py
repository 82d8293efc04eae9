"""Curves: errors, accuracy by training photos, training by epoch, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from geoloc_models._errors import GeolocError
from geoloc_models.reports.figures.style import (
    GRID,
    OKABE_ITO,
    QUIET,
    legend_below,
    line_style,
    plain_numbers,
)
from geoloc_models.reports.tables import model_title

if TYPE_CHECKING:
    from geoloc_models.evaluation import Evaluation
    from geoloc_models.inference.calibration_report import Bin

History = Sequence[Mapping[str, float]]

MOST_KM = 20_037.0
LEAST_KM = 0.1
BARS_UP_TO = 4
TOGETHER = 3
METRICS = (("loss", 1.0, "Loss"), ("accuracy", 100.0, "Right class (%)"))


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

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import error_curves
    >>> figure = error_curves({"cells": np.array([3.0, 40.0, 700.0])})
    """
    figure = Figure(figsize=(8.0, 5.0), dpi=150, layout="constrained")
    axis = figure.subplots()
    are_few = len(distances_km) < 7
    for index, (name, values) in enumerate(distances_km.items()):
        style = {**line_style(index), "marker": "", "linewidth": 2 if are_few else 1.5}
        axis.plot(*_cumulative(values), label=model_title(name), **style)
    if centre_km is not None:
        label = "Guess: training centre"
        axis.plot(*_cumulative(centre_km), color=QUIET, linewidth=1.2, label=label)
    for radius in radii_km:
        axis.axvline(radius, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.set(xscale="log", xlim=(0.5, 20_000), ylim=(0, 100), xticks=list(radii_km))
    axis.minorticks_off()
    plain_numbers(axis.xaxis)
    axis.set_xlabel("Distance from the truth (km, logarithmic)")
    axis.set_ylabel("Test images within that distance (%)")
    axis.set_title("How far off the models are")
    legend_below(figure, axis, 3)
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


def error_against_distance(
    errors_km: Mapping[str, npt.ArrayLike],
    distance_to_training_km: npt.ArrayLike,
    *,
    n_bins: int = 8,
) -> Figure:
    """Error of test images by how far away the nearest training photo was taken.

    Parameters
    ----------
    errors_km : mapping of str to array-like
        (n,) errors by model name, in kilometres.
    distance_to_training_km : array-like
        (n,) distances of the same test images from the nearest training photo, in kilometres, as
        :func:`geoloc_models.evaluation.nearest_km` gives.
    n_bins : int, default 8
        Groups of test images, about as many images in each; fewer where distances repeat.

    Returns
    -------
    Figure
        A median per group and model; with up to four models, bars from the first to the third
        quartile; the line of equal distances. Both axes are logarithmic; what is nearer than
        0.1 km stands at 0.1 km.

    Examples
    --------
    >>> from geoloc_models.reports.figures import error_against_distance
    >>> figure = error_against_distance({"cells": [3.0, 40.0, 700.0]}, [1.0, 10.0, 100.0], n_bins=2)
    """
    distance = np.asarray(distance_to_training_km, dtype=np.float64)
    errors = {name: np.asarray(values, dtype=np.float64) for name, values in errors_km.items()}
    for name, values in errors.items():
        if values.shape != distance.shape:
            raise GeolocError(
                f"Model {name} has {len(values)} errors for {len(distance)} distances to the "
                "nearest training photo; each test image needs both."
            )
    groups = _groups_by_distance(distance, n_bins)
    centres = np.array([max(np.median(distance[rows]), LEAST_KM) for rows in groups])
    has_bars = len(errors) <= BARS_UP_TO
    figure = Figure(figsize=(9.0, 5.6), dpi=120, layout="constrained")
    axis = figure.subplots()
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
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2.5,
            markersize=5,
            **line_style(index),
        )
    ends = np.array([centres[0] / 2, centres[-1] * 2] if groups else [1.0, 10.0])
    axis.plot(ends, ends, color=QUIET, linewidth=1, label="As far off as the nearest photo")
    axis.set(xscale="log", yscale="log", xlim=ends)
    axis.set_xlabel("Distance to the nearest training photo (km, logarithmic)")
    axis.set_ylabel("Error (km, logarithmic)")
    sizes = sorted({len(rows) for rows in groups}) or [0]
    size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    axis.set_title(
        f"Error by distance to the nearest training photo: medians{' and quartiles' * has_bars}"
        f"\nof groups of {size} test images"
    )
    axis.grid(**GRID)
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: labels[k].startswith("As far off"))
    axis.legend(
        [handles[k] for k in order],
        [labels[k] for k in order],
        fontsize="small",
        ncols=1 if has_bars else 2,
    )
    plain_numbers(axis.xaxis, axis.yaxis)
    return figure


def _side_by_side(n: int, width: float) -> npt.NDArray[np.float64]:
    """Factors that keep the bars of n models apart on a logarithmic axis."""
    return 10 ** (width * np.linspace(-1.0, 1.0, n)) if n > 1 else np.ones(n)


def _groups_by_distance(
    distance: npt.NDArray[np.float64], n_bins: int
) -> list[npt.NDArray[np.int64]]:
    """Rows of each group of images, by quantiles of the distance."""
    if len(distance) == 0:
        return []
    inner = np.unique(np.quantile(distance, np.linspace(0, 1, n_bins + 1)[1:-1]))
    group = np.searchsorted(inner, distance, side="right")
    return [np.flatnonzero(group == each) for each in np.unique(group)]


def accuracy_by_dataset_size(
    results: Mapping[str, Mapping[int, Evaluation]], *, radii_km: Sequence[float] = (25, 200)
) -> Figure:
    """Country and within-r accuracy against the number of training photos, the paper's Figure 8.

    Parameters
    ----------
    results : mapping of str to mapping of int to Evaluation
        By model name, then by number of training photos; all on the same test images.
    radii_km : sequence of float
        A panel each, after the one of the country; left out where no model has the radius.

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
    names = ["country", *(f"{float(radius):g} km" for radius in radii_km)]
    names = [name for name in names if any(name in each for each in every)] or names[:1]
    figure = Figure(figsize=(4.2 * len(names) + 0.6, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
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
                linewidth=1.8,
                elinewidth=1.0,
                capsize=3,
                markersize=6,
                **line_style(index),
            )
        axis.set_xscale("log")
        axis.set_xticks(sorted({size for by_size in results.values() for size in by_size}))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
        axis.set_xlabel("Training photos (logarithmic)")
        axis.set_ylim(0, 102)  # lines at 100 stay whole
        axis.grid(**GRID)
        axis.set_title("Right country" if name == "country" else f"Within {name}")
    axes[0].set_ylabel("Test images (%)")
    legend_below(figure, axes[0], len(results))
    return figure


def _thousands(value: float) -> str:
    return f"{value / 1000:g} K" if value >= 1000 and value % 100 == 0 else f"{value:,.0f}"


def training_curves(
    histories: Mapping[str, History], *, accuracy_title: str = "Accuracy over each model's classes"
) -> Figure:
    """Loss and accuracy by epoch; the epoch that was kept is marked by a large dot.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By model name; an epoch has ``epoch``, ``train_loss``, ``val_loss`` (nats, or whatever the
        model descends) and ``train_accuracy``, ``val_accuracy`` (0 to 1, over the model's own
        classes). What is missing or NaN leaves a gap.
    accuracy_title : str
        Over the accuracies, where models share their panels.

    Returns
    -------
    Figure
        Dashed lines on training images (augmented where they are), solid lines on validation
        images, which never are. Up to three models share two panels; more have two panels each,
        as their losses are not in one unit.

    Examples
    --------
    >>> from geoloc_models.reports.figures import training_curves
    >>> from geoloc_models.training import load_run, table_source
    >>> run = load_run("runs/mine", table_source("split.parquet"))
    >>> figure = training_curves({run.name: run.history})
    """
    if len(histories) > TOGETHER:
        return _panels_per_model(histories)
    figure = Figure(figsize=(11.0, 4.6), dpi=120, layout="constrained")
    axes = figure.subplots(1, 2)
    for index, (name, history) in enumerate(histories.items()):
        for axis, (metric, scale, _) in zip(axes, METRICS, strict=True):
            _draw_history(axis, history, metric, scale, model_title(name), line_style(index))
    axes[0].set_ylabel("Loss (nats, or the model's own unit)")
    axes[0].set_title("Loss (the large dot is the epoch that was kept)")
    axes[1].set(ylabel="Right class (%)", title=accuracy_title, ylim=(0, 102))
    legend_below(figure, axes[0], len(histories))
    return figure


def _panels_per_model(histories: Mapping[str, History]) -> Figure:
    """Two small panels, one above the other, for each model."""
    columns = min(len(histories), 4)
    bands = -(-len(histories) // columns)
    figure = Figure(figsize=(3.3 * columns, 4.4 * bands + 0.5), dpi=120, layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, (name, history) in enumerate(histories.items()):
        band, column = divmod(index, columns)
        for line, (metric, scale, label) in enumerate(METRICS):
            axis = axes[2 * band + line, column]
            axis.set_axis_on()
            style = {"color": OKABE_ITO[line], "marker": "o"}
            _draw_history(axis, history, metric, scale, "", style)
            if column == 0:
                axis.set_ylabel(label)
            if metric == "accuracy":
                axis.set_ylim(0, 102)  # lines at 100 stay whole
            else:
                axis.set(title=model_title(name), xlabel="")
    figure.suptitle(
        "Training (dashed) and validation (solid); the large dot is the epoch that was kept",
        fontsize="large",
    )
    return figure


def _draw_history(
    axis: Any, history: History, metric: str, scale: float, title: str, style: Mapping[str, Any]
) -> None:
    """Both curves of a metric, and the kept epoch."""
    epochs, losses = _by_epoch(history, "epoch"), _by_epoch(history, "val_loss")
    for stage, dashes, name in (("train", "--", "training"), ("val", "-", "validation")):
        values = scale * _by_epoch(history, f"{stage}_{metric}")
        how: dict[str, Any] = {**style, "linestyle": dashes, "linewidth": 2, "markersize": 3}
        label = f"{title}, {name}" if title else name
        axis.plot(epochs, values, label=label, alpha=1.0 if stage == "val" else 0.75, **how)
    if np.isfinite(losses).any():
        best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
        value = scale * _by_epoch(history, f"val_{metric}")[best]
        axis.plot(epochs[best], value, "o", color=style["color"], markersize=9, zorder=5)
    axis.set_xlabel("Epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(**GRID)


def _by_epoch(history: History, name: str) -> npt.NDArray[np.float64]:
    """Values by epoch; NaN where there is none."""
    values = [epoch.get(name) for epoch in history]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def reliability_diagrams(bins: Mapping[str, Sequence[Bin]]) -> Figure:
    """How often a model is right, by how sure it is: a panel per event.

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

    Examples
    --------
    >>> from geoloc_models.inference.calibration_report import Bin
    >>> from geoloc_models.reports.figures import reliability_diagrams
    >>> bins = [Bin(40, 0.3, 0.25, 0.14, 0.40), Bin(60, 0.8, 0.85, 0.74, 0.92)]
    >>> figure = reliability_diagrams({"The likeliest cell": bins})
    """
    panels = {title: panel for title, panel in bins.items() if panel}
    if not panels:
        raise GeolocError("No model has probabilities to hold against the truth.")
    n_columns = min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(3.4 * n_columns, 3.4 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, panel) in zip(axes, panels.items(), strict=False):
        names = ("confidence", "accuracy", "low", "high", "n_photos")
        values = {name: np.array([getattr(each, name) for each in panel]) for name in names}
        sure, right = 100 * values["confidence"], 100 * values["accuracy"]
        spans = np.maximum([right - 100 * values["low"], 100 * values["high"] - right], 0.0)
        sizes = 12 + 160 * values["n_photos"] / values["n_photos"].sum()
        colour = OKABE_ITO[0]
        axis.plot([0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=1)
        axis.errorbar(sure, right, yerr=spans, fmt="none", ecolor=colour, alpha=0.6, capsize=2)
        axis.scatter(sure, right, s=sizes, color=colour, zorder=3)
        axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
        axis.set_title(title, fontsize=9)
        axis.grid(**GRID)
    figure.supxlabel("Probability that the model gives (%)", fontsize=10)
    figure.supylabel("Share that came true (%)", fontsize=10)
    return figure
