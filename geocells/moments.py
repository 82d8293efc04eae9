"""Moments of groups of images: count, mean and within-group sum of squares (WCSS) of their features.

Always merged, never the difference of two large sums: with features around 1000, float32 would lose all of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from geocells.array_types import ArrayLike, FloatArray, IntArray
from geocells.jit import inline_kernel, kernel, n_threads, run_blocks
from geocells.sphere import EARTH_RADIUS_KM
from geocells.sphere.means import NO_WEIGHTS, sincos_degrees

CHUNK = 256
"""Rows that are handled together."""

MANY_ROWS = 10_000
BLOCK_BYTES = 2**30
"""Of a block of features in float64. The larger, the more rows of a label are added up before they are merged."""

LARGEST = np.float64(1e150)
"""Features below it have squares that can be added up."""


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


def feature_blocks(
    feats: ArrayLike, *, progress: bool = False
) -> Iterator[tuple[int, int, FloatArray]]:
    """(start, stop, rows) of blocks of an (n, d) array, in order; of a memory map only one block is kept in memory.

    Rows are float32 or float64, C-contiguous.
    """
    n_rows, n_features = feats.shape
    rows_a_block = max(1, BLOCK_BYTES // (8 * max(1, n_features)))
    starts = range(0, n_rows, rows_a_block)
    dtype = np.float32 if feats.dtype == np.float32 else np.float64
    mapped: Any = getattr(feats, "_mmap", None)
    # A private map ("c") may hold changes that exist nowhere else.
    may_release = isinstance(mapped, mmap.mmap) and getattr(feats, "mode", "") in ("r", "r+")
    is_hidden = not progress or len(starts) < 32
    for start in tqdm(starts, desc="features", unit="block", disable=is_hidden or None, delay=2):
        stop = min(start + rows_a_block, n_rows)
        yield start, stop, np.ascontiguousarray(np.asarray(feats[start:stop]), dtype=dtype)
        if may_release:
            mapped.madvise(mmap.MADV_DONTNEED)


def moments_of_images(
    coords: FloatArray,
    feats: ArrayLike | None,
    labels: IntArray,
    n_labels: int,
    weights: IntArray | None = None,
    *,
    centre: FloatArray | None = None,
    progress: bool = False,
) -> Moments:
    """Moments of the images of every label: of their (n, n_features) ``feats``, or of their places in km.

    See `moments_by_label` and `moments_of_places`.
    """
    if feats is None:
        return moments_of_places(coords, labels, n_labels, weights)
    return moments_by_label(feats, labels, n_labels, weights, centre=centre, progress=progress)


def moments_by_label(
    feats: ArrayLike,
    labels: IntArray,
    n_labels: int,
    weights: IntArray | None = None,
    *,
    centre: FloatArray | None = None,
    progress: bool = False,
) -> Moments:
    """Moments of the images of every label, reading the features once.

    Parameters
    ----------
    feats : (n, n_features) array
        Features, a memory map too.
    labels : (n,) int64
        -1 for rows that belong nowhere; they are only checked.
    n_labels : int
    weights : (n,) int64, optional
        Images that each row stands for.
    centre : (n_features,) float64, optional
        Subtracted from every row: far from 0, sums of squares lose digits.
    progress : bool
        Show a progress bar.

    Returns
    -------
    moments : Moments
        float64, whatever the features are; means are relative to ``centre``.

    Raises
    ------
    ValueError
        When a feature is NaN or infinite, or so large that its square is; the message names the row.

    Notes
    -----
    O(n d), bound by memory. The rows of a block are taken label by label, at most 256 at a time: sums of their
    differences from the first one and of the squares of these, and then Chan's formula. Threads share out the labels,
    so the result does not depend on their number.
    """
    moments = Moments.empty(n_labels, feats.shape[1])
    out = moments.count, moments.mean, moments.m2
    centre = np.zeros(feats.shape[1]) if centre is None else centre
    for start, stop, block in feature_blocks(feats, progress=progress):
        block_labels, block_weights = labels[start:stop], NO_WEIGHTS
        if weights is not None:
            block_weights = weights[start:stop]
            block_labels = np.where(block_weights > 0, block_labels, -1)
        order = order_by_label(block_labels, n_labels)
        in_order = block_labels[order]
        n_parts = n_threads() if len(block) > MANY_ROWS else 1
        cuts = np.searchsorted(in_order, in_order[len(block) * np.arange(n_parts) // n_parts])
        parts = zip(cuts, [*cuts[1:], len(block)], strict=True)
        rows = block, order, in_order, block_weights, centre
        if not all(run_blocks(add_rows, [(*part, *rows, *out) for part in parts])):
            is_sound = (block.min(axis=1) > -LARGEST) & (block.max(axis=1) < LARGEST)
            raise ValueError(
                f"Features must be finite (and below 1e150); row {start + np.argmin(is_sound)} is not. Drop that "
                "row, or correct the encoder that made it."
            )
    return moments


def moments_of_places(
    coords: FloatArray, labels: IntArray, n_labels: int, weights: IntArray | None = None
) -> Moments:
    """Moments of the places of every label: of the points on the sphere, in km, of (n, 2) coordinates in degrees.

    Parameters
    ----------
    coords, labels, n_labels, weights
        As in `moments_by_label`, (n, 2) float64 coordinates for features.

    Notes
    -----
    Chan's formula row by row, O(n). A label's moments are one line of memory.
    """
    records = np.zeros((n_labels, 8))
    n_parts = 1 << (n_threads().bit_length() - 1) if len(coords) > MANY_ROWS else 1
    rows = coords, labels, NO_WEIGHTS if weights is None else weights
    run_blocks(add_places, [(*rows, part, n_parts - 1, records) for part in range(n_parts)])
    count, m2 = records[:, 0].astype(np.int64), records[:, 1].copy()
    return Moments(count, np.ascontiguousarray(records[:, 2:5]), m2)


@kernel
def order_by_label(labels, n_labels):
    """Rows by label (-1 first), equal labels in their old order: a counting sort."""
    place = np.zeros(n_labels + 2, dtype=np.int64)
    for label in labels:
        place[label + 2] += 1
    for label in range(n_labels + 1):
        place[label + 1] += place[label]
    order = np.empty(labels.size, dtype=np.int64)
    for row in range(labels.size):
        order[place[labels[row] + 1]] = row
        place[labels[row] + 1] += 1
    return order


@inline_kernel
def total(values):
    """Return the sum, in eight lanes added up in a fixed order: the same bits on every machine."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = values.size - values.size % 8
    for k in range(0, whole, 8):
        s0 += values[k]
        s1 += values[k + 1]
        s2 += values[k + 2]
        s3 += values[k + 3]
        s4 += values[k + 4]
        s5 += values[k + 5]
        s6 += values[k + 6]
        s7 += values[k + 7]
    for k in range(whole, values.size):
        s0 += values[k]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@inline_kernel
def merge_group(group, count, mean, squares, counts, means, m2, spare):
    """Merge images with this mean and sum of squares into a group: Chan's formula."""
    n_before = counts[group]
    share = count / (n_before + count)
    for column in range(mean.size):
        delta = mean[column] - means[group, column]
        means[group, column] += delta * share
        spare[column] = delta * delta
    m2[group] += squares + n_before * share * total(spare)
    counts[group] = n_before + count


@inline_kernel
def add_four(feats, rows, weights, pivot, sums, squares):
    """Add four rows' differences from ``pivot``, and the squares of these: four at a time, as their reads overlap."""
    r0, r1, r2, r3 = rows[0], rows[1], rows[2], rows[3]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for column in range(pivot.size):
        d0 = np.float64(feats[r0, column]) - pivot[column]
        d1 = np.float64(feats[r1, column]) - pivot[column]
        d2 = np.float64(feats[r2, column]) - pivot[column]
        d3 = np.float64(feats[r3, column]) - pivot[column]
        sums[column] += (w0 * d0 + w1 * d1) + (w2 * d2 + w3 * d3)
        squares[column] += (w0 * (d0 * d0) + w1 * (d1 * d1)) + (w2 * (d2 * d2) + w3 * (d3 * d3))


@kernel
def add_rows(start, stop, feats, order, labels, weights, centre, counts, means, m2):
    """Add rows of a block, in an order by their ``labels``, to the moments of these (-1: only looked at).

    Returns whether all of them are sound.
    """
    n_features = feats.shape[1]
    pivot, sums, squares = np.empty(n_features), np.empty(n_features), np.empty(n_features)
    rows, row_weights = np.empty(4, dtype=np.int64), np.ones(4)
    is_sound = True
    first = start
    while first < stop:
        last = first + 1
        while last < min(stop, first + CHUNK) and labels[last] == labels[first]:
            last += 1
        for column in range(n_features):
            pivot[column] = feats[order[first], column]
            sums[column] = 0.0
            squares[column] = pivot[column] ** 2 - pivot[column] ** 2  # NaN where it is unsound
        count = np.int64(0)
        for place in range(first, last, 4):
            for k in range(4):
                # What is missing of four is the pivot's row once more, which adds nothing.
                is_there = place + k < last
                rows[k] = order[place + k if is_there else first]
                if weights.size > 0:
                    row_weights[k] = weights[rows[k]]
                count += np.int64(row_weights[k]) if is_there else 0
            add_four(feats, rows, row_weights, pivot, sums, squares)
        is_sound &= np.isfinite(total(squares))
        if labels[first] >= 0:
            for column in range(n_features):
                mean = sums[column] / count
                squares[column] -= sums[column] * mean
                pivot[column] = mean + (pivot[column] - centre[column])
            within = total(squares)
            merge_group(labels[first], count, pivot, within, counts, means, m2, squares)
        first = last
    return is_sound


@kernel
def add_places(coords, labels, weights, part, last_part, records):
    """Add each row's point on the sphere, in km, to the record of its label: count, m2, mean x, y, z and three spare.

    Only labels of which the low bits are ``part`` (``last_part`` is all ones) are handled. The records of a chunk of
    rows are fetched before they are worked on, so that the waits for memory overlap. Returns what was fetched, so that
    the compiler cannot leave the fetching out.
    """
    flat = coords.reshape(-1)
    rows, places = np.empty(CHUNK, dtype=np.int64), np.empty((3, CHUNK))
    xs, ys, zs = places[0], places[1], places[2]
    fetched = 0.0
    for start in range(0, labels.size, CHUNK):
        n_rows = 0
        for row in range(start, min(start + CHUNK, labels.size)):
            label = labels[row]
            is_counted = (label >= 0) & (label & last_part == part)
            if weights.size > 0:
                is_counted &= weights[row] > 0
            rows[n_rows] = row
            xs[n_rows] = flat[2 * row]
            ys[n_rows] = flat[2 * row + 1]
            n_rows += 1 if is_counted else 0
        for row in rows[:n_rows]:
            fetched += records[labels[row], 0]
        for k in range(n_rows):
            sin_latitude, cos_latitude = sincos_degrees(xs[k])
            sin_longitude, cos_longitude = sincos_degrees(ys[k])
            xs[k] = cos_latitude * cos_longitude * EARTH_RADIUS_KM
            ys[k] = cos_latitude * sin_longitude * EARTH_RADIUS_KM
            zs[k] = sin_latitude * EARTH_RADIUS_KM
        for k in range(n_rows):
            label = labels[rows[k]]
            weight = np.float64(weights[rows[k]]) if weights.size > 0 else 1.0
            n_before = records[label, 0]
            share = weight / (n_before + weight)
            dx = xs[k] - records[label, 2]
            dy = ys[k] - records[label, 3]
            dz = zs[k] - records[label, 4]
            records[label, 0] = n_before + weight
            records[label, 1] += n_before * share * (dx * dx + dy * dy + dz * dz)
            records[label, 2] += dx * share
            records[label, 3] += dy * share
            records[label, 4] += dz * share
    return fetched


@kernel
def merge_into(counts, means, m2, targets, out_counts, out_means, out_m2):
    """Merge the moments of group i into group ``targets[i]`` (-1: dropped), in order."""
    spare = np.empty(means.shape[1])
    out = out_counts, out_means, out_m2
    for group in range(counts.size):
        if targets[group] >= 0 and counts[group] > 0:
            merge_group(targets[group], counts[group], means[group], m2[group], *out, spare)
