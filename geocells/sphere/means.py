"""Unit vectors and means on the sphere.

Averaging longitudes breaks at +-180 degrees; averaging unit vectors does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geocells.array_types import ArrayLike, FloatArray, IntArray
from geocells.jit import inline_kernel, kernel, over_rows, row_blocks, run_blocks

RADIANS = math.pi / 180.0

NO_WEIGHTS: IntArray = np.empty(0, dtype=np.int64)


def as_pairs(coords: ArrayLike, name: str = "coords") -> FloatArray:
    """Latitudes and longitudes, (n, 2) float64, C-contiguous; a ValueError where they are not."""
    pairs = np.atleast_2d(np.ascontiguousarray(coords, dtype=np.float64))
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"{name} must hold (latitude, longitude) pairs, shape (n, 2) or (2,); got shape {np.shape(coords)}."
        )
    return pairs


def to_unit_vectors(coords: ArrayLike) -> FloatArray:
    """Unit vectors of coordinates.

    Parameters
    ----------
    coords : array-like, (n, 2)
        Latitude, longitude in degrees.

    Returns
    -------
    vectors : (n, 3) float64
        x towards (0, 0), y towards (0, 90 E), z towards the north pole.

    Examples
    --------
    >>> from geocells.sphere import to_unit_vectors
    >>> to_unit_vectors([[45.0, 45.0]]).round(6).tolist()
    [[0.5, 0.5, 0.707107]]
    """
    pairs = as_pairs(coords)
    vectors = np.empty((len(pairs), 3))
    over_rows(unit_vectors, len(pairs), pairs, vectors)
    return vectors


def from_unit_vectors(vectors: ArrayLike) -> FloatArray:
    """Latitude, longitude in degrees of (n, 3) vectors of any positive length.

    Examples
    --------
    >>> from geocells.sphere import from_unit_vectors
    >>> from_unit_vectors([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).tolist()
    [[0.0, 90.0], [90.0, 0.0]]
    """
    # Rows of their own: up to NumPy 2.0 the last bit of a column's arctan2 depends on where the result comes to lie.
    x, y, z = np.ascontiguousarray(np.asarray(vectors, dtype=np.float64).T)
    return np.column_stack(
        [np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))]
    )


@dataclass(frozen=True)
class SphereSums:
    """Sums of unit vectors by label, in fixed point: the same for every order of the rows.

    Attributes
    ----------
    sums : (n_labels, 3) int64
        Sums of the unit vectors' parts, in units of ``1 / scale``.
    counts : (n_labels,) int64
        Images, or their weights, summed.
    scale : float
        A power of two; chosen from the total weight so that no sum can overflow. At most 2^50; with ten million
        images 2^37, that is 0.05 mm on the ground.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.sphere import SphereSums
    >>> coords, labels = np.array([[0.0, 10.0], [0.0, 20.0], [50.0, 8.0]]), np.array([0, 0, 1])
    >>> sums = SphereSums.from_coords(coords, labels, 2)
    >>> sums.counts.tolist(), sums.means()[0].round(6).tolist()
    ([2, 1], [[0.0, 15.0], [50.0, 8.0]])
    """

    sums: IntArray
    counts: IntArray
    scale: float

    @classmethod
    def from_coords(
        cls,
        coords: FloatArray,
        labels: IntArray,
        n_labels: int,
        weights: IntArray | None = None,
        total: int | None = None,
    ) -> SphereSums:
        """Sum the unit vectors of (n, 2) ``coords``, times their whole ``weights``, by ``labels`` (-1: left out).

        ``total``, the images of the whole set where these are a part of it, makes the sums of its parts add up to
        those of the set, to the last bit.
        """
        if total is None:
            total = len(coords) if weights is None else int(weights.sum())
        scale = float(2 ** min(50, 61 - total.bit_length()))  # so many images cannot overflow
        blocks = row_blocks(len(coords))
        sums = np.zeros((len(blocks), n_labels, 4), dtype=np.int64)
        given = NO_WEIGHTS if weights is None else weights
        run_blocks(
            add_unit_vectors,
            [
                (start, stop, coords, labels, given, scale, sums[block])
                for block, (start, stop) in enumerate(blocks)
            ],
        )
        total_sums = sums.sum(axis=0)
        return cls(total_sums[:, :3], total_sums[:, 3].copy(), scale)

    def merged(self, target: IntArray, n_labels: int) -> SphereSums:
        """Sums after label i has become ``target[i]`` (-1: dropped)."""
        sums = np.zeros((n_labels, 3), dtype=np.int64)
        counts = np.zeros(n_labels, dtype=np.int64)
        kept = target >= 0
        np.add.at(sums, target[kept], self.sums[kept])
        np.add.at(counts, target[kept], self.counts[kept])
        return SphereSums(sums, counts, self.scale)

    def means(self) -> tuple[FloatArray, FloatArray]:
        """Mean points, and how well they are defined.

        Returns
        -------
        coords : (n_labels, 2) float64
            Latitude, longitude in degrees of each sum's direction.
        lengths : (n_labels,) float64
            Length of the mean vector, from 0 (the points cancel out: no mean exists) to 1 (all points are one).
        """
        mean_vectors = self.sums / (self.scale * np.maximum(self.counts, 1))[:, None]
        return from_unit_vectors(mean_vectors), np.linalg.norm(mean_vectors, axis=1)

    def means_of(
        self, coords: FloatArray, labels: IntArray, weights: IntArray | None = None
    ) -> FloatArray:
        """Mean points, (n_labels, 2) degrees; the first of a label's images by latitude where they cancel out.

        ``coords``, ``labels`` and ``weights`` are those that were summed; a row of weight 0 is no image.
        """
        means, lengths = self.means()
        for label in np.flatnonzero(lengths <= CANCELLED):
            rows = np.flatnonzero((labels == label) & (True if weights is None else weights > 0))
            if len(rows):
                means[label] = min(coords[rows].tolist())
        return means


CANCELLED = 1e-9
"""A mean vector shorter than this points nowhere: the points cancel each other out."""


def spherical_mean(coords: ArrayLike) -> FloatArray:
    """Mean of points on the sphere: the direction of the sum of their unit vectors.

    Parameters
    ----------
    coords : array-like, (n, 2)
        Latitude, longitude in degrees; at least one row.

    Returns
    -------
    mean : (2,) float64
        Latitude, longitude in degrees. The same, to the last bit, for every order of the rows. Where the points
        cancel out (two opposite ones, say) no mean exists, and the first in the order of latitude, then longitude
        is returned.

    Raises
    ------
    ValueError
        When there is no point.

    Examples
    --------
    >>> from geocells import sphere
    >>> sphere.spherical_mean([(0.0, 179.0), (0.0, -179.0)]).round(6).tolist()
    [0.0, 180.0]
    """
    pairs = as_pairs(coords)
    if len(pairs) == 0:
        raise ValueError("The mean of no points does not exist: coords holds no rows.")
    labels = np.zeros(len(pairs), dtype=np.int64)
    mean: FloatArray = SphereSums.from_coords(pairs, labels, 1).means_of(pairs, labels)[0]
    return mean


CHUNK = 512
"""Rows handled at a time: first their vectors, side by side, then the sums."""

TO_WHOLE = 1.5 * 2.0**52
"""Added to a number below 2^51 and subtracted again, it leaves the nearest whole number."""


@inline_kernel
def sincos_degrees(degrees):
    """Sine and cosine of an angle in degrees to 2e-14, exact at multiples of 90.

    The angle is reduced to [-45, 45] exactly, then Taylor's series to orders 13 and 14. Only additions,
    multiplications and selections: every machine gives the same bits, and several rows go at a time.
    """
    quarter = np.floor(degrees * (1.0 / 90.0) + 0.5)
    x = (degrees - 90.0 * quarter) * RADIANS
    x2 = x * x
    x4 = x2 * x2
    x8 = x4 * x4
    sine = x * (
        (1.0 - x2 * (1.0 / 6.0))
        + x4 * (1.0 / 120.0 - x2 * (1.0 / 5040.0))
        + x8 * ((1.0 / 362880.0 - x2 * (1.0 / 39916800.0)) + x4 * (1.0 / 6227020800.0))
    )
    cosine = (
        (1.0 - x2 * 0.5)
        + x4 * (1.0 / 24.0 - x2 * (1.0 / 720.0))
        + x8
        * (
            (1.0 / 40320.0 - x2 * (1.0 / 3628800.0))
            + x4 * (1.0 / 479001600.0 - x2 * (1.0 / 87178291200.0))
        )
    )
    # Turn by 0 to 3 quarters.
    half = 0.5 * quarter
    odd = half != np.floor(half)
    turn = quarter - 4.0 * np.floor(0.25 * quarter)
    first = cosine if odd else sine
    second = sine if odd else cosine
    return (-first if turn >= 2.0 else first), (
        -second if (turn == 1.0) | (turn == 2.0) else second
    )


@kernel
def unit_vectors(start, stop, coords, vectors):
    """Write the unit vector of each row of ``coords`` into ``vectors`` (n, 3)."""
    # One dimension, so that the compiler knows the stride and handles several rows at a time.
    flat = coords.reshape(-1)[2 * start : 2 * stop]
    out = vectors.reshape(-1)[3 * start : 3 * stop]
    for k in range(stop - start):
        sin_latitude, cos_latitude = sincos_degrees(flat[2 * k])
        sin_longitude, cos_longitude = sincos_degrees(flat[2 * k + 1])
        out[3 * k] = cos_latitude * cos_longitude
        out[3 * k + 1] = cos_latitude * sin_longitude
        out[3 * k + 2] = sin_latitude


@kernel
def add_unit_vectors(start, stop, coords, labels, weights, scale, sums):
    """Add each labelled row's unit vector, in fixed point, to its label's sums.

    Whole numbers add up to the same total in any order, so the result depends neither on the order of the rows nor
    on how they were shared out. ``sums`` (n_labels, 4) int64 takes x, y, z in units of ``1 / scale``, and the images.
    ``weights`` of length 0 means one image a row; label -1 is passed over. ``scale`` is at most 2^50.
    """
    weighted = weights.size > 0
    # One dimension, so that the compiler knows the stride and loads several rows at a time.
    flat = coords.reshape(-1)
    xs, ys, zs = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        chunk = flat[2 * first : 2 * last]
        chunk_labels = labels[first:last]
        for k in range(chunk_labels.size):
            sin_latitude, cos_latitude = sincos_degrees(chunk[2 * k])
            sin_longitude, cos_longitude = sincos_degrees(chunk[2 * k + 1])
            xs[k] = cos_latitude * cos_longitude * scale + TO_WHOLE - TO_WHOLE
            ys[k] = cos_latitude * sin_longitude * scale + TO_WHOLE - TO_WHOLE
            zs[k] = sin_latitude * scale + TO_WHOLE - TO_WHOLE
        for k in range(chunk_labels.size):
            label = chunk_labels[k]
            if label < 0:
                continue
            weight = weights[first + k] if weighted else np.int64(1)
            sums[label, 0] += weight * np.int64(xs[k])
            sums[label, 1] += weight * np.int64(ys[k])
            sums[label, 2] += weight * np.int64(zs[k])
            sums[label, 3] += weight
