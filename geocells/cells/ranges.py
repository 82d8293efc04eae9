"""Disjoint sorted ranges of leaf codes, a cell each: what every partition on a grid flattens to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from geocells._jit import inline_kernel, kernel, over_rows
from geocells._types import CodeArray, IntArray

if TYPE_CHECKING:
    from geocells.constructions import PrioritizedRanges

PREFIX_BITS = (14, 20)
"""Least and most bits of the prefixes that a search starts from."""


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
        return cls(
            *flatten_nested(starts[order], stops[order], order.astype(np.int64), prioritized.cells)
        )

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
        first = np.full(n_cells, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(first, self.cells, self.starts)
        return first

    def cell_of_codes(self, codes: CodeArray) -> IntArray:
        """Cell of each leaf code, -1 where no cell claims it.

        Parameters
        ----------
        codes : (n,) uint64 or uint32

        Returns
        -------
        cells : (n,) int64

        Notes
        -----
        A binary search among the ranges of a code's prefix, most often one or a few: near O(n).
        """
        cells = np.full(len(codes), -1, dtype=np.int64)
        if len(self):
            shift, first_ranges = self._first_range_of_prefix
            over_rows(
                look_up,
                len(codes),
                codes,
                self.starts,
                self.stops,
                self.cells,
                first_ranges,
                shift,
                cells,
            )
        return cells

    @cached_property
    def _first_range_of_prefix(self) -> tuple[int, IntArray]:
        """Bits behind a prefix, and for each prefix and the one after the last the first range that ends past it."""
        last = int(self.stops[-1]) - 1
        least, most = PREFIX_BITS
        prefix_bits = min(max(least, len(self).bit_length() + 2), most)
        shift = max(0, last.bit_length() - prefix_bits)
        # A range ends at or before a prefix from the one on that its end, rounded up, has.
        prefix_of_stop = (self.stops + np.uint64((1 << shift) - 1)) >> np.uint64(shift)
        n_ended = np.bincount(prefix_of_stop.astype(np.int64), minlength=(last >> shift) + 2)
        return shift, np.cumsum(n_ended)


@inline_kernel
def append_range(starts, stops, cells, n, start, stop, cell):
    """Write a range behind the first ``n``, or lengthen the last one of the same cell; return their new number."""
    if n > 0 and cells[n - 1] == cell and stops[n - 1] == start:
        stops[n - 1] = stop
        return n
    starts[n], stops[n], cells[n] = start, stop, cell
    return n + 1


@kernel
def flatten_nested(starts, stops, orders, cells):
    """Sweep nested ranges, sorted by start and then longest first; the lowest order wins each code.

    The stack holds the ranges around the sweep's place, each with a lower order than the one below it: a range inside
    an earlier claim has nothing left to claim.
    """
    n_claims = starts.size
    out_starts = np.empty(2 * n_claims + 1, dtype=np.uint64)
    out_stops = np.empty(2 * n_claims + 1, dtype=np.uint64)
    out_cells = np.empty(2 * n_claims + 1, dtype=np.int64)
    n_out = 0
    stack = np.empty(n_claims + 1, dtype=np.int64)
    height = 0
    place = np.uint64(0)
    for index in range(n_claims + 1):
        # Close what ends before the next range starts.
        while height > 0 and (index == n_claims or stops[stack[height - 1]] <= starts[index]):
            height -= 1
            top = stack[height]
            if place < stops[top]:
                n_out = append_range(
                    out_starts, out_stops, out_cells, n_out, place, stops[top], cells[orders[top]]
                )
                place = stops[top]
        if index == n_claims:
            break
        if stops[index] <= starts[index]:
            continue
        if height > 0:
            top = stack[height - 1]
            if orders[top] < orders[index]:
                continue
            if place < starts[index]:
                n_out = append_range(
                    out_starts,
                    out_stops,
                    out_cells,
                    n_out,
                    place,
                    starts[index],
                    cells[orders[top]],
                )
        place = starts[index]
        stack[height] = index
        height += 1
    return out_starts[:n_out].copy(), out_stops[:n_out].copy(), out_cells[:n_out].copy()


@kernel
def look_up(start, stop, codes, starts, stops, cells, first_ranges, shift, cell_of_code):
    """Write the cell of each code that a range holds.

    The first range that ends past a code with prefix ``p = code >> shift`` is one of ``first_ranges[p]`` to
    ``first_ranges[p + 1]``.
    """
    n_prefixes = np.uint64(first_ranges.size - 1)
    for row in range(start, stop):
        code = np.uint64(codes[row])
        prefix = code >> np.uint64(shift)
        if prefix >= n_prefixes:
            continue
        low, high = first_ranges[prefix], first_ranges[prefix + np.uint64(1)]
        while low < high:
            middle = (low + high) >> 1
            if stops[middle] <= code:
                low = middle + 1
            else:
                high = middle
        if low < starts.size and starts[low] <= code:
            cell_of_code[row] = cells[low]


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
