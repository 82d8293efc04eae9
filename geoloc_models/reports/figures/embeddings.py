"""What the encoder sees: features of photos in the plane, the paper's Figure 6."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from geoloc_models.errors import GeolocError
from geoloc_models.reports.figures.style import (
    FULL_WIDTH_MM,
    MARKERS,
    OKABE_ITO,
    QUIET,
    legend_below,
    new_figure,
    printed,
)

N_DIMENSIONS = 50
LEAST_ROWS, MOST_ROWS = 5, 2000
N_NAMED = len(MARKERS)


@printed
def tsne_of_features(
    features: npt.NDArray[np.floating],
    countries: npt.ArrayLike,
    *,
    names: Mapping[str, str] | None = None,
    width_mm: float = FULL_WIDTH_MM,
) -> Figure:
    """Photos by their features, coloured by country.

    Parameters
    ----------
    features : ndarray
        (n, d) of photos, a memory map included: only the rows drawn are read.
    countries : array-like
        (n,) countries.
    names : mapping of str to str, optional
        Full names of countries.
    width_mm : float, default 170
        Width as printed, in millimetres.

    Raises
    ------
    GeolocError
        Too few rows, or features that are not finite.

    Notes
    -----
    PCA to 50 dimensions, then scikit-learn's t-SNE (Barnes-Hut) with a perplexity of 30, or a
    third of the rows where these are few. O(n log n). Of more than 2000 photos as many are drawn,
    at random. The 10 countries with the most of them have a colour and marker; the others are
    grey.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.reports.figures import tsne_of_features
    >>> features = np.random.default_rng(0).normal(size=(40, 8))
    >>> figure = tsne_of_features(features, ["CH", "SE"] * 20)
    """
    codes = np.asarray(countries, dtype=object).astype(str)
    if len(codes) != len(features):
        raise GeolocError(f"There are {len(features)} rows of features but {len(codes)} countries.")
    rows = np.arange(len(codes))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    points = _tsne(np.asarray(features[rows], dtype=np.float32))
    codes = codes[rows]
    present, counts = np.unique(codes, return_counts=True)
    named = present[np.lexsort((present, -counts))][:N_NAMED]

    title = f"t-SNE of image features: {len(rows):,} photos, near ones look alike"
    figure = new_figure(width_mm, 0.75 * width_mm + 10.0, title)
    axis = figure.subplots()
    size = width_mm / (25.0 if len(rows) > 600 else 12.0)
    for index, code in enumerate(named):
        is_here = codes == code
        axis.scatter(
            points[is_here, 0],
            points[is_here, 1],
            s=size,
            color=OKABE_ITO[index % len(OKABE_ITO)],
            marker=MARKERS[index],
            linewidths=0.3,
            edgecolors=figure.get_facecolor(),
            alpha=0.85,
            label=f"{(names or {}).get(code, code)} ({is_here.sum():,})",
        )
    is_other = ~np.isin(codes, named)
    if is_other.any():
        label = f"{len(present) - len(named)} more countries ({is_other.sum():,})"
        others = points[is_other]
        axis.scatter(
            others[:, 0], others[:, 1], s=size * 0.6, color=QUIET, label=label, linewidths=0
        )
    axis.set(xlabel="First t-SNE axis (no unit)", ylabel="Second t-SNE axis (no unit)")
    axis.set(xticks=[], yticks=[])
    axis.set_aspect("equal", adjustable="datalim")
    legend_below(figure, axis)
    return figure


def _tsne(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Place features in the plane so that near ones stay near: (n, 2) without a unit."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if values.ndim != 2 or len(values) < LEAST_ROWS:
        raise GeolocError(
            f"t-SNE needs features of at least {LEAST_ROWS} photos; got an array of shape "
            f"{values.shape}."
        )
    is_bad = ~np.isfinite(values).all(axis=1)
    if is_bad.any():
        raise GeolocError(
            f"{is_bad.sum()} of {len(values)} rows of features are not finite (first: row "
            f"{int(np.flatnonzero(is_bad)[0])})."
        )
    if min(values.shape) > N_DIMENSIONS:
        values = PCA(N_DIMENSIONS, random_state=0, svd_solver="randomized").fit_transform(values)
    perplexity = min(30.0, (len(values) - 1) / 3.0)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(values)
    return np.asarray(points, dtype=np.float64)
