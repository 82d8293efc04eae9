"""Disjoint sorted ranges of leaf codes, a cell each: what every partition on a grid flattens to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from geocells.array_types import CodeArray, IntArray
from geocells.grids import OUTSIDE
from geocells.jit import kernel, over_rows

if TYPE_CHECKING:
    from geocells.constructions import PrioritizedRanges

ROOT_BITS = (14, 20)
"""Least and most bits of a code that name an entry of the page table's first page."""
PAGE_BITS = 4
CHUNK = 512
"""Codes that are looked up together, step by step, so that the waits for memory overlap."""


@dataclass(frozen=True)
class Ranges:
    """Disjoint half-open ranges of leaf codes in order, a cell each.

    Attributes
    ----------
    starts, stops : (n_ranges,) uint64
        ``starts[i] < stops[i] <= starts[i + 1]``.
    cells : (n_ranges,) int64
        The cell of each range.
    """

    starts: CodeArray
    stops: CodeArray
    cells: IntArray

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def flatten(cls, prioritized: PrioritizedRanges) -> Ranges:
        """Make ranges in order of priority disjoint: every code goes to the first one that holds it.

        Parameters
        ----------
        prioritized : PrioritizedRanges
            Quadtree cells, so that any two ranges are disjoint or nested.

        Returns
        -------
        ranges : Ranges
            Neighbouring ranges of one cell joined. A cell whose every code belongs to others has none.

        Notes
        -----
        O(n_ranges log n_ranges): sorted by start, longest first, then one sweep with a stack.
        """
        starts, stops = prioritized.starts, prioritized.stops
        # Longest first among equal starts; lexsort is stable, so equal ranges keep their order.
        order = np.lexsort((~(stops - starts), starts))
        starts, stops, winners = flatten_nested(starts[order], stops[order], order.astype(np.int64))
        return cls.from_disjoint(starts, stops, prioritized.cells[winners])

    @classmethod
    def from_disjoint(cls, starts: CodeArray, stops: CodeArray, cells: IntArray) -> Ranges:
        """Sort disjoint ranges and join neighbours of one cell."""
        order = np.argsort(starts, kind="stable")
        starts, stops, cells = starts[order], stops[order], cells[order]
        if (starts[1:] < stops[:-1]).any() or (stops <= starts).any():
            raise ValueError("Ranges overlap or are empty.")
        new = (starts[1:] != stops[:-1]) | (cells[1:] != cells[:-1])
        some = np.ones(min(1, len(starts)), dtype=bool)
        first, last = np.concatenate([some, new]), np.concatenate([new, some])
        return cls(starts[first], stops[last], cells[first])

    def gaps(self, start: int, stop: int) -> tuple[CodeArray, CodeArray]:
        """Starts and stops of the ranges of ``start .. stop - 1`` that belong to no cell."""
        low, high = np.searchsorted(self.starts, np.array([start, stop], dtype=np.uint64))
        starts = np.append(np.uint64(start), self.stops[low:high])
        stops = np.append(self.starts[low:high], np.uint64(stop))
        open_ = starts < stops
        return starts[open_], stops[open_]

    def renamed(self, cell_of: IntArray) -> Ranges:
        """Ranges after cell i has become ``cell_of[i]``."""
        return Ranges.from_disjoint(self.starts, self.stops, cell_of[self.cells])

    def first_codes(self, n_cells: int) -> CodeArray:
        """Lowest code of each cell; 2**64 - 1 for a cell without ranges."""
        first = np.full(n_cells, OUTSIDE, dtype=np.uint64)
        np.minimum.at(first, self.cells, self.starts)
        return first

    def order_of_cells(self, n_cells: int) -> IntArray:
        """Cells by their lowest code."""
        return np.argsort(self.first_codes(n_cells), kind="stable")

    def cell_of_codes(self, codes: CodeArray) -> IntArray:
        """Cell of each leaf code, -1 where it belongs to none.

        Parameters
        ----------
        codes : (n,) uint64 or uint32

        Returns
        -------
        cells : (n,) int64

        Notes
        -----
        By a page table: the leading bits of a code name an entry, which holds the cell or, where ranges meet inside
        it, the page for the next four bits. Most codes take one or two steps: O(n).
        """
        if not len(self):
            return np.full(len(codes), -1, dtype=np.int64)
        entries, shift = self._page_table
        cells = np.empty(len(codes), dtype=np.int64)
        over_rows(look_up, len(codes), codes, self.stops[-1], entries, shift, PAGE_BITS, cells)
        return cells

    @cached_property
    def _page_table(self) -> tuple[IntArray, int]:
        """Entries of all pages, the first page before the others, and the bits behind the first page's own.

        An entry of at least -1 is a cell (or none); one below names where its page begins, at ``-2 - entry``.
        """
        last = int(self.stops[-1]) - 1
        least, most = ROOT_BITS
        root_bits = min(max(least, len(self).bit_length() + 3), most)
        shift = -(-max(0, last.bit_length() - root_bits) // PAGE_BITS) * PAGE_BITS
        codes = np.arange((last >> shift) + 1, dtype=np.uint64) << np.uint64(shift)
        pages, n_entries, root_shift = [], 0, shift
        starts, stops = np.append(self.starts, OUTSIDE), np.append(self.stops, OUTSIDE)
        cells = np.append(self.cells, -1)
        while len(codes):
            ends = codes + np.uint64(1 << shift)
            index = np.searchsorted(self.stops, codes, side="right")
            is_none = starts[index] >= ends
            is_mixed = ~is_none & ((starts[index] > codes) | (stops[index] < ends))
            entries = np.where(is_none, -1, cells[index])
            n_entries += len(codes)
            inner = np.arange(1 << PAGE_BITS, dtype=np.uint64)
            entries[is_mixed] = -2 - (n_entries + (np.arange(is_mixed.sum()) << PAGE_BITS))
            pages.append(entries)
            shift -= PAGE_BITS
            codes = (codes[is_mixed, None] + (inner << np.uint64(max(shift, 0)))).ravel()
        return np.concatenate(pages, dtype=np.int32), root_shift


@kernel
def flatten_nested(starts, stops, orders):
    """Sweep nested ranges, sorted by start and then longest first; the lowest order wins each code.

    The stack holds the ranges around the sweep's place, each with a lower order than the one below it: a range inside
    one of a lower order wins nothing. Returns starts, stops and orders of the pieces, one after the other.
    """
    n_ranges = starts.size
    pieces = np.empty((2, 2 * n_ranges + 1), dtype=np.uint64)
    winners = np.empty(2 * n_ranges + 1, dtype=np.int64)
    n_pieces = 0
    stack = np.empty(n_ranges + 1, dtype=np.int64)
    height = 0
    place = np.uint64(0)
    for index in range(n_ranges + 1):
        start = starts[index] if index < n_ranges else OUTSIDE
        while height > 0:
            top = stack[height - 1]
            end = min(stops[top], start)
            if place < end:
                pieces[0, n_pieces], pieces[1, n_pieces] = place, end
                winners[n_pieces] = orders[top]
                n_pieces += 1
                place = end
            if stops[top] > start:
                break
            height -= 1
        if index < n_ranges and (height == 0 or orders[stack[height - 1]] > orders[index]):
            place = start
            stack[height] = index
            height += 1
    return pieces[0, :n_pieces], pieces[1, :n_pieces], winners[:n_pieces]


@kernel
def look_up(start, stop, codes, end, entries, root_shift, page_bits, cell_of_code):
    """Write the cell of each code, -1 from ``end`` on, walking down the page table."""
    bits = np.uint64(page_bits)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    on_the_way = np.empty(CHUNK, dtype=np.int64)
    for first in range(start, stop, CHUNK):
        n = 0
        for row in range(first, min(first + CHUNK, stop)):
            code = np.uint64(codes[row])
            entry = entries[code >> np.uint64(root_shift)] if code < end else np.int32(-1)
            cell_of_code[row] = entry
            on_the_way[n] = row
            n += 1 if entry < -1 else 0
        shift = np.uint64(root_shift)
        while n > 0:
            shift -= bits
            n_left = 0
            for row in on_the_way[:n]:
                page = np.uint64(-2 - cell_of_code[row])
                entry = entries[page + ((np.uint64(codes[row]) >> shift) & mask)]
                cell_of_code[row] = entry
                on_the_way[n_left] = row
                n_left += 1 if entry < -1 else 0
            n = n_left


@kernel
def quadtree_cells(starts, stops, leaf_levels, codes, levels, owners):
    """Cut each range into the fewest quadtree cells; return their number.

    Their codes, levels and ranges are written where the last three arrays have room: call once with empty ones to
    learn how much they need. Codes count from the start of the range's own group, which is aligned like a root.
    """
    n = 0
    for index in range(starts.size):
        code = starts[index]
        while code < stops[index]:
            level = leaf_levels[index]
            span = np.uint64(1)
            while level > 0:
                wider = span << np.uint64(2)
                if (code & (wider - np.uint64(1))) != 0 or wider > stops[index] - code:
                    break
                span = wider
                level -= 1
            if n < codes.size:
                codes[n], levels[n], owners[n] = code, level, index
            n += 1
            code += span
    return n
