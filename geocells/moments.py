"""Moments of groups of images: count, mean and within-group sum of squares (WCSS) of their features.

Always merged, never the difference of two large sums: with features around 1000, float32 would lose all of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from geocells import _moments_kernels
from geocells._jit import n_threads, run_blocks
from geocells._types import ArrayLike, FloatArray, IntArray
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors

COLUMNS_A_TASK = 256
"""Features handled together, whatever the number of threads: sums of squares are added up in the same order."""

SHORT = 6
"""Features of at most so many columns have count, m2 and mean side by side, in one line of memory."""

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
        """Moments after group i has joined group ``targets[i]`` (-1: dropped)."""
        out = Moments.empty(n_groups, self.mean.shape[1])
        _moments_kernels.merge_into(
            self.count, self.mean, self.m2, targets.astype(np.int64), out.count, out.mean, out.m2
        )
        return out


def merge_moments(left: Moments, right: Moments) -> Moments:
    """Moments of disjoint groups of images taken together, group by group.

    Parameters
    ----------
    left, right : Moments
        Of the same number of groups and features.

    Returns
    -------
    merged : Moments

    Notes
    -----
    ``m2 = m2_l + m2_r + n_l n_r / (n_l + n_r) ||mean_r - mean_l||^2`` [1]_; O(n_groups n_features).

    References
    ----------
    .. [1] Chan, Golub, LeVeque (1983), The American Statistician 37(3).
    """
    if left.mean.shape != right.mean.shape:
        raise ValueError(
            f"Moments to merge must have the same shape; got {left.mean.shape} and {right.mean.shape}."
        )
    n_groups = len(left.mean)
    both = Moments(
        np.concatenate([left.count, right.count]),
        np.concatenate([left.mean, right.mean]),
        np.concatenate([left.m2, right.m2]),
    )
    return both.merged(np.tile(np.arange(n_groups), 2), n_groups)


@dataclass(frozen=True)
class FeatureRows:
    """Features that are read once, in row order, in blocks.

    Attributes
    ----------
    n_rows, n_features : int
    read : callable
        ``read(start, stop)`` gives the rows as (stop - start, n_features) float32 or float64, C-contiguous.
    done : callable
        Called after each block: lets go of what was read.
    """

    n_rows: int
    n_features: int
    read: Callable[[int, int], FloatArray]
    done: Callable[[], None] = lambda: None

    @classmethod
    def of_array(cls, feats: ArrayLike) -> FeatureRows:
        """Rows of an (n, d) array; of a memory map only the current block is kept in memory."""

        def read(start: int, stop: int) -> FloatArray:
            block = feats[start:stop]
            dtype = np.float32 if block.dtype == np.float32 else np.float64
            return np.ascontiguousarray(np.asarray(block), dtype=dtype)

        return cls(feats.shape[0], feats.shape[1], read, _let_go_of(feats))

    @classmethod
    def of_coords(cls, coords: FloatArray) -> FeatureRows:
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
            starts, desc="features", unit="block", disable=not progress or len(starts) < 32, delay=2
        ):
            stop = min(start + rows_a_block, self.n_rows)
            yield start, stop, self.read(start, stop)
            self.done()


def _let_go_of(feats: ArrayLike) -> Callable[[], None]:
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
        float64, whatever the features are.

    Raises
    ------
    ValueError
        When a feature is NaN or infinite, or so large that its square is; the message names the row.

    Notes
    -----
    O(n d), bound by memory: each row is added to its label's mean (n_labels * d * 8 bytes in all). Threads share out
    columns, 256 at a time, or labels where columns are few; either way the result does not depend on their number.
    """
    add = _ShortRows if feats.n_features <= SHORT else _LongRows
    adder = add(n_labels, feats.n_features)
    for start, stop, block in feats.blocks(progress=progress):
        own_weights = NO_WEIGHTS if weights is None else weights[start:stop]
        unsound = adder.add(block, labels[start:stop], own_weights)
        if unsound >= 0:
            raise ValueError(
                f"Features must be finite (and below 1e150); row {start + unsound} is not. Drop that row, or mend the "
                "encoder that made it."
            )
    return adder.moments()


class _LongRows:
    """Moments being gathered: threads share out the columns, each keeping its own count so that none need wait."""

    def __init__(self, n_labels: int, n_features: int) -> None:
        edges = [*range(0, n_features, COLUMNS_A_TASK), n_features]
        self.columns = list(zip(edges[:-1], edges[1:], strict=True))
        self.counts = np.zeros((len(self.columns), n_labels), dtype=np.int64)
        self.m2 = np.zeros((len(self.columns), n_labels))
        self.means = np.zeros((n_labels, n_features))

    def add(self, block: FloatArray, labels: IntArray, weights: IntArray) -> int:
        # By label, so that the rows of a label find its mean in the cache.
        order = _moments_kernels.order_by_label(labels, self.means.shape[0])
        unsound = run_blocks(
            _moments_kernels.add_rows,
            [
                (
                    block,
                    labels,
                    weights,
                    order,
                    *columns,
                    self.counts[task],
                    self.means,
                    self.m2[task],
                )
                for task, columns in enumerate(self.columns)
            ],
        )
        return min((row for row in unsound if row >= 0), default=-1)

    def moments(self) -> Moments:
        return Moments(self.counts[0], self.means, self.m2.sum(axis=0))


class _ShortRows:
    """Moments being gathered of a few columns: threads share out the labels by their low bits."""

    def __init__(self, n_labels: int, n_features: int) -> None:
        self.n_features = n_features
        self.records = np.zeros((max(1, n_labels), SHORT + 2))
        self.n_labels = n_labels

    def add(self, block: FloatArray, labels: IntArray, weights: IntArray) -> int:
        n_parts = 1 << (n_threads().bit_length() - 1) if len(labels) > MANY_ROWS else 1
        done = run_blocks(
            _moments_kernels.add_short_rows,
            [(block, labels, weights, part, n_parts - 1, self.records) for part in range(n_parts)],
        )
        return min((row for row, _ in done if row >= 0), default=-1)

    def moments(self) -> Moments:
        records = self.records[: self.n_labels]
        return Moments(
            records[:, 0].astype(np.int64),
            np.ascontiguousarray(records[:, 2 : 2 + self.n_features]),
            records[:, 1].copy(),
        )
