"""Moments of groups of images: count, mean and within-group sum of squares (WCSS) of their features.

Always merged, never the difference of two large sums: with features around 1000, float32 would lose all of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from geocells._jit import inline_kernel, kernel, n_threads, run_blocks
from geocells._types import ArrayLike, FloatArray, IntArray
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors

CHUNK = 256
"""Rows whose labels' moments are fetched together, so that the waits for memory overlap."""

MANY_ROWS = 10_000
BLOCK_BYTES = 512 * 2**20
BLOCK_ROWS = 2**17
"""Blocks of few features stay small enough that their memory is used again instead of asked for anew."""
NO_WEIGHTS: IntArray = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Moments:
    """Count, mean and WCSS of groups.

    Attributes
    ----------
    count : (n_groups,) int64
        Images, or their weights.
    mean : (n_groups, n_features) float64
        Mean feature vector; zeros for an empty group.
    m2 : (n_groups,) float64
        Within-group sum of squares, ``sum_j ||x_j - mean||^2``, in squared feature units.
    """

    count: IntArray
    mean: FloatArray
    m2: FloatArray

    @classmethod
    def empty(cls, n_groups: int, n_features: int) -> Moments:
        """Moments of groups without images."""
        return cls(
            np.zeros(n_groups, dtype=np.int64),
            np.zeros((n_groups, n_features)),
            np.zeros(n_groups),
        )

    def __getitem__(self, groups: slice) -> Moments:
        """Return the moments of a run of groups, sharing memory."""
        return Moments(self.count[groups], self.mean[groups], self.m2[groups])

    def merged(self, targets: IntArray, n_groups: int) -> Moments:
        """Moments after group i has joined group ``targets[i]`` (-1: dropped).

        Notes
        -----
        ``m2 = m2_l + m2_r + n_l n_r / (n_l + n_r) ||mean_r - mean_l||^2`` [1]_; O(n_groups n_features).

        References
        ----------
        .. [1] Chan, Golub, LeVeque (1983), The American Statistician 37(3).
        """
        out = Moments.empty(n_groups, self.mean.shape[1])
        merge_into(
            self.count, self.mean, self.m2, targets.astype(np.int64), out.count, out.mean, out.m2
        )
        return out


@dataclass(frozen=True)
class FeatureRows:
    """Features that are read once, in row order, in blocks.

    Attributes
    ----------
    n_rows, n_features : int
    read : callable
        ``read(start, stop)`` gives the rows as (stop - start, n_features) float32 or float64, C-contiguous.
    done : callable
        Called after each block: releases what was read.
    centre : (n_features,) float64, optional
        Subtracted from every row: far from 0, sums of squares lose digits.
    """

    n_rows: int
    n_features: int
    read: Callable[[int, int], FloatArray]
    done: Callable[[], None] = lambda: None
    centre: FloatArray | None = None

    @classmethod
    def from_array(cls, feats: ArrayLike, centre: FloatArray | None = None) -> FeatureRows:
        """Rows of an (n, d) array; of a memory map only the current block is kept in memory."""

        def read(start: int, stop: int) -> FloatArray:
            block = feats[start:stop]
            dtype = np.float32 if block.dtype == np.float32 else np.float64
            return np.ascontiguousarray(np.asarray(block), dtype=dtype)

        return cls(feats.shape[0], feats.shape[1], read, _page_release(feats), centre)

    @classmethod
    def from_coords(cls, coords: FloatArray) -> FeatureRows:
        """Places of (n, 2) coordinates as features: points on the sphere in km."""
        return cls(
            len(coords),
            3,
            lambda start, stop: to_unit_vectors(coords[start:stop]) * EARTH_RADIUS_KM,
        )

    def blocks(self, *, progress: bool = False) -> Iterator[tuple[int, int, FloatArray]]:
        """(start, stop, rows) of every block, in order."""
        rows_a_block = min(BLOCK_ROWS, max(1, BLOCK_BYTES // (8 * max(1, self.n_features))))
        starts = range(0, self.n_rows, rows_a_block)
        for start in tqdm(
            starts,
            desc="features",
            unit="block",
            disable=not progress or len(starts) < 32 or None,
            delay=2,
        ):
            stop = min(start + rows_a_block, self.n_rows)
            yield start, stop, self.read(start, stop)
            self.done()


def _page_release(feats: ArrayLike) -> Callable[[], None]:
    """Return what hands the pages of a memory-mapped file back, so that its size does not become the process's."""
    mapped = getattr(feats, "_mmap", None)
    # A private map ("c") may hold changes that exist nowhere else.
    if isinstance(mapped, mmap.mmap) and getattr(feats, "mode", "") in ("r", "r+"):
        return lambda: mapped.madvise(mmap.MADV_DONTNEED)
    return lambda: None


def moments_by_label(
    feats: FeatureRows,
    labels: IntArray,
    n_labels: int,
    weights: IntArray | None = None,
    *,
    progress: bool = False,
) -> Moments:
    """Moments of the images of every label, reading the features once.

    Parameters
    ----------
    feats : FeatureRows
        n rows of features.
    labels : (n,) int64
        -1 for rows that belong nowhere; they are only checked.
    n_labels : int
    weights : (n,) int64, optional
        Images that each row stands for.
    progress : bool
        Show a progress bar.

    Returns
    -------
    moments : Moments
        float64, whatever the features are; means are relative to ``feats.centre``.

    Raises
    ------
    ValueError
        When a feature is NaN or infinite, or so large that its square is; the message names the row.

    Notes
    -----
    O(n d), bound by memory: each row is added to its label's mean (n_labels * d * 8 bytes in all). Threads share out
    the labels, so the result does not depend on their number.
    """
    moments = Moments.empty(n_labels, feats.n_features)
    out = moments.count, moments.mean, moments.m2
    centre = np.zeros(feats.n_features) if feats.centre is None else feats.centre
    for start, stop, block in feats.blocks(progress=progress):
        n_parts = 1 << (n_threads().bit_length() - 1) if stop - start > MANY_ROWS else 1
        block_weights = NO_WEIGHTS if weights is None else weights[start:stop]
        calls = [
            (block, labels[start:stop], block_weights, centre, part, n_parts - 1, *out)
            for part in range(n_parts)
        ]
        unsound = [row for row, _ in run_blocks(add_rows, calls) if row >= 0]
        if unsound:
            raise ValueError(
                f"Features must be finite (and below 1e150); row {start + min(unsound)} is not. Drop that row, or "
                "correct the encoder that made it."
            )
    return moments


@inline_kernel
def sum_of_squares(values, n_values):
    """Return the sum of the squares, in eight lanes added up in a fixed order: the same bits on every machine."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = n_values - n_values % 8
    for k in range(0, whole, 8):
        s0 += values[k] * values[k]
        s1 += values[k + 1] * values[k + 1]
        s2 += values[k + 2] * values[k + 2]
        s3 += values[k + 3] * values[k + 3]
        s4 += values[k + 4] * values[k + 4]
        s5 += values[k + 5] * values[k + 5]
        s6 += values[k + 6] * values[k + 6]
        s7 += values[k + 7] * values[k + 7]
    for k in range(whole, n_values):
        s0 += values[k] * values[k]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@inline_kernel
def merge_row(group, count, rows, row, centre, row_m2, counts, means, m2, deltas):
    """Merge images with the mean ``rows[row] - centre`` and this sum of squares into a group: Chan's formula."""
    n_before = counts[group]
    counts[group] = n_before + count
    if n_before == 0:
        for column in range(deltas.size):
            means[group, column] = rows[row, column] - centre[column]
        m2[group] = row_m2
        return
    share = count / (n_before + count)
    for column in range(deltas.size):
        delta = (rows[row, column] - centre[column]) - means[group, column]
        means[group, column] += delta * share
        deltas[column] = delta
    m2[group] += row_m2 + n_before * share * sum_of_squares(deltas, deltas.size)


@kernel
def add_rows(feats, labels, weights, centre, part, last_part, counts, means, m2):
    """Add each row of a block to the moments of its label (-1: only looked at), in order.

    Only labels of which the low bits are ``part`` (``last_part`` is all ones) are handled. Returns the first unsound
    row, or -1, and what was fetched beforehand, so that the compiler cannot leave the fetching out.
    """
    weighted = weights.size > 0
    rows = np.empty(CHUNK, dtype=np.int64)
    deltas = np.empty(feats.shape[1])
    unsound = -1
    fetched = 0.0
    for start in range(0, labels.size, CHUNK):
        n_rows = 0
        for row in range(start, min(start + CHUNK, labels.size)):
            rows[n_rows] = row
            n_rows += 1 if labels[row] & last_part == part else 0
        for row in rows[:n_rows]:
            label = labels[row]
            if label >= 0:
                fetched += means[label, 0] + m2[label] + counts[label]
        for row in rows[:n_rows]:
            label = labels[row]
            weight = weights[row] if weighted else np.int64(1)
            is_counted = label >= 0 and weight > 0
            probe = 0.0
            if not is_counted or counts[label] == 0:
                for column in range(feats.shape[1]):
                    squared = np.float64(feats[row, column]) ** 2
                    probe += squared - squared
            if is_counted:
                merge_row(label, weight, feats, row, centre, 0.0, counts, means, m2, deltas)
                probe += m2[label]
            if not np.isfinite(probe) and unsound < 0:
                unsound = row
    return unsound, fetched


@kernel
def merge_into(counts, means, m2, targets, out_counts, out_means, out_m2):
    """Merge the moments of group i into group ``targets[i]`` (-1: dropped), in order."""
    deltas = np.empty(means.shape[1])
    centre = np.zeros(means.shape[1])
    for group in range(counts.size):
        target = targets[group]
        if target >= 0 and counts[group] > 0:
            merge_row(
                target,
                counts[group],
                means,
                group,
                centre,
                m2[group],
                out_counts,
                out_means,
                out_m2,
                deltas,
            )
