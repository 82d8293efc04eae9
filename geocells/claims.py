"""The one record through which constructions hand their result to a partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocells._types import CodeArray, IntArray


@dataclass(frozen=True)
class Claims:
    """Ranges of leaf codes claimed by cells, in order: the first claim on a code wins.

    Every range is a quadtree cell, so two ranges are either disjoint or nested.

    Attributes
    ----------
    starts, stops : (n_claims,) uint64
        Half-open ranges of leaf codes.
    cells : (n_claims,) int64
        The cell, 0 .. n_cells - 1, that makes the claim; a cell may make several.
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
    def one_range_a_cell(cls, starts: CodeArray, stops: CodeArray, levels: IntArray) -> Claims:
        """Claims of cells that make one claim each, in this order."""
        return cls(starts, stops, np.arange(len(levels), dtype=np.int64), levels)

    @classmethod
    def concatenate(cls, parts: list[Claims]) -> Claims:
        """Claims one after the other, the cells renumbered in that order."""
        offsets = np.cumsum([0, *[part.n_cells for part in parts]])
        return cls(
            np.concatenate([part.starts for part in parts] or [np.empty(0, np.uint64)]),
            np.concatenate([part.stops for part in parts] or [np.empty(0, np.uint64)]),
            np.concatenate(
                [part.cells + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
                or [np.empty(0, np.int64)]
            ),
            np.concatenate([part.levels for part in parts] or [np.empty(0, np.int64)]),
        )
