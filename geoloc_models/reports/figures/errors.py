"""How far off models are, in all and by how near the training photos are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from geoloc_models._errors import GeolocError
from geoloc_models.reports.figures._style import GRID, QUIET, line_style
from geoloc_models.reports.table import model_title

MOST_KM = 20_037.0
LEAST_KM = 0.1
BARS_UP_TO = 4


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
    for index, (title, values) in enumerate(curves.items()):
        style = {**line_style(index), "marker": ""}
        axis.plot(
            *_cumulative(values), linewidth=2 if len(curves) < 7 else 1.5, label=title, **style
        )
    if centre_km is not None:
        axis.plot(
            *_cumulative(centre_km),
            color=QUIET,
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
    axis.legend(loc="upper left", frameon=True, fontsize="medium" if len(curves) < 7 else "small")
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
    """
    distance = np.asarray(distance_to_training_km, dtype=np.float64)
    errors = {name: np.asarray(values, dtype=np.float64) for name, values in errors_km.items()}
    for name, values in errors.items():
        if values.shape != distance.shape:
            raise GeolocError(
                f"Model {name} has {len(values)} errors for {len(distance)} distances to the "
                "nearest training photo; each test image needs both."
            )
    group, centres, counts = _groups(distance, n_bins)
    has_bars = len(errors) <= BARS_UP_TO
    places = np.maximum(centres, LEAST_KM)
    figure = Figure(figsize=(9.0, 5.6), dpi=120, layout="constrained")
    axis = figure.subplots()
    ends = np.array([places[0] / 2, places[-1] * 2] if len(places) else [1.0, 10.0])
    spread = _side_by_side(len(errors), 0.035) if has_bars else np.ones(len(errors))
    for index, (name, values) in enumerate(errors.items()):
        shown = np.maximum(values, LEAST_KM)
        low, median, high = (
            np.array([np.percentile(shown[group == each], share) for each in range(len(centres))])
            for share in (25, 50, 75)
        )
        axis.errorbar(
            places * spread[index],
            median,
            yerr=[median - low, high - median] if has_bars else None,
            label=model_title(name),
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2.5,
            markersize=5,
            **line_style(index),
        )
    (equal,) = axis.plot(ends, ends, color=QUIET, linewidth=1)
    axis.set(xscale="log", yscale="log", xlim=ends)
    axis.set_xlabel("Distance to the nearest training photo (km, logarithmic)")
    axis.set_ylabel("Error (km, logarithmic)")
    axis.set_title(
        f"Error by distance to the nearest training photo: medians{' and quartiles' * has_bars}"
        f"\nof groups of {_range(counts)} test images"
    )
    axis.grid(**GRID)
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(
        [*handles, equal],
        [*labels, "As far off as the nearest photo"],
        fontsize="small",
        ncols=1 if has_bars else 2,
    )
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure


def _side_by_side(n: int, width: float) -> npt.NDArray[np.float64]:
    """Factors that keep the bars of n models apart on a logarithmic axis."""
    return 10 ** (width * np.linspace(-1.0, 1.0, n)) if n > 1 else np.ones(n)


def _range(counts: npt.NDArray[np.int64]) -> str:
    if len(counts) == 0:
        return "0"
    least, most = int(counts.min()), int(counts.max())
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _groups(
    distance: npt.NDArray[np.float64], n_bins: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Group of each image by quantiles, with the groups' median distances and sizes."""
    if len(distance) == 0:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    inner = np.unique(np.quantile(distance, np.linspace(0, 1, n_bins + 1)[1:-1]))
    _, group = np.unique(np.searchsorted(inner, distance, side="right"), return_inverse=True)
    counts = np.bincount(group)
    centres = np.array([np.median(distance[group == each]) for each in range(len(counts))])
    return group, centres, counts
