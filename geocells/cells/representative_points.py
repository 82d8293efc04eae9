"""Points that a cell can answer with: medoid and mode of its images, worked out when first asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from geocells.array_types import FloatArray, IntArray
from geocells.grids.base import morton
from geocells.jit import inline_kernel, kernel, n_threads, run_blocks
from geocells.moments import order_by_label
from geocells.sphere import EARTH_RADIUS_KM, SphereSums, to_unit_vectors

LOCATION_CHOICES = ("mean", "medoid", "mode")
"""The points that a cell can answer with."""

MODE_RADIUS_KM = 1.0
"""A mode is the training coordinate with most images of its cell this near."""

POINTS_A_TASK = 2**17


@dataclass(frozen=True)
class TrainingImages:
    """Images of cells, referred to and not copied.

    Attributes
    ----------
    coords : (n, 2) float64
        Latitude, longitude in degrees.
    labels : (n,) int64
        Cell of each image; -1 for those of none.
    counts : (n_cells,) int64
        Images of each cell, by which it is noticed where these were changed.
    weights : (n,) int64, optional
        Images that each row stands for.
    """

    coords: FloatArray
    labels: IntArray
    counts: IntArray
    weights: IntArray | None = None


@dataclass
class RepresentativePoints:
    """Medoids and modes of cells: known, or worked out from the images at first access, which are then let go.

    A fit of ten million images does not pay for points nobody asks for.

    Attributes
    ----------
    points : tuple of (n_cells, 2) float64, or None
        Medoids and modes, once they are worked out.
    images : TrainingImages or None
    """

    points: tuple[FloatArray, FloatArray] | None = None
    images: TrainingImages | None = field(default=None, repr=False)

    @property
    def is_known(self) -> bool:
        """Whether medoids and modes are known or can be worked out."""
        return self.points is not None or self.images is not None

    def medoids_and_modes(self, centroids: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return medoids and modes of the cells with these means, (n_cells, 2) float64 each.

        Raises
        ------
        ValueError
            When the images were changed in place since, or are not known.
        """
        if self.points is None:
            images = self.images
            if images is None:
                raise ValueError(
                    "These cells have neither medoids and modes nor the images to compute them from. Build "
                    'them again with location="medoid" or "mode", or read cells.medoids before cells.save: then both '
                    "are saved."
                )
            _refuse_changed(images, centroids)
            points = medoids_and_modes(
                images.coords, images.labels, len(centroids), images.weights, progress=True
            )
            for array in points:
                array.setflags(write=False)
            self.points, self.images = points, None
        return self.points

    def locations(self, choice: str, centroids: FloatArray) -> FloatArray:
        """Return the point that each cell answers with, (n_cells, 2) float64: its "mean", "medoid" or "mode"."""
        if choice == "mean":
            return centroids.copy()
        return self.medoids_and_modes(centroids)[choice == "mode"].copy()


def _refuse_changed(images: TrainingImages, centroids: FloatArray) -> None:
    """Raise where the images are no longer those that the cells were made from."""
    labels, counts = images.labels, images.counts
    is_same = not len(labels) or (int(labels.min()) >= -1 and int(labels.max()) < len(counts))
    if is_same:
        sums = SphereSums.from_coords(images.coords, labels, len(counts), images.weights)
        means, lengths = sums.means()
        # Images that nearly cancel out have no sure mean.
        sure = lengths > 1e-3
        apart = np.abs(to_unit_vectors(means[sure]) - to_unit_vectors(centroids[sure]))
        is_same = np.array_equal(sums.counts, counts) and bool((apart < 1e-7).all())
    if not is_same:
        raise ValueError(
            "The coordinates, labels or weights were changed in place after fit, before the cells' medoids and modes "
            "were computed from them. Fit again on a copy."
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
    vectors = to_unit_vectors(points)
    xs, ys, zs = np.ascontiguousarray(vectors.T)
    chord = 2.0 * math.sin(0.5 * min(radius_km / EARTH_RADIUS_KM, math.pi))
    # Neighbours on the map are near one another in Morton order, cell by cell.
    shares = np.stack([points[:, 0] + 90.0, points[:, 1] + 180.0]) / 360.0
    codes = morton(*(shares * (2**32 - 1)))
    cell_of_point = np.repeat(np.arange(n_cells), np.diff(edges))
    order = np.lexsort((codes, cell_of_point))
    rows = np.full((2, n_cells), -1, dtype=np.int64)
    in_tree = order, vectors[order], images[order], chord

    def work(first: int, last: int) -> int:
        medoid_and_mode_rows(first, last, edges, xs, ys, zs, images, *in_tree, rows[0], rows[1])
        return int(edges[last] - edges[first])

    tasks = _tasks(edges)
    n_at_once = 4 * n_threads()
    with tqdm(
        total=len(points),
        desc="medoids and modes",
        unit="point",
        disable=not progress or None,
        delay=2,
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
    order = np.argsort(points[:, 0])
    order = order[order_by_label(labels[order], n_cells)]
    points, labels = points[order], labels[order]
    same = (labels[1:] == labels[:-1]) & (points[1:, 0] == points[:-1, 0])
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    by_longitude = tied[np.lexsort((*points[tied].T[::-1], labels[tied]))]
    points[tied], order[tied] = points[by_longitude], order[by_longitude]
    is_new = np.append(True, ~same | (points[1:, 1] != points[:-1, 1]))[: len(points)]
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


LEAF_POINTS = 16
"""Points in a leaf of the tree that counts neighbours."""

NEAR = 0.16
"""Radians (1000 km) up to which a series measures a great circle to a micrometre."""


@inline_kernel
def measure_from(point, xs, ys, zs, near, units_per_radian, distances):
    """Great-circle distances of one point to all, in units rounded to whole numbers; ``near``: all within `NEAR`."""
    x, y, z = xs[point], ys[point], zs[point]
    for k in range(xs.size):
        dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
        apart2 = dx * dx + dy * dy + dz * dz
        if near:
            # Twice the arcsine of half the chord; many times faster than the arctangent.
            h = 0.25 * apart2
            series = 1.0 + h * (
                1 / 6 + h * (3 / 40 + h * (5 / 112 + h * (35 / 1152 + h * 63 / 2816)))
            )
            angle = math.sqrt(apart2) * series
        else:
            sx, sy, sz = xs[k] + x, ys[k] + y, zs[k] + z
            together2 = sx * sx + sy * sy + sz * sz
            angle = 2.0 * math.atan2(math.sqrt(apart2), math.sqrt(together2))
        distances[k] = np.int64(np.rint(units_per_radian * angle))


@kernel
def medoid(xs, ys, zs, images, units_per_radian):
    """Index of the point with the least sum of distances to all images; the lowest one where sums are equal.

    ``units_per_radian`` scales distances to whole numbers, so small that no sum overflows; sums of whole numbers are
    exact, so free of order.

    After a point i is summed up, the triangle inequality bounds the sum of every other point k from below:
    ``S_k >= |S_i - n d(i, k)|``. A point whose bound exceeds the best sum is never summed up itself.
    """
    n = xs.size
    if n <= 2:
        # Of two points the one with more images; of equal ones the first.
        return 1 if n == 2 and images[1] > images[0] else 0
    n_images = np.int64(0)
    x = y = z = 0.0
    for k in range(n):
        n_images += images[k]
        x += images[k] * xs[k]
        y += images[k] * ys[k]
        z += images[k] * zs[k]
    along_mean = xs * x + ys * y + zs * z
    near = along_mean.min() > math.cos(NEAR / 2) * math.sqrt(x * x + y * y + z * z)
    # The point nearest to the mean comes first.
    point = np.argmax(along_mean)
    distances = np.empty(n, dtype=np.int64)
    bounds = np.zeros(n)
    best, best_sum = -1, np.int64(0)
    # Steps of the golden ratio visit all points evenly, the same for every order of the rows.
    step = max(1, int(0.6180339887498949 * n))
    while math.gcd(step, n) != 1:
        step += 1
    for _ in range(n):
        # Each distance is off by half a unit at most, and bounds by their last bits.
        slack = 4.0 * n_images + 1e-13 * best_sum
        if best < 0 or bounds[point] <= best_sum + slack:
            measure_from(point, xs, ys, zs, near, units_per_radian, distances)
            total = np.int64(0)
            for k in range(n):
                total += images[k] * distances[k]
            if best < 0 or total < best_sum or (total == best_sum and point < best):
                best, best_sum = point, total
            for k in range(n):
                bound = abs(float(total) - float(n_images) * float(distances[k]))
                bounds[k] = max(bounds[k], bound)
        point = (point + step) % n
    return best


@kernel
def mode(points, vectors, images, chord):
    """The one of ``points`` with most images within ``chord`` (straight through the unit sphere); ties: the lowest.

    A tree of boxes over the points, in an order in which neighbours are near: a box wholly within the chord counts at
    once, one wholly outside not at all. A leaf whose neighbourhood as a whole holds fewer images than the best point so
    far is passed over.
    """
    n = images.size
    n_leaves = 1
    while n_leaves * LEAF_POINTS < n:
        n_leaves *= 2
    lows = np.full((2 * n_leaves - 1, 3), np.inf)
    highs = np.full((2 * n_leaves - 1, 3), -np.inf)
    totals = np.zeros(2 * n_leaves - 1, dtype=np.int64)
    for place in range(n):
        leaf = n_leaves - 1 + place // LEAF_POINTS
        totals[leaf] += images[place]
        for axis in range(3):
            value = vectors[place, axis]
            lows[leaf, axis] = min(lows[leaf, axis], value)
            highs[leaf, axis] = max(highs[leaf, axis], value)
    for node in range(n_leaves - 2, -1, -1):
        one, other = 2 * node + 1, 2 * node + 2
        totals[node] = totals[one] + totals[other]
        for axis in range(3):
            lows[node, axis] = min(lows[one, axis], lows[other, axis])
            highs[node, axis] = max(highs[one, axis], highs[other, axis])
    limit = chord * chord
    stack = np.empty(128, dtype=np.int64)
    # Images in all leaves that have a point of a leaf's neighbourhood: no point of the leaf counts more.
    most = np.zeros(n_leaves, dtype=np.int64)
    for leaf in range((n + LEAF_POINTS - 1) // LEAF_POINTS):
        here = n_leaves - 1 + leaf
        stack[0] = 0
        height = 1
        while height > 0:
            height -= 1
            node = stack[height]
            nearest = 0.0
            for axis in range(3):
                below = lows[here, axis] - highs[node, axis]
                above = lows[node, axis] - highs[here, axis]
                nearest += max(0.0, below, above) ** 2
            if nearest > limit * (1.0 + 1e-9):
                continue
            if node >= n_leaves - 1:
                most[leaf] += totals[node]
            else:
                stack[height] = 2 * node + 1
                stack[height + 1] = 2 * node + 2
                height += 2
    best, best_count = -1, np.int64(-1)
    # The most crowded neighbourhood first: most others are then passed over.
    crowded = np.argmax(most)
    for turn in range(-1, n_leaves):
        leaf = crowded if turn < 0 else turn
        if turn == crowded or most[leaf] < best_count:
            continue
        for own_place in range(leaf * LEAF_POINTS, min((leaf + 1) * LEAF_POINTS, n)):
            point = points[own_place]
            count = np.int64(0)
            stack[0] = 0
            height = 1
            while height > 0:
                height -= 1
                node = stack[height]
                nearest = farthest = 0.0
                for axis in range(3):
                    below = vectors[own_place, axis] - lows[node, axis]
                    above = highs[node, axis] - vectors[own_place, axis]
                    nearest += min(0.0, below, above) ** 2
                    farthest += max(below, above) ** 2
                if nearest > limit:
                    continue
                if farthest <= limit:
                    count += totals[node]
                elif node < n_leaves - 1:
                    stack[height] = 2 * node + 1
                    stack[height + 1] = 2 * node + 2
                    height += 2
                else:
                    first = (node - n_leaves + 1) * LEAF_POINTS
                    for place in range(first, min(first + LEAF_POINTS, n)):
                        distance = 0.0
                        for axis in range(3):
                            distance += (vectors[place, axis] - vectors[own_place, axis]) ** 2
                        if distance <= limit:
                            count += images[place]
            if count > best_count or (count == best_count and point < best):
                best, best_count = point, count
    return best


@kernel
def medoid_and_mode_rows(
    first, last, edges, xs, ys, zs, images, order, vectors, images_in_order, chord, medoids, modes
):
    """Write the rows of each cell's medoid and mode; cell i has the rows ``edges[i]:edges[i + 1]``.

    ``vectors`` (n, 3) and ``images_in_order`` are those of the rows in ``order``. A cell without rows keeps what stands
    there.
    """
    for cell in range(first, last):
        start, stop = edges[cell], edges[cell + 1]
        if start == stop:
            continue
        own_images = images[start:stop]
        # pi < 4 radians times 2^bits units times the images stays below 2^62; 2^43 units are a micrometre each.
        n_images = own_images.sum()
        bits = 60
        while n_images > 0:
            n_images >>= 1
            bits -= 1
        units = 2.0 ** min(43, bits)
        medoids[cell] = start + medoid(
            xs[start:stop], ys[start:stop], zs[start:stop], own_images, units
        )
        modes[cell] = mode(
            order[start:stop], vectors[start:stop], images_in_order[start:stop], chord
        )
