"""Points that a cell can answer with: medoid and mode of its images, worked out when first asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from geocells._jit import n_threads, run_blocks
from geocells._types import FloatArray, IntArray
from geocells.cells import _representative_points_kernels
from geocells.grids.bits import spread_bits
from geocells.sphere import EARTH_RADIUS_KM, SphereSums, to_unit_vectors
from geocells.sphere.means import NO_WEIGHTS

LOCATION_CHOICES = ("mean", "medoid", "mode")
"""The points that a cell can answer with."""

MODE_RADIUS_KM = 1.0
"""A mode is the training coordinate with most images of its cell this near."""

POINTS_A_TASK = 2**17


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
        """Points of the cells of these images, to be worked out when first asked for.

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
        """Points that are known, (n_cells, 2) float64 each."""
        return cls((medoids, modes))

    @property
    def is_known(self) -> bool:
        """Whether medoids and modes are known or can be worked out."""
        return self._known is not None or self._images is not None

    def medoids_and_modes(
        self, centroids: FloatArray, counts: IntArray
    ) -> tuple[FloatArray, FloatArray]:
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
            points = medoids_and_modes(
                images.coords, images.labels, len(counts), images.weights, progress=True
            )
            for array in points:
                array.setflags(write=False)
            self._known, self._images = points, None
        return self._known

    def locations(self, choice: str, centroids: FloatArray, counts: IntArray) -> FloatArray:
        """Return the point that each cell answers with, (n_cells, 2) float64: its "mean", "medoid" or "mode"."""
        if choice == "mean":
            return centroids.copy()
        return self.medoids_and_modes(centroids, counts)[choice == "mode"].copy()


def _refuse_changed(images: _Images, centroids: FloatArray, counts: IntArray) -> None:
    """Raise where the images are no longer those that the cells were made from."""
    labels = images.labels
    is_same = not len(labels) or (int(labels.min()) >= -1 and int(labels.max()) < len(counts))
    if is_same:
        weights = NO_WEIGHTS if images.weights is None else images.weights
        sums = SphereSums.from_coords(images.coords, labels, len(counts), weights)
        means, lengths = sums.means()
        # Images that nearly cancel out have no sure mean.
        sure = lengths > 1e-3
        apart = np.abs(to_unit_vectors(means[sure]) - to_unit_vectors(centroids[sure]))
        is_same = np.array_equal(sums.counts, counts) and bool((apart < 1e-7).all())
    if not is_same:
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
    points of a cell in general position, O(n^2) at worst (points on a circle). The mode asks a tree of boxes once for
    every point: about O(n^1.5) for a cell no wider than ``radius_km``, O(n log n) for a wide one.

    References
    ----------
    .. [1] Newling, Fleuret (2017), A sub-quadratic exact medoid algorithm, AISTATS.
    """
    points, images, edges = _distinct_points(coords, labels, n_cells, weights)
    vectors = np.ascontiguousarray(to_unit_vectors(points).T)
    chord = 2.0 * math.sin(0.5 * min(radius_km / EARTH_RADIUS_KM, math.pi))
    # Neighbours on the map are near one another in Morton order, cell by cell.
    shares = np.stack([points[:, 0] + 90.0, points[:, 1] + 180.0]) / 360.0
    row_bits, column_bits = spread_bits((shares * (2**32 - 1)).astype(np.uint64))
    cell_of_point = np.repeat(np.arange(n_cells), np.diff(edges))
    order = np.lexsort(((row_bits << np.uint64(1)) | column_bits, cell_of_point))
    rows = np.full((2, n_cells), -1, dtype=np.int64)

    def work(first: int, last: int) -> int:
        _representative_points_kernels.medoids_and_modes(
            first, last, edges, vectors, images, order, chord, rows[0], rows[1]
        )
        return int(edges[last] - edges[first])

    tasks = _tasks(edges)
    n_at_once = 4 * n_threads()
    with tqdm(
        total=len(points), desc="medoids and modes", unit="point", disable=not progress, delay=2
    ) as bar:
        for done in range(0, len(tasks), n_at_once):
            bar.update(sum(run_blocks(work, tasks[done : done + n_at_once])))
    with_none = np.vstack([points, [np.nan, np.nan]])
    return with_none[rows[0]], with_none[rows[1]]


def _distinct_points(
    coords: FloatArray, labels: IntArray, n_cells: int, weights: IntArray | None
) -> tuple[FloatArray, IntArray, IntArray]:
    """Distinct coordinates of each cell by latitude, then longitude; their images; and where each cell's begin."""
    rows = np.flatnonzero(labels >= 0 if weights is None else (labels >= 0) & (weights > 0))
    points, labels = coords[rows] + 0.0, labels[rows]  # -0.0 is 0.0
    order = np.lexsort((points[:, 1], points[:, 0], labels))
    points, labels = points[order], labels[order]
    is_new = np.ones(len(points), dtype=bool)
    is_new[1:] = (labels[1:] != labels[:-1]) | (points[1:] != points[:-1]).any(axis=1)
    first = np.flatnonzero(is_new)
    if weights is None:
        images = np.diff(np.append(first, len(points)))
    else:
        images = np.add.reduceat(weights[rows][order], first) if len(first) else first
    edges = np.searchsorted(labels[first], np.arange(n_cells + 1))
    return points[first], images.astype(np.int64), edges


def _tasks(edges: IntArray) -> list[tuple[int, int]]:
    """Runs of cells with about ``POINTS_A_TASK`` points, largest first."""
    n_cells = len(edges) - 1
    cuts = [0]
    while cuts[-1] < n_cells:
        full = int(np.searchsorted(edges, edges[cuts[-1]] + POINTS_A_TASK, side="right")) - 1
        cuts.append(min(n_cells, max(full, cuts[-1] + 1)))
    tasks = list(zip(cuts[:-1], cuts[1:], strict=True))
    return sorted(tasks, key=lambda task: edges[task[0]] - edges[task[1]])
