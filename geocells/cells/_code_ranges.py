"""The territory of cells made of quadtree cells: ranges of leaf codes on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from geocells._types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.cells import _assign
from geocells.cells._geometry import cell_polygons
from geocells.cells._ranges import Ranges
from geocells.grids import GroupedGrid, grid_from_dict, n_codes


@dataclass(frozen=True)
class CodeRangeIndex:
    """Disjoint ranges of leaf codes, a cell each; see `CellIndex`.

    Attributes
    ----------
    grid : GroupedGrid
        From coordinates to leaf codes.
    ranges : Ranges
        Disjoint, sorted.
    """

    grid: GroupedGrid
    ranges: Ranges
    kind: ClassVar[str] = "code_ranges"

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        return self.ranges.starts, self.ranges.stops, self.ranges.cells

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray
    ) -> IntArray:
        """Encode, then one search among the ranges."""
        return _assign.cells_that_hold(self.grid, self.ranges, coords, group_of_row, centroids)

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray,
        group_of_cell: IntArray | None,
    ) -> IntArray:
        """Cell with the nearest centroid."""
        return _assign.nearest_cells(coords, centroids, group_of_row, group_of_cell)

    def polygons(self, n_cells: int) -> ObjectArray:
        """Union of the quadtree cells that the ranges cut into."""
        return cell_polygons(self.grid, self.ranges, n_cells)

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Grids as plain values; a list of codes a cell."""
        import pyarrow as pa

        order = np.argsort(self.ranges.cells, kind="stable")
        edges = np.searchsorted(self.ranges.cells[order], np.arange(n_cells + 1))
        offsets = pa.array(edges, type=pa.int32())
        return {"grids": self.grid.to_dicts()}, {
            name: pa.ListArray.from_arrays(offsets, pa.array(codes[order], type=pa.uint64()))
            for name, codes in (
                ("code_start", self.ranges.starts),
                ("code_stop", self.ranges.stops),
            )
        }

    @classmethod
    def from_file(cls, metadata: dict[str, Any], table: Any) -> CodeRangeIndex:
        """Rebuild, refusing ranges that overlap, are empty or run off the grid."""
        grid = GroupedGrid(tuple(grid_from_dict(values) for values in metadata["grids"]))
        lengths, starts = _code_lists(table, "code_start")
        stop_lengths, stops = _code_lists(table, "code_stop")
        if not np.array_equal(lengths, stop_lengths):
            raise ValueError("its code ranges have starts without stops")
        if not lengths.all():
            raise ValueError(f"its cell {int(np.flatnonzero(lengths == 0)[0])} has no code ranges")
        cells = np.repeat(np.arange(table.num_rows, dtype=np.int64), lengths)
        ranges = Ranges.from_disjoint(starts, stops, cells)
        end = grid.group_start(len(grid.grids) - 1) + n_codes(grid.grids[-1])
        if len(ranges) and int(ranges.stops[-1]) > end:
            raise ValueError("its code ranges run off its grid")
        return cls(grid, ranges)


def _code_lists(table: Any, name: str) -> tuple[IntArray, CodeArray]:
    """Length of each cell's list of codes, and the codes one list after the other."""
    import pyarrow as pa

    lists = table[name].combine_chunks()
    if not (pa.types.is_list(lists.type) and pa.types.is_integer(lists.type.value_type)):
        raise ValueError(f"its {name} holds {lists.type}, not lists of codes")
    codes = lists.flatten()
    if lists.null_count or codes.null_count:
        raise ValueError(f"its {name} misses codes")
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64), codes.to_numpy().astype(np.uint64)
