"""ClusteredCells: cells from any clusterer, on places and image features in one space."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from geocells.array_types import ArrayLike, FloatArray, IntArray
from geocells.cells import LOCATION_CHOICES, OUTSIDE_CHOICES, VoronoiIndex
from geocells.errors import refuse_rows
from geocells.estimator import CellEstimator
from geocells.fitting import Images, partition_from_labels
from geocells.sphere import EARTH_RADIUS_KM, SphereSums, haversine, to_unit_vectors
from geocells.validation import check_choice, check_count

SAME_PLACE_KM = 0.01
"""Sites nearer than this are one."""

CLUSTERERS = ("kmeans", "hdbscan", "optics")


class ClusteredCells(CellEstimator):
    """Cells from a clusterer of scikit-learn's kind, on places and image features in one space.

    Parameters
    ----------
    clusterer : object with ``fit_predict``, or {"kmeans", "hdbscan", "optics"}
        Clusters the rows of the joint space; negative labels are noise. A name stands for that clusterer with settings
        that follow from ``min_images``: ``KMeans`` with one cluster for every ``2 * min_images`` images (random_state
        0), ``HDBSCAN`` with ``min_cluster_size=min_images``, ``OPTICS`` with ``min_samples=min(min_images, 50)`` and
        ``min_cluster_size=min_images``. It is cloned, never changed.
    alpha : float, default 0.5
        Balance in [0, 1]: 0 clusters by places only, 1 by features only.
    min_images : int, default 200
        Images that a cell needs.
    location : {"mean", "medoid", "mode"}
        The point that a cell answers with, as in `CellBuilder`.
    outside : {"nearest", "noise", "raise"}
        What `assign` answers for a coordinate of a group that had no images; every other place is held by a cell.

    Attributes
    ----------
    labels_ : (n_images,) int64
        Cell of each image. Equal to ``assign(coords, groups)``.
    clusters_ : (n_images,) int64
        What the clusterer answered, -1 for noise; group by group where there are groups.
    centroids_, counts_, n_cells_
        As for `CellBuilder`.
    cells_ : CellPartition
        Voronoi cells of sites on the sphere, numbered from south to north (of each group in turn).

    Notes
    -----
    The joint space. Places are ``p_i``, unit vectors times the earth's radius, so distances are chords in km; features
    are ``f_i``. Each part is divided by its root mean squared distance between two images, ``s_p`` and ``s_f``
    (``s^2 = 2 mean_i ||x_i - mean||^2``), and the squared distance of two images is

    ``(1 - alpha) ||p_i - p_j||^2 / s_p^2 + alpha ||f_i - f_j||^2 / s_f^2``,

    which is 1 on average for every alpha. A part that is the same for all images adds nothing.

    From clusters to cells, which are places alone: (1) while a cluster is short of ``min_images``, the smallest joins
    the one with the nearest centroid on the sphere; (2) the centroids become sites (of two within 10 m one); (3)
    every image, noise included, goes to the nearest site; (4) while a cell is short, the smallest loses its site, and
    its images go to the sites that are nearest then. Every cell ends with ``min_images`` at least, unless its group
    has fewer in all; then it is one cell. Ties go to the fewest images, then the lowest latitude, then longitude.

    A group of fewer than ``2 * min_images`` images is one cell without asking the clusterer.

    Memory: n x (3 + n_features) float64 for the joint space, and what the clusterer needs.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, future work.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from geocells import ClusteredCells
    >>> rng = np.random.default_rng(0)
    >>> coords = np.concatenate([rng.normal(town, 0.1, size=(500, 2)) for town in [(47, 8), (59, 18)]])
    >>> builder = ClusteredCells(KMeans(2, random_state=0), alpha=0.0).fit(coords)
    >>> builder.counts_.tolist()
    [500, 500]
    >>> builder.assign([[46.2, 6.1], [65.0, 20.0]]).tolist()
    [0, 1]
    """

    def __init__(
        self,
        clusterer: Any = "kmeans",
        alpha: float = 0.5,
        min_images: int = 200,
        *,
        location: str = "mean",
        outside: str = "nearest",
    ) -> None:
        self.clusterer = clusterer
        self.alpha = alpha
        self.min_images = min_images
        self.location = location
        self.outside = outside

    def fit(
        self, coords: ArrayLike, feats: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Cluster the images and make cells of the clusters.

        Parameters
        ----------
        coords : array-like (n, 2), table or points
            Latitude, longitude of each image in degrees; see :meth:`CellPartition.assign`.
        feats : array-like (n, n_features), optional
            Image features. Left out, places decide alone, whatever ``alpha``.
        groups : array-like (n,), optional
            A group for every image; each is clustered by itself and has cells of its own, all over the globe.

        Returns
        -------
        self : ClusteredCells

        Raises
        ------
        ValueError, TypeError
            When a parameter or a row is unsound, or the clusterer's answer is no label a row.
        """
        alpha = _check_alpha(self.alpha)
        min_images = check_count(self.min_images, "min_images")
        check_choice(self.location, "location", LOCATION_CHOICES)
        check_choice(self.outside, "outside", OUTSIDE_CHOICES)
        make_clusterer = _maker(self.clusterer, min_images)
        images = Images.from_input(coords, feats, groups)
        array, names = images.coords.array, images.group_names
        group_of_row = images.group_of_row
        if group_of_row is None:
            group_of_row = np.zeros(len(array), dtype=np.int64)
        clusters = np.zeros(len(array), dtype=np.int64)
        sites_of_group = []
        for group in range(1 if names is None else len(names)):
            rows = np.flatnonzero(group_of_row == group)
            if len(rows) >= 2 * min_images:
                group_feats = None if images.feats is None else images.feats[rows]
                space = joint_space(array[rows], group_feats, alpha)
                clusters[rows] = _cluster(make_clusterer(len(rows)), space)
            sites_of_group.append(choose_sites(array[rows], clusters[rows], min_images))
        sites = np.concatenate(sites_of_group)
        n_sites = [len(group_sites) for group_sites in sites_of_group]
        group_of_site = None if names is None else np.repeat(np.arange(len(names)), n_sites)
        cell_index = VoronoiIndex(sites, group_of_site)
        labels = cell_index.cells_that_hold(array, images.group_of_row)
        cells = partition_from_labels(
            cell_index,
            images,
            labels,
            np.zeros(len(sites), dtype=np.int64),
            group_of_cell=group_of_site,
            outside=self.outside,
            location=self.location,
            parameters={
                "method": "clustered",
                "clusterer": str(self.clusterer),
                "alpha": alpha,
                "min_images": min_images,
                "location": self.location,
            },
        )
        self.clusters_ = clusters
        return self._store(cells, labels)


def joint_space(coords: FloatArray, feats: ArrayLike | None, alpha: float) -> FloatArray:
    """Places and features side by side, each to unit mean squared distance, balanced by alpha.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    feats : (n, n_features) array or None
    alpha : float
        Weight of the features' squared distances; that of the places' is ``1 - alpha``.

    Returns
    -------
    space : (n, d) float64
        Parts of weight 0 are left out. The formula is in `ClusteredCells`.
    """
    parts = []
    if feats is None or alpha < 1.0:
        share = 1.0 if feats is None else 1.0 - alpha
        parts.append(np.sqrt(share) * _to_unit_distance(to_unit_vectors(coords) * EARTH_RADIUS_KM))
    if feats is not None and alpha > 0.0:
        feats = np.asarray(feats, dtype=np.float64)
        refuse_rows(
            ~np.isfinite(feats).all(axis=1),
            "Features must be finite",
            "are not",
            lambda row: f"feature {np.flatnonzero(~np.isfinite(feats[row]))[0]}",
            "Drop those rows, or correct the encoder that made them.",
        )
        parts.append(np.sqrt(alpha) * _to_unit_distance(feats))
    return np.concatenate(parts, axis=1)


def _to_unit_distance(points: FloatArray) -> FloatArray:
    """Points about their mean, scaled so that the mean squared distance of two of them is 1."""
    centred = points - points.mean(axis=0)
    largest = np.abs(centred).max()
    if largest <= 1e-12 * max(1.0, np.abs(points).max()):
        # All one point, but for rounding.
        return np.zeros_like(centred)
    centred /= largest
    scaled: FloatArray = centred / np.sqrt(2.0 * np.einsum("ij,ij->i", centred, centred).mean())
    return scaled


def choose_sites(coords: FloatArray, clusters: IntArray, min_images: int) -> FloatArray:
    """Sites whose nearest images number at least ``min_images`` each, from clusters.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    clusters : (n,) int64
        Any numbers; below 0 for noise.
    min_images : int

    Returns
    -------
    sites : (n_sites, 2) float64
        By latitude, then longitude; at least one.

    Notes
    -----
    Steps 1 to 4 of `ClusteredCells`; O(n_clusters^2 + n log n).
    """
    rows = np.flatnonzero(clusters >= 0)
    if not len(rows):
        rows, clusters = np.arange(len(coords)), np.zeros(len(coords), dtype=np.int64)
    _, labels = np.unique(clusters[rows], return_inverse=True)
    sites = _merged_sites(coords[rows], labels.astype(np.int64), min_images)
    sites = sites[np.lexsort((sites[:, 1], sites[:, 0]))]
    while True:
        nearest = _nearest(coords, sites)
        counts = np.bincount(nearest, minlength=len(sites))
        if len(sites) == 1 or counts.min() >= min_images:
            return sites
        while len(sites) > 1 and counts.min() < min_images:
            smallest = int(np.argmin(counts))
            sites = np.delete(sites, smallest, axis=0)
            unassigned = np.flatnonzero(nearest == smallest)
            nearest[nearest > smallest] -= 1
            nearest[unassigned] = _nearest(coords[unassigned], sites)
            counts = np.bincount(nearest, minlength=len(sites))


def _nearest(coords: FloatArray, sites: FloatArray) -> IntArray:
    return VoronoiIndex(sites).cells_that_hold(coords, None)


def _merged_sites(coords: FloatArray, labels: IntArray, min_images: int) -> FloatArray:
    """Centroids of clusters after those short of images, and those of one place, have been merged."""
    n_clusters = int(labels.max()) + 1
    sums = SphereSums.from_coords(coords, labels, n_clusters)
    vectors, counts = sums.sums.copy(), sums.counts.copy()
    means = sums.means_of(coords, labels)
    alive = np.arange(n_clusters)
    while len(alive) > 1:
        order = np.lexsort((means[alive, 1], means[alive, 0], counts[alive]))
        smallest = alive[order[0]]
        others = alive[alive != smallest]
        if counts[smallest] >= min_images:
            alive = alive[np.lexsort((means[alive, 1], means[alive, 0]))]
            pair = _same_place(means[alive])
            if pair is None:
                break
            smallest, others = alive[pair[0]], alive[[pair[1]]]
        km = haversine(means[smallest], means[others])
        nearest = others[np.lexsort((means[others, 1], means[others, 0], km))[0]]
        vectors[nearest] += vectors[smallest]
        counts[nearest] += counts[smallest]
        labels = np.where(labels == smallest, nearest, labels)
        merged = SphereSums(vectors[[nearest]], counts[[nearest]], sums.scale)
        members = labels == nearest
        means[nearest] = merged.means_of(coords[members], np.zeros(members.sum(), dtype=np.int64))[
            0
        ]
        alive = alive[alive != smallest]
    return means[alive]


def _same_place(means: FloatArray) -> tuple[int, int] | None:
    """The first two of the points that are within 10 m of one another."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(to_unit_vectors(means)).query_pairs(SAME_PLACE_KM / EARTH_RADIUS_KM)
    return min(pairs, default=None)


def _check_alpha(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"alpha must be a number from 0 (places) to 1 (features); got {value!r}.")
    if not 0.0 <= float(value) <= 1.0:
        raise ValueError(f"alpha must lie in [0, 1], from places to features; got {value}.")
    return float(value)


def _maker(clusterer: Any, min_images: int) -> Callable[[int], Any]:
    """Return what makes a fresh clusterer for a number of images."""
    if not isinstance(clusterer, str):
        if not hasattr(clusterer, "fit_predict") or isinstance(clusterer, type):
            raise TypeError(
                f"clusterer must have fit_predict, as scikit-learn's KMeans(8) has, or be one of {CLUSTERERS}; got "
                f"{clusterer!r}."
            )
        from sklearn.base import clone

        return lambda _: clone(clusterer, safe=False)
    check_choice(clusterer, "clusterer", CLUSTERERS)
    smallest = max(2, min_images)
    from sklearn import cluster

    makers: dict[str, Callable[[int], Any]] = {
        "kmeans": lambda n: cluster.KMeans(max(1, n // (2 * min_images)), random_state=0),
        "hdbscan": lambda _: cluster.HDBSCAN(min_cluster_size=smallest, copy=True),
        "optics": lambda _: cluster.OPTICS(
            min_samples=min(smallest, 50), min_cluster_size=smallest
        ),
    }
    return makers[clusterer]


def _cluster(clusterer: Any, space: FloatArray) -> IntArray:
    labels = np.asarray(clusterer.fit_predict(space))
    if labels.shape != (len(space),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"The clusterer must answer with one integer per row, shape ({len(space)},); it gave {labels.dtype} of "
            f"shape {labels.shape}."
        )
    return np.maximum(labels.astype(np.int64), -1)
