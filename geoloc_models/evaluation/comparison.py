"""Two models on the same test images, and one model over several seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.scores import (
    GEOSCORE_BEST,
    RADII_KM,
    Evaluation,
    FloatArray,
    Interval,
    Predictions,
    RowIndex,
    bootstrap,
    score,
)


def compare(
    left: Predictions,
    right: Predictions,
    true_coords: npt.ArrayLike,
    true_countries: npt.ArrayLike,
    *,
    radii_km: Sequence[float] = RADII_KM,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Differences of two models on the same test images, left minus right.

    Parameters
    ----------
    left, right : Predictions
        Of the same rows, in the same order.
    true_coords, true_countries, radii_km, n_bootstrap, seed
        As in :func:`~geoloc_models.evaluation.evaluate`.

    Returns
    -------
    dict of str to Interval
        ``country``, ``1 km`` and so on in percentage points, ``median_km`` in kilometres, ``geoscore`` in points.
        Where an interval leaves out 0, the models differ by more than the choice of test images explains.

    Raises
    ------
    GeolocError
        As :func:`~geoloc_models.evaluation.evaluate`, or the rows differ.

    Notes
    -----
    Paired bootstrap: each sample of test images judges both models. Two single intervals may overlap where this one
    leaves out 0.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, compare
    >>> countries, truth = np.array(["CH", "SE"], dtype=object), np.array([[46.9, 7.4], [63.8, 20.3]])
    >>> right = Predictions(truth, countries, None, np.arange(2))
    >>> wrong = Predictions(truth[::-1], countries, None, np.arange(2))
    >>> compare(right, wrong, truth, countries)["25 km"].value
    100.0
    """
    if not np.array_equal(left.rows, right.rows):
        raise GeolocError(
            f"Only predictions for the same photos can be compared, in the same order; these are "
            f"for {left.n_rows} and {right.n_rows} rows of the photo table that differ."
        )
    first = score(left, true_coords, true_countries, radii_km)
    second = score(right, true_coords, true_countries, radii_km)

    def differences(rows: RowIndex = ...) -> FloatArray:
        return first.figures(rows) - second.figures(rows)

    figures = bootstrap(differences, left.n_rows, n_bootstrap, seed)
    return Evaluation.from_figures(figures, radii_km, left.n_rows).figures()


def over_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Mean over training runs that differ by their seed, with t-intervals.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        At least one, with the same radii.

    Returns
    -------
    Evaluation
        Means of the figures; ``n_runs`` says of how many; ``n_test`` is the least of theirs.

    Raises
    ------
    GeolocError
        No evaluation, or radii that differ.

    Notes
    -----
    ``mean -+ t * s / sqrt(n)``, t the 97.5 % point of Student's distribution with n - 1 degrees of freedom: 12.7 for
    two runs, 4.3 for three. Bounds stay inside the range of a figure; those of one run are NaN. The intervals are of
    the seed alone, not of the test images.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate, over_seeds
    >>> countries, truth = np.array(["CH", "SE"], dtype=object), np.array([[46.9, 7.4], [63.8, 20.3]])
    >>> runs = [Predictions(coords, countries, None, np.arange(2)) for coords in (truth, truth[::-1])]
    >>> mean = over_seeds([evaluate(run, truth, countries) for run in runs])
    >>> mean.figures()["25 km"].value, mean.n_runs
    (50.0, 2)
    """
    if not evaluations:
        raise GeolocError("There is no run to average.")
    radii = [list(evaluation.within_km) for evaluation in evaluations]
    if any(each != radii[0] for each in radii):
        raise GeolocError("Runs can only be averaged where they were evaluated at the same radii.")
    most = {"median_km": np.inf, "geoscore": GEOSCORE_BEST}
    runs = [evaluation.figures() for evaluation in evaluations]
    means = {
        name: _over_runs([run[name] for run in runs], most.get(name, 100.0)) for name in runs[0]
    }
    median, geoscore = means.pop("median_km"), means.pop("geoscore")
    n_test = min(evaluation.n_test for evaluation in evaluations)
    figures = [*means.values(), geoscore, median]
    return Evaluation.from_figures(figures, radii[0], n_test, len(evaluations))


def _over_runs(figures: Sequence[Interval], most: float) -> Interval:
    """Mean and t-interval of a figure between 0 and ``most``."""
    values = np.array([figure.value for figure in figures])
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean, np.nan, np.nan)
    from scipy import stats  # half a second, which answers need not wait for

    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, max(mean - half, 0.0), min(mean + half, most))
