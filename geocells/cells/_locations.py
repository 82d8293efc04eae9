"""Points that a cell can answer with: medoid and mode of its images, worked out when first asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from geocells._jit import n_threads, run_blocks
from geocells._types import FloatArray, IntArray
from geocells.cells import _locations_kernels
from geocells.sphere import EARTH_RADIUS_KM, SphereSums, to_unit_vectors
from geocells.sphere.means import NO_WEIGHTS

LOCATION_CHOICES = ("mean", "medoid", "mode")
"""The points that a cell can answer with."""

MODE_RADIUS_KM = 1.0
"""A mode is the training coordinate with most images of its cell this near."""

IMAGES_A_TASK = 2**17


@dataclass(frozen=True)
class _Images:
    """The training images, referred to and not copied."""

    coords: FloatArray
    labels: IntArray
    weights: IntArray | None


@dataclass
class RepresentativePoints:
    """Medoids and modes of cells: known, or worked out from the images at first access, which are then let go."""

    _known: tuple[FloatArray, FloatArray] | None = None
    _images: _Images | None = field(default=None, repr=False)

    @classmethod
    def from_images(
        cls, coords: FloatArray, labels: IntArray, weights: IntArray | None = None
    ) -> RepresentativePoints:
        """Places of the cells of these images, to be worked out when first asked for.

        Parameters
        ----------
        coords : (n, 2) float64
            Latitude, longitude in degrees.
        labels : (n,) int64
            Cell of each image; -1 for those of none.
        weights : (n,) int64, optional
            Images that each row stands for.

        Notes
        -----
        Nothing is copied, so that a fit of ten million images does not pay for points nobody asks for. Images changed
        in the meantime are noticed, by the cells' counts and means.
        """
        return cls(None, _Images(coords, labels, weights))

    @classmethod
    def from_points(cls, medoids: FloatArray, modes: FloatArray) -> RepresentativePoints:
        """Places that are known, (n_cells, 2) float64 each."""
        return cls((medoids, modes))

    @property
    def is_known(self) -> bool:
        """Whether medoids and modes are known or can be worked out."""
        return self._known is not None or self._images is not None

    def of(self, centroids: FloatArray, counts: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return medoids and modes of the cells with these means and counts, (n_cells, 2) float64 each.

        Raises
        ------
        ValueError
            When the images were changed in place since, or are not known.
        """
        if self._known is None:
            images = self._images
            if images is None:
                raise ValueError(
                    "These cells know neither their medoids and modes nor the images that those follow from: build "
                    "the cells again."
                )
            _refuse_changed(images, centroids, counts)
            known = medoids_and_modes(
                images.coords, images.labels, len(counts), images.weights, progress=True
            )
            for array in known:
                array.setflags(write=False)
            self._known, self._images = known, None
        return self._known

    def locations(self, choice: str, centroids: FloatArray, counts: IntArray) -> FloatArray:
        """Return the point that each cell answers with, (n_cells, 2) float64: its "mean", "medoid" or "mode"."""
        if choice == "mean":
            return centroids.copy()
        medoids, modes = self.of(centroids, counts)
        return (medoids if choice == "medoid" else modes).copy()


def _refuse_changed(images: _Images, centroids: FloatArray, counts: IntArray) -> None:
    """Raise where the images are no longer those that the cells were made from."""
    weights = NO_WEIGHTS if images.weights is None else images.weights
    labels = images.labels
    fits = not len(labels) or (int(labels.min()) >= -1 and int(labels.max()) < len(counts))
    if fits:
        sums = SphereSums.from_coords(images.coords, labels, len(counts), weights)
        means, lengths = sums.means()
        # Images that nearly cancel out have no sure mean.
        sure = lengths > 1e-3
        apart = np.abs(to_unit_vectors(means[sure]) - to_unit_vectors(centroids[sure]))
        fits = np.array_equal(sums.counts, counts) and bool((apart < 1e-7).all())
    if not fits:
        raise ValueError(
            "The coordinates, labels or weights were changed in place after fit, before the cells' medoids and modes "
            "were worked out from them. Fit again on a copy."
        )


def medoids_and_modes(
    coords: FloatArray,
    labels: IntArray,
    n_cells: int,
    weights: IntArray | None = None,
    *,
    radius_km: float = MODE_RADIUS_KM,
    progress: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Medoid and mode of each cell's images.

    Parameters
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    labels : (n,) int64
        Cell of each image; -1 is passed over.
    n_cells : int
    weights : (n,) int64, optional
        Images that each row stands for; a row that stands for none is no candidate.
    radius_km : float
        Radius of the neighbourhood whose images a mode counts.
    progress : bool
        Show a progress bar when it takes longer than two seconds.

    Returns
    -------
    medoids : (n_cells, 2) float64
        The image with the least sum of great-circle distances to the images of its cell.
    modes : (n_cells, 2) float64
        The coordinate with most images of its cell within ``radius_km``. Of equal ones, here and there, that with the
        lowest latitude, then longitude. NaN for a cell without images.

    Notes
    -----
    Both are exact. Images at one coordinate count as one point with a weight. Distances are rounded to whole
    micrometres (coarser from some ten thousand images in a cell on: a tenth of a millimetre at ten million) and sums
    of whole numbers are exact: the answer depends on the set of images alone, not on their order or the threads.

    The medoid leaves out, by the triangle inequality, points that cannot be it [1]_: about O(n^1.5) for n distinct
    points of a cell in general position, O(n^2) at worst (points on a circle). The mode asks a tree of boxes:
    O(n log n) to build, and one query for every point whose neighbourhood may be the fullest.

    References
    ----------
    .. [1] Newling, Fleuret (2017), A sub-quadratic exact medoid algorithm, AISTATS.
    """
    own_weights = NO_WEIGHTS if weights is None else weights
    counts = np.zeros(n_cells, dtype=np.int64)
    _locations_kernels.count_images(labels, own_weights, counts)
    edges = np.concatenate([[0], np.cumsum(counts)])
    rows = np.empty(edges[-1], dtype=np.int64)
    _locations_kernels.rows_by_label(labels, own_weights, edges[:-1].copy(), rows)
    medoids = np.full((n_cells, 2), np.nan)
    modes = np.full((n_cells, 2), np.nan)
    chord = 2.0 * math.sin(0.5 * min(radius_km / EARTH_RADIUS_KM, math.pi))

    def work(first: int, last: int) -> int:
        start, stop = edges[first], edges[last]
        own_edges = edges[first : last + 1] - start
        points = np.empty((stop - start, 2))
        images = np.empty(stop - start, dtype=np.int64)
        n_distinct = np.empty(last - first, dtype=np.int64)
        n_own = last - first
        _locations_kernels.distinct_points(
            0, n_own, coords, own_weights, own_edges, rows[start:stop], points, images, n_distinct
        )
        found = np.empty((2, n_own), dtype=np.int64)
        vectors = np.ascontiguousarray(to_unit_vectors(points).T)
        _locations_kernels.medoids_and_modes(
            0, n_own, own_edges, n_distinct, vectors, images, chord, found[0], found[1]
        )
        has = n_distinct > 0
        for target, indices in zip((medoids, modes), found, strict=True):
            target[first:last][has] = points[own_edges[:-1][has] + indices[has]]
        return int(stop - start)

    tasks = _tasks(edges)
    n_at_once = 4 * n_threads()
    with tqdm(
        total=int(edges[-1]), desc="medoids and modes", unit="image", disable=not progress, delay=2
    ) as bar:
        for done in range(0, len(tasks), n_at_once):
            bar.update(sum(run_blocks(work, tasks[done : done + n_at_once])))
    return medoids, modes


def _tasks(edges: IntArray) -> list[tuple[int, int]]:
    """Runs of cells with about ``IMAGES_A_TASK`` images, largest first."""
    n_cells = len(edges) - 1
    cuts = [0]
    while cuts[-1] < n_cells:
        full = int(np.searchsorted(edges, edges[cuts[-1]] + IMAGES_A_TASK, side="right")) - 1
        cuts.append(min(n_cells, max(full, cuts[-1] + 1)))
    tasks = list(zip(cuts[:-1], cuts[1:], strict=True))
    return sorted(tasks, key=lambda task: edges[task[0]] - edges[task[1]])
