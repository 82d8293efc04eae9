"""Which countries are taken for which."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models._errors import GeolocError


def confusion_counts(
    true_countries: npt.ArrayLike, countries: npt.ArrayLike, *, n_named: int = 15
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Count test images by true and guessed country.

    Parameters
    ----------
    true_countries, countries : array-like
        (n,) countries, true and guessed.
    n_named : int, default 15
        Countries that stand alone: those with the most test images. The others are one class,
        called ``"k others"``.

    Returns
    -------
    labels : list of str
        (K,) in order of falling number of test images.
    counts : ndarray
        (K, K) int64; rows are the truth, columns the guess.

    Examples
    --------
    >>> confusion_counts(["SE", "SE", "CH"], ["SE", "CH", "CH"])
    (['SE', 'CH'], array([[1, 1],
           [0, 1]]))
    """
    truth = np.asarray(true_countries, dtype=object).astype(str)
    guess = np.asarray(countries, dtype=object).astype(str)
    if truth.shape != guess.shape:
        raise GeolocError(f"There are {len(truth)} true countries but {len(guess)} guessed ones.")
    names = np.unique(np.concatenate([truth, guess]))
    of_truth = np.array([np.sum(truth == name) for name in names], dtype=np.int64)
    named = names[np.lexsort((names, -of_truth))]
    labels = [str(name) for name in named[:n_named]]
    n_others = len(names) - len(labels)
    if n_others:
        labels.append(f"{n_others} other{'s' if n_others > 1 else ''}")
    place = {name: min(position, len(labels) - 1) for position, name in enumerate(named)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([place[name] for name in truth], [place[name] for name in guess]), 1)
    return labels, counts


def confusion(
    true_countries: npt.ArrayLike,
    countries: npt.ArrayLike,
    *,
    names: Mapping[str, str] | None = None,
    n_named: int = 15,
    title: str = "True and guessed countries of the test images",
) -> Figure:
    """Draw the confusion matrix of countries: counts, coloured by their share of the row.

    Parameters
    ----------
    true_countries, countries, n_named
        As in :func:`confusion_counts`.
    names : mapping of str to str, optional
        Full names of countries.
    title : str
        Over the figure.

    Notes
    -----
    The cell of the others with themselves holds right and wrong guesses alike.
    """
    labels, counts = confusion_counts(true_countries, countries, n_named=n_named)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100.0 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    titles = [str((names or {}).get(label, label)) for label in labels]
    n = len(labels)
    side = float(np.clip(0.62 * n, 3.4, 11.0))
    figure = Figure(figsize=(side + 3.2, side + 1.9), dpi=110, layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row in range(n):
        for column in range(n):
            if counts[row, column]:
                axis.text(
                    column,
                    row,
                    f"{counts[row, column]:,}"
                    + (f"\n{shares[row, column]:.0f} %" if n < 6 else ""),
                    ha="center",
                    va="center",
                    fontsize="large" if n < 6 else "small",
                    color="white" if shares[row, column] > 55 else "#111111",
                )
    ticks = range(n)
    axis.set_xticks(ticks, titles)
    if n > 4:
        for label in axis.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    row_titles = [f"{name} ({total:,})" for name, total in zip(titles, totals[:, 0], strict=True)]
    axis.set_yticks(ticks, row_titles)
    axis.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="#dddddd", linewidth=0.5)
    axis.tick_params(which="minor", length=0)
    axis.set_xlabel("Guessed country")
    axis.set_ylabel("True country (test images)")
    axis.set_title(title, fontsize="large")
    bar = figure.colorbar(picture, ax=axis, shrink=0.8)
    bar.set_label("Share of the true country's images (%)")
    return figure
