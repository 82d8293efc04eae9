"""Leaf codes in order, with the number of images on each: all that a construction sees of the images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._jit import row_blocks, run_blocks
from .._types import CodeArray, IntArray
from . import _bins_kernels

DIGIT_BITS = 11


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

    def slice_of(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of the first bin at or above ``start`` and of the first at or above ``stop``."""
        low, high = np.searchsorted(self.codes, np.array([start, stop], dtype=np.uint64))
        return int(low), int(high)


def bin_codes(codes: CodeArray, code_bits: int, weights: IntArray | None = None) -> Bins:
    """Order leaf codes and count the images on each.

    Parameters
    ----------
    codes : (n,) uint64
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
    A least-significant-digit radix sort, 11 bits a pass, digits that all codes share skipped: O(n code_bits / 11).
    """
    if weights is None:
        ordered = radix_sort(codes, code_bits)
        return Bins(*_bins_kernels.run_lengths(ordered))
    order = np.argsort(codes, kind="stable")
    order = order[weights[order] > 0]
    return Bins(*_bins_kernels.weighted_run_lengths(codes[order], weights[order]))


def radix_sort(codes: CodeArray, code_bits: int) -> CodeArray:
    """Return sorted copy of (n,) uint64 codes that need at most ``code_bits`` bits."""
    n_passes = max(1, -(-code_bits // DIGIT_BITS))
    digit_bits = -(-code_bits // n_passes) or 1
    n_digits = 1 << digit_bits
    blocks = row_blocks(len(codes))
    source = codes
    spare: list[CodeArray] = []
    for radix_pass in range(n_passes):
        shift = np.uint64(radix_pass * digit_bits)
        counts = np.zeros((len(blocks), n_digits), dtype=np.int64)
        run_blocks(
            _bins_kernels.count_digits,
            [
                (*block, source, shift, np.uint64(n_digits - 1), counts[i])
                for i, block in enumerate(blocks)
            ],
        )
        if (counts.sum(axis=0) == len(codes)).any():
            continue
        # Where each block writes its first code of each digit: digit by digit, block by block.
        ends = np.cumsum(counts.T.ravel()).reshape(n_digits, len(blocks)).T
        places = np.ascontiguousarray(ends - counts)
        target = spare.pop() if spare else np.empty_like(codes)
        run_blocks(
            _bins_kernels.scatter_by_digit,
            [
                (*block, source, shift, np.uint64(n_digits - 1), places[i], target)
                for i, block in enumerate(blocks)
            ],
        )
        if source is not codes:
            spare.append(source)
        source = target
    return source
