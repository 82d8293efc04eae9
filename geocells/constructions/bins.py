"""Leaf codes in order, with the number of images on each: all that a construction sees of the images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocells._jit import row_blocks, run_blocks
from geocells._types import CodeArray, IntArray
from geocells.constructions import _bins_kernels

DIGIT_BITS = 13
COUNTED_BITS = 30
"""Codes of so many bits are ordered by one scatter and a table a bucket; longer ones are sorted."""


@dataclass(frozen=True)
class Bins:
    """Occupied leaf codes and running totals of their images.

    Attributes
    ----------
    codes : (n_bins,) uint64
        Sorted, distinct leaf codes.
    totals : (n_bins + 1,) int64
        ``totals[j] - totals[i]`` images lie in the bins i .. j - 1.
    """

    codes: CodeArray
    totals: IntArray

    @property
    def counts(self) -> IntArray:
        """Images in each bin, (n_bins,) int64."""
        return np.diff(self.totals)

    def renamed(self, codes: CodeArray) -> Bins:
        """Bins after code i has become ``codes[i]``, in the same order; those of one code joined."""
        codes = codes.astype(np.uint64)
        first = np.ones(len(codes), dtype=bool)
        first[1:] = codes[1:] != codes[:-1]
        return Bins(codes[first], self.totals[np.append(first, True)])

    def slice_of(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of the first bin at or above ``start`` and of the first at or above ``stop``."""
        low, high = np.searchsorted(self.codes, np.array([start, stop], dtype=np.uint64))
        return int(low), int(high)


def bin_codes(codes: CodeArray, code_bits: int, weights: IntArray | None = None) -> Bins:
    """Order leaf codes and count the images on each.

    Parameters
    ----------
    codes : (n,) uint64 or uint32
        Leaf code of each image; not changed.
    code_bits : int
        No code needs more bits.
    weights : (n,) int64, optional
        Images that each row stands for; rows of weight 0 count nowhere.

    Returns
    -------
    bins : Bins

    Notes
    -----
    Short codes: one scatter by their upper half, then each bucket is counted in a table of its lower half; O(n). Long
    codes: a least-significant-digit radix sort, 13 bits a pass, digits that all codes share skipped; O(n code_bits).
    """
    if weights is not None:
        order = np.argsort(codes, kind="stable")
        order = order[weights[order] > 0]
        return Bins(
            *_bins_kernels.weighted_run_lengths(codes[order].astype(np.uint64), weights[order])
        )
    if code_bits <= COUNTED_BITS:
        return _counted(codes, code_bits)
    return _runs(radix_sort(codes, code_bits))


def radix_sort(codes: CodeArray, code_bits: int) -> CodeArray:
    """Return a sorted copy of (n,) uint64 or uint32 codes that need at most ``code_bits`` bits."""
    n_passes = max(1, -(-code_bits // DIGIT_BITS))
    digit_bits = -(-code_bits // n_passes) or 1
    source, spare = codes, None
    for radix_pass in range(n_passes):
        target, edges = _scatter(source, radix_pass * digit_bits, digit_bits, spare)
        if (np.diff(edges) == len(codes)).any():
            spare = target
            continue
        spare = source if source is not codes else None
        source = target
    return source.copy() if source is codes else source


def _scatter(
    codes: CodeArray, shift: int, digit_bits: int, target: CodeArray | None
) -> tuple[CodeArray, IntArray]:
    """Codes by the digit at ``shift``, equal digits in their old order, and where each digit begins."""
    n_digits = 1 << digit_bits
    key = codes.dtype.type(shift), codes.dtype.type(n_digits - 1)
    blocks = row_blocks(len(codes))
    counts = np.zeros((len(blocks), n_digits), dtype=np.int64)
    run_blocks(
        _bins_kernels.count_digits,
        [(*block, codes, *key, counts[i]) for i, block in enumerate(blocks)],
    )
    # Where each block writes its first code of each digit: digit by digit, block by block.
    ends = np.cumsum(counts.T.ravel()).reshape(n_digits, len(blocks)).T
    places = np.ascontiguousarray(ends - counts)
    edges = np.append(places[0], len(codes))
    if target is None:
        target = np.empty_like(codes)
    run_blocks(
        _bins_kernels.scatter_by_digit,
        [(*block, codes, *key, places[i], target) for i, block in enumerate(blocks)],
    )
    return target, edges


def _counted(codes: CodeArray, code_bits: int) -> Bins:
    """Bins of codes whose lower half can index a table."""
    low_bits = code_bits // 2
    scattered, edges = _scatter(codes, low_bits, code_bits - low_bits, None)
    # Buckets shared out so that every thread has about as many codes.
    blocks = row_blocks(len(codes))
    cuts = np.searchsorted(edges, [block[0] for block in blocks])
    cuts = np.append(cuts, len(edges) - 1)
    cuts[0] = 0
    parts = [
        (np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.int64))
        for size in np.diff(edges[cuts])
    ]
    n_bins = run_blocks(
        _bins_kernels.count_in_buckets,
        [(cuts[i], cuts[i + 1], edges, scattered, low_bits, *part) for i, part in enumerate(parts)],
    )
    totals = np.zeros(sum(n_bins) + 1, dtype=np.int64)
    np.cumsum(
        np.concatenate([part[1][:n] for part, n in zip(parts, n_bins, strict=True)]),
        out=totals[1:],
    )
    return Bins(
        np.concatenate([part[0][:n] for part, n in zip(parts, n_bins, strict=True)]), totals
    )


def _runs(ordered: CodeArray) -> Bins:
    """Bins of sorted codes, one image each."""
    blocks = row_blocks(len(ordered))
    n_runs = run_blocks(_bins_kernels.count_runs, [(*block, ordered) for block in blocks])
    places = np.concatenate([[0], np.cumsum(n_runs)])
    codes = np.empty(places[-1], dtype=np.uint64)
    totals = np.empty(places[-1] + 1, dtype=np.int64)
    totals[-1] = len(ordered)
    run_blocks(
        _bins_kernels.write_runs,
        [(*block, ordered, places[i], codes, totals) for i, block in enumerate(blocks)],
    )
    return Bins(codes, totals)
