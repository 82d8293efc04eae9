"""What a construction reads, leaf codes in order, and what it answers, ranges in order of priority."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocells.array_types import CodeArray, IntArray
from geocells.jit import kernel, row_blocks, run_blocks
from geocells.sphere.means import NO_WEIGHTS

FEW_CODES = 2**15
DIGIT_BITS = 14
BUCKET_BITS = 20
"""Leading bits by which many codes are counted first."""
MOST_PLACES = 2**20
"""Counts that are always made, however few the codes; more where these are more."""


@dataclass(frozen=True)
class Bins:
    """Occupied leaf codes and running totals of their images.

    Attributes
    ----------
    codes : (n_bins,) uint64
        Sorted, distinct leaf codes.
    totals : (n_bins + 1,) int64
        From 0 on; ``totals[j] - totals[i]`` images lie in the bins i .. j - 1.
    """

    codes: CodeArray
    totals: IntArray

    @classmethod
    def from_counts(cls, codes: CodeArray, counts: IntArray) -> Bins:
        """Bins of sorted, distinct codes with so many images each."""
        return cls(codes, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))

    @property
    def counts(self) -> IntArray:
        """Images in each bin, (n_bins,) int64."""
        return np.diff(self.totals)

    def slice_of(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of the first bin at or above ``start`` and of the first at or above ``stop``."""
        low, high = np.searchsorted(self.codes, np.array([start, stop], dtype=np.uint64))
        return int(low), int(high)

    def renamed(self, codes: CodeArray) -> Bins:
        """Bins after code i has become ``codes[i]``, in the same order; those of one code joined."""
        first = _first_of_runs(codes)
        return Bins(
            codes[first].astype(np.uint64, copy=False), self.totals[np.append(first, len(codes))]
        )

    def coarsened(self, n_levels: int) -> Bins:
        """Bins of the cells ``n_levels`` up, by their codes at that level."""
        return self.renamed(self.codes >> np.uint64(2 * n_levels))


@dataclass(frozen=True)
class PrioritizedRanges:
    """Ranges of leaf codes in order of priority, a cell each: a code belongs to the first range that holds it.

    Every range is a quadtree cell, so two ranges are either disjoint or nested.

    Attributes
    ----------
    starts, stops : (n_ranges,) uint64
        Half-open ranges of leaf codes.
    cells : (n_ranges,) int64
        The cell, 0 .. n_cells - 1, of each range; a cell may have several.
    levels : (n_cells,) int64
        Quadtree level of each cell.
    """

    starts: CodeArray
    stops: CodeArray
    cells: IntArray
    levels: IntArray

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.levels)

    @classmethod
    def from_cells(cls, codes: CodeArray, levels: IntArray, leaf_level: int) -> PrioritizedRanges:
        """Ranges of cells, one each, by their codes at their own levels."""
        shift = (2 * (leaf_level - levels)).astype(np.uint64)
        starts = codes << shift
        stops = starts + (np.uint64(1) << shift)
        return cls(starts, stops, np.arange(len(levels), dtype=np.int64), levels)

    @classmethod
    def concatenate(cls, parts: list[PrioritizedRanges]) -> PrioritizedRanges:
        """Ranges one after the other, the cells renumbered in that order; at least one part."""
        offsets = np.cumsum([0] + [part.n_cells for part in parts[:-1]])
        return cls(
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.stops for part in parts]),
            np.concatenate(
                [part.cells + offset for part, offset in zip(parts, offsets, strict=True)]
            ),
            np.concatenate([part.levels for part in parts]),
        )


def bin_codes(
    codes: CodeArray, code_bits: int, weights: IntArray | None = None, enough: int = 1
) -> Bins:
    """Order leaf codes and count the images on each.

    Parameters
    ----------
    codes : (n,) uint64 or uint32
        Leaf code of each image; not changed.
    code_bits : int
        No code needs more bits.
    weights : (n,) int64, optional
        Images that each row stands for; rows of weight 0 count nowhere.
    enough : int
        A quadtree cell with fewer images may become one bin, at the cell's first code.

    Returns
    -------
    bins : Bins

    Notes
    -----
    Codes are counted by their leading bits, and by the others where a bucket of these has enough images: O(n), no code
    is moved. Where that takes more memory than the codes, a least-significant-digit radix sort, at most 14 bits a pass,
    digits that all codes share skipped; O(n code_bits).
    """
    if len(codes) >= 1 << BUCKET_BITS and enough > 1:
        bins = _counted(codes, code_bits, NO_WEIGHTS if weights is None else weights, enough)
        if bins is not None:
            return bins
    if weights is None:
        few = len(codes) < FEW_CODES  # not worth compiling
        ordered = np.sort(codes) if few else radix_sort(codes, code_bits)
        first = _first_of_runs(ordered)
        return Bins(ordered[first].astype(np.uint64, copy=False), np.append(first, len(codes)))
    order = np.argsort(codes, kind="stable")
    order = order[weights[order] > 0]
    return Bins.from_counts(codes[order], weights[order]).renamed(codes[order])


def _counted(codes: CodeArray, code_bits: int, weights: IntArray, enough: int) -> Bins | None:
    """Bins by buckets of leading bits, in pages of those with enough images; None where these take much memory."""
    page_bits = max(0, code_bits - BUCKET_BITS + 1) // 2 * 2  # whole levels
    blocks = row_blocks(len(codes))

    def count(shift: int, n_bits: int, pages: IntArray, n_counts: int) -> IntArray:
        counts = np.zeros((len(blocks), n_counts), dtype=np.int64 if len(weights) else np.int32)
        key = pages, shift + n_bits, shift, (1 << n_bits) - 1
        run_blocks(
            count_in_pages,
            [(*block, codes, weights, *key, counts[i]) for i, block in enumerate(blocks)],
        )
        summed: IntArray = counts.sum(axis=0, dtype=np.int64)
        return summed

    bucket_bits, page_size = max(0, code_bits - page_bits), 1 << page_bits
    images = count(page_bits, bucket_bits, np.zeros(1, dtype=np.int64), 1 << bucket_bits)
    full = np.flatnonzero(images >= enough)
    sparse = np.flatnonzero((images > 0) & (images < enough))
    n_places = len(full) << page_bits
    if n_places + page_size > max(len(codes), MOST_PLACES):
        return None
    pages = np.full(len(images), n_places, dtype=np.int64)  # behind all others
    pages[full] = np.arange(len(full)) << page_bits
    counts = count(0, page_bits, pages, n_places + page_size)[:n_places]
    place = np.flatnonzero(counts)
    codes_in_full = (full[place >> page_bits] << page_bits) + (place & (page_size - 1))
    distinct = np.concatenate([codes_in_full, sparse << page_bits])
    order = np.argsort(distinct, kind="stable")
    in_order = np.append(counts[place], images[sparse])[order]
    return Bins.from_counts(distinct[order].astype(np.uint64), in_order)


def _first_of_runs(ordered: CodeArray) -> IntArray:
    """Position of the first of each run of equal codes."""
    is_first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)


def radix_sort(codes: CodeArray, code_bits: int) -> CodeArray:
    """Return a sorted copy of (n,) uint64 or uint32 codes that need at most ``code_bits`` bits."""
    n_passes = max(1, -(-code_bits // DIGIT_BITS))
    digit_bits = max(1, -(-code_bits // n_passes))
    source, spare = codes, np.empty_like(codes)
    for radix_pass in range(n_passes):
        if _scatter(source, radix_pass * digit_bits, digit_bits, spare):
            source, spare = spare, np.empty_like(codes) if source is codes else source
    return source.copy() if source is codes else source


def _scatter(codes: CodeArray, shift: int, digit_bits: int, target: CodeArray) -> bool:
    """Put codes in the order of the digit at ``shift``, equal digits in their old order; False if all have one."""
    n_digits = 1 << digit_bits
    key = codes.dtype.type(shift), codes.dtype.type(n_digits - 1)
    blocks = row_blocks(len(codes))
    counts = np.zeros((len(blocks), n_digits), dtype=np.int64)
    run_blocks(count_digits, [(*block, codes, *key, counts[i]) for i, block in enumerate(blocks)])
    if counts.sum(axis=0).max() == len(codes):
        return False
    # Where each block writes its first code of each digit: digit by digit, block by block.
    ends = np.cumsum(counts.T.ravel()).reshape(n_digits, len(blocks)).T
    places = np.ascontiguousarray(ends - counts)
    run_blocks(
        scatter_by_digit,
        [(*block, codes, *key, places[i], target) for i, block in enumerate(blocks)],
    )
    return True


@kernel
def count_in_pages(start, stop, codes, weights, pages, page_shift, shift, mask, counts):
    """Count images by the bits of ``mask`` from ``shift`` on, in the page of those from ``page_shift`` on."""
    for row in range(start, stop):
        if weights.size > 0 and weights[row] == 0:
            continue  # it may lie off the grid
        code = np.int64(codes[row])
        place = pages[code >> page_shift] + ((code >> shift) & mask)
        counts[place] += weights[row] if weights.size > 0 else 1


@kernel
def count_digits(start, stop, codes, shift, mask, counts):
    """Count how often each digit occurs in the block."""
    for row in range(start, stop):
        counts[(codes[row] >> shift) & mask] += 1


@kernel
def scatter_by_digit(start, stop, codes, shift, mask, places, target):
    """Move the block's codes to the places of their digits, keeping their order."""
    for row in range(start, stop):
        code = codes[row]
        digit = (code >> shift) & mask
        target[places[digit]] = code
        places[digit] += 1
