"""Disjoint sorted ranges of leaf codes, a cell each: what every partition flattens to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geocells._jit import over_rows
from geocells._types import CodeArray, IntArray
from geocells.cells import _ranges_kernels

if TYPE_CHECKING:
    from geocells.constructions import PrioritizedRanges

ROOT_BITS = (14, 20)
"""Bits of a page table's root page: at least, and at most, where ranges are many."""
PAGE_BITS = 6


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
    _cache: dict[str, tuple[NDArray[np.int32], int, int]] = field(
        default_factory=dict, repr=False, compare=False
    )

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
        order = np.lexsort((np.uint64(0xFFFFFFFFFFFFFFFF) - (stops - starts), starts))
        return cls(
            *_ranges_kernels.flatten(
                starts[order], stops[order], order.astype(np.int64), prioritized.cells
            )
        )

    @classmethod
    def from_disjoint(cls, starts: CodeArray, stops: CodeArray, cells: IntArray) -> Ranges:
        """Ranges from disjoint ones in any order; neighbours of one cell joined."""
        order = np.argsort(starts, kind="stable")
        starts, stops, cells = starts[order], stops[order], cells[order]
        if len(starts) == 0:
            return cls(starts, stops, cells)
        if (starts[1:] < stops[:-1]).any() or (stops <= starts).any():
            raise ValueError("Ranges overlap or are empty.")
        first = np.ones(len(starts), dtype=bool)
        first[1:] = (starts[1:] != stops[:-1]) | (cells[1:] != cells[:-1])
        last = np.append(first[1:], True)
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
        A page table, as an operating system keeps for its memory: the leading bits of a code name an entry, which
        holds the cell or, where ranges meet inside it, the page for the next six bits. Most codes take one or two
        steps without a branch to mispredict; the table is built at the first call.
        """
        cells = np.empty(len(codes), dtype=np.int64)
        if len(self.starts) == 0:
            cells.fill(-1)
            return cells
        entries, root_shift, n_root = self._page_table()
        over_rows(
            _ranges_kernels.look_up,
            len(codes),
            codes,
            self.stops[-1],
            entries,
            root_shift,
            n_root,
            PAGE_BITS,
            cells,
        )
        return cells

    def _page_table(self) -> tuple[NDArray[np.int32], int, int]:
        if "table" not in self._cache:
            last = int(self.stops[-1]) - 1
            least, most = ROOT_BITS
            root_bits = min(max(least, len(self.starts).bit_length() + 5), most)
            n_levels = -(-max(0, last.bit_length() - root_bits) // PAGE_BITS)
            root_shift = n_levels * PAGE_BITS
            n_root = (last >> root_shift) + 1
            entries = _ranges_kernels.build_pages(
                self.starts, self.stops, self.cells, root_shift, n_root, PAGE_BITS
            )
            self._cache["table"] = (entries, root_shift, n_root)
        return self._cache["table"]
