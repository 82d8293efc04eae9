"""Which countries are taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models.errors import GeolocError
from geoloc_models.reports.figures.style import (
    FULL_WIDTH_MM,
    QUIET,
    new_figure,
    printed,
    shades,
    style_ticks,
)

N_NAMED = 15


@printed
def confusion(
    true_countries: npt.ArrayLike,
    countries: npt.ArrayLike,
    *,
    names: Mapping[str, str] | None = None,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Draw the confusion matrix of countries: counts, coloured by their share of the row.

    Parameters
    ----------
    true_countries, countries : array-like
        (n,) countries, true and guessed.
    names : mapping of str to str, optional
        Full names of countries.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Notes
    -----
    The 15 countries with the most test images stand alone; the others are one class, called
    ``"k others"``, whose cell with itself holds right and wrong guesses alike.

    Examples
    --------
    >>> from geoloc_models.reports.figures import confusion
    >>> figure = confusion(["CH", "SE", "SE"], ["CH", "SE", "CH"], names={"SE": "Sweden"})
    """
    labels, counts = _counts(true_countries, countries)
    totals = counts.sum(axis=1)
    shares = 100.0 * counts / np.maximum(totals, 1)[:, None]
    titles = [str((names or {}).get(label, label)) for label in labels]
    n = len(labels)
    are_few = n < 6
    figure = new_figure(width_mm, 0.45 * width_mm + 15.0 if are_few else 0.8 * width_mm)
    axis = figure.subplots()
    style_ticks(axis)
    colours = shades().with_extremes(under="none")
    picture = axis.imshow(shares, cmap=colours, vmin=0.1, vmax=100, aspect="auto")
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = shares[row, column]
        colour = colours(picture.norm(share))
        axis.text(
            column,
            row,
            f"{counts[row, column]:,}" + (f"\n{share:.0f} %" if are_few else ""),
            ha="center",
            va="center",
            fontsize=8 if are_few else min(7.0, width_mm / n / 1.6),
            color="white" if sum(colour[:3]) < 1.5 else "black",
        )
    turned: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if n > 4 else {}
    )
    axis.set_xticks(range(n), titles, **turned)
    rows = [f"{name} ({total:,})" for name, total in zip(titles, totals, strict=True)]
    axis.set_yticks(range(n), rows)
    for set_ticks in (axis.set_xticks, axis.set_yticks):
        set_ticks(np.arange(n - 1) + 0.5, minor=True)
    axis.grid(which="minor", color=QUIET, linewidth=0.2)
    axis.tick_params(which="minor", length=0)
    axis.set(xlabel="Guessed country", ylabel="True country (images)")
    bar = figure.colorbar(picture, ax=axis, shrink=0.8)
    style_ticks(bar.ax)
    bar.set_label("Of the true country (%)")
    return figure


def _counts(
    true_countries: npt.ArrayLike, countries: npt.ArrayLike
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Labels, most test images first, and (K, K) counts: rows are the truth, columns the guess."""
    truth = np.asarray(true_countries, dtype=object).astype(str)
    guess = np.asarray(countries, dtype=object).astype(str)
    if truth.shape != guess.shape:
        raise GeolocError(f"There are {len(truth)} true countries but {len(guess)} guessed ones.")
    names = np.unique(np.concatenate([truth, guess]))
    n_true = np.array([np.sum(truth == name) for name in names], dtype=np.int64)
    ordered = [str(name) for name in names[np.lexsort((names, -n_true))]]
    labels = ordered[:N_NAMED]
    n_others = len(ordered) - len(labels)
    if n_others:
        labels.append(f"{n_others} other{'s' if n_others > 1 else ''}")
    position = {name: min(number, len(labels) - 1) for number, name in enumerate(ordered)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([position[name] for name in truth], [position[name] for name in guess]), 1)
    return labels, counts
