"""Loss and accuracy by epoch: of models side by side, and with and without augmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geoloc_models.reports.figures._style import GRID, OKABE_ITO, line_style
from geoloc_models.reports.table import model_title

History = Sequence[Mapping[str, float]]
TOGETHER = 3
METRICS = (("loss", 1.0, "Loss"), ("accuracy", 100.0, "Right class (%)"))


def training_curves(histories: Mapping[str, History]) -> Figure:
    """Loss and accuracy by epoch; the epoch that was kept is marked.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By model name; an epoch has ``epoch``, ``train_loss``, ``val_loss`` (nats, or whatever the
        model descends) and ``train_accuracy``, ``val_accuracy`` (0 to 1, over the model's own
        classes). What is missing or NaN leaves a gap.

    Returns
    -------
    Figure
        Up to three models share two panels; more have two panels each, as their losses are not
        in one unit.
    """
    if len(histories) > TOGETHER:
        return _panels_per_model(histories)
    titles = {model_title(name): history for name, history in histories.items()}
    return _shared_panels(titles, "Accuracy over each model's own classes")


def augmentation_curves(histories: Mapping[str, History]) -> Figure:
    """Training and validation curves of one model trained with and without augmentation.

    Parameters
    ----------
    histories : mapping of str to sequence of mapping
        By what to call the augmentation, such as "No augmentation" and "Random crops"; epochs as
        in :func:`training_curves`.

    Returns
    -------
    Figure
        Loss and accuracy: dashed lines on training images (augmented where they are), solid lines
        on validation images, which never are. The gap between the two is the overfitting.
    """
    return _shared_panels(histories, "Accuracy")


def _shared_panels(histories: Mapping[str, History], accuracy_title: str) -> Figure:
    """Two panels, all curves in each."""
    figure = Figure(figsize=(11.0, 4.6), dpi=120, layout="constrained")
    axes = figure.subplots(1, 2)
    for index, (title, history) in enumerate(histories.items()):
        style = {**line_style(index), "linewidth": 2, "markersize": 3}
        for axis, (metric, scale, _) in zip(axes, METRICS, strict=True):
            _draw(axis, history, metric, scale, style, title)
    for axis in axes:
        _label(axis)
    axes[0].set_ylabel("Loss (nats, or the model's own unit)")
    axes[1].set_ylabel("Right class (%)")
    axes[1].set_ylim(0, 102)  # lines at 100 stay whole
    axes[0].set_title("Loss (the large dot is the epoch that was kept)")
    axes[1].set_title(accuracy_title)
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        columns = min(len(histories), 4)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize="medium")
    return figure


def _panels_per_model(histories: Mapping[str, History]) -> Figure:
    """Two small panels, one above the other, for each model."""
    columns = min(len(histories), 4)
    bands = -(-len(histories) // columns)
    figure = Figure(figsize=(3.3 * columns, 4.4 * bands + 0.5), dpi=120, layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False, sharex=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for index, (name, history) in enumerate(histories.items()):
        band, column = divmod(index, columns)
        for line, (metric, scale, label) in enumerate(METRICS):
            axis = axes[2 * band + line, column]
            axis.set_axis_on()
            style = {"color": OKABE_ITO[line], "marker": "o", "linewidth": 2, "markersize": 3}
            _draw(axis, history, metric, scale, style, "")
            _label(axis, has_epochs=line == 1)
            if column == 0:
                axis.set_ylabel(label)
            if metric == "accuracy":
                axis.set_ylim(0, 102)
            else:
                axis.set_title(model_title(name), fontsize="medium")
    figure.suptitle(
        "Training (dashed) and validation (solid); the large dot is the epoch that was kept",
        fontsize="large",
    )
    return figure


def _draw(
    axis: Any, history: History, metric: str, scale: float, style: Mapping[str, Any], title: str
) -> None:
    """Both curves of a metric, and the kept epoch."""
    epochs = _column(history, "epoch")
    for stage, dashes, name in (("train", "--", "training"), ("val", "-", "validation")):
        values = scale * _column(history, f"{stage}_{metric}")
        how = {**style, "linestyle": dashes, "alpha": 1.0 if stage == "val" else 0.75}
        axis.plot(epochs, values, label=f"{title}, {name}" if title else name, **how)
    losses = _column(history, "val_loss")
    if np.isfinite(losses).any():
        best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
        value = scale * _column(history, f"val_{metric}")[best]
        axis.plot(epochs[best], value, "o", color=style["color"], markersize=9, zorder=5)


def _label(axis: Any, *, has_epochs: bool = True) -> None:
    if has_epochs:
        axis.set_xlabel("Epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(**GRID)


def _column(history: History, name: str) -> npt.NDArray[np.float64]:
    """Values by epoch; NaN where there is none."""
    values = [epoch.get(name) for epoch in history]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
