"""Several grids side by side in one space of codes: a root of its own for every group; and their leaves refined."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geocells.array_types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.grids.base import CodeType, Grid, n_codes, outside_code


@dataclass(frozen=True)
class GroupedGrid:
    """One grid a group (a country, say), the group's number above the grid's own code.

    Parameters
    ----------
    grids : tuple of Grid
        One a group; a single grid where there are no groups.

    Notes
    -----
    ``code = group * 2**bits + grid code``, with ``bits`` enough for the largest grid. Groups may overlap on the map;
    their codes never do.
    """

    grids: tuple[Grid, ...]

    def __post_init__(self) -> None:
        """Refuse more groups than the codes have room for."""
        if not self.grids:
            raise ValueError("At least one grid is needed.")
        if len(self.grids) << self.bits > 1 << 63:
            raise ValueError(
                f"{len(self.grids)} groups of cells this small need more than 63 bits a code; raise min_cell_size "
                "or fit fewer groups at a time."
            )

    @property
    def bits(self) -> int:
        """Bits below the group's number."""
        return max(int(n_codes(grid) - 1).bit_length() for grid in self.grids)

    @property
    def code_bits(self) -> int:
        """Bits of a whole code."""
        return self.bits + (len(self.grids) - 1).bit_length()

    def group_start(self, group: int) -> int:
        """First code of a group."""
        return group << self.bits

    @property
    def code_type(self) -> CodeType:
        """Narrowest type that holds every code and one more for "outside"."""
        return np.uint32 if self.code_bits <= 31 else np.uint64

    def encode(self, coords: FloatArray, group_of_row: IntArray | None = None) -> CodeArray:
        """Leaf code of each coordinate in the grid of its group.

        Parameters
        ----------
        coords : (n, 2) float64
            Latitude, longitude in degrees.
        group_of_row : (n,) int64, optional
            The group's number; -1 (an unknown group) lies outside every grid. Left out, all rows are of group 0.

        Returns
        -------
        codes : (n,) of ``code_type``
            The type's largest number outside the group's grid.
        """
        dtype = self.code_type
        if group_of_row is None:
            return self.grids[0].encode(coords, dtype)
        outside = outside_code(dtype)
        codes: CodeArray = np.full(len(coords), outside, dtype=dtype)
        order = np.argsort(group_of_row, kind="stable")
        edges = np.searchsorted(group_of_row[order], np.arange(len(self.grids) + 1))
        for group, grid in enumerate(self.grids):
            rows = order[edges[group] : edges[group + 1]]
            if len(rows):
                inner = grid.encode(coords[rows], dtype)
                inside = inner != outside
                codes[rows[inside]] = inner[inside] + dtype(self.group_start(group))
        return codes

    def group_of_code(self, codes: CodeArray) -> IntArray:
        """Group of each code."""
        return (codes >> np.uint64(self.bits)).astype(np.int64)

    def union_polygons(
        self, codes: CodeArray, levels: IntArray, owners: IntArray, n_owners: int
    ) -> ObjectArray:
        """Shapely polygon of each union of cells of one group; cell i belongs to union ``owners[i]``."""
        polygons = np.full(n_owners, shapely.GeometryCollection(), dtype=object)
        group_of_code = self.group_of_code(codes)
        for group in np.unique(group_of_code).tolist():
            rows = np.flatnonzero(group_of_code == group)
            own_codes = codes[rows] - np.uint64(self.group_start(group))
            unions, union_of_row = np.unique(owners[rows], return_inverse=True)
            polygons[unions] = self.grids[group].union_polygons(
                own_codes, levels[rows], union_of_row, len(unions)
            )
        return polygons

    def names_of_cells(self, codes: CodeArray, levels: IntArray) -> list[str]:
        """Usual name of each cell, in the grid of its group."""
        groups = self.group_of_code(codes).tolist()
        return [
            self.grids[group].names_of_cells(
                codes[row : row + 1] - np.uint64(self.group_start(group)), levels[row : row + 1]
            )[0]
            for row, group in enumerate(groups)
        ]

    def max_level_of_code(self, codes: CodeArray) -> IntArray:
        """Level of the leaves in the grid that each code belongs to."""
        return np.array([grid.max_level for grid in self.grids], dtype=np.int64)[
            self.group_of_code(codes)
        ]


def common_grid(grids: Sequence[GroupedGrid]) -> GroupedGrid:
    """Grid with the same roots and the deepest leaves of all.

    Raises
    ------
    ValueError
        When the grids have not the same roots, group by group.
    """
    n_groups = {len(grid.grids) for grid in grids}
    if len(n_groups) != 1:
        raise ValueError(
            f"Partitions must have the same groups; they have {sorted(n_groups)} of them."
        )
    common = []
    for group, same_group in enumerate(zip(*(grid.grids for grid in grids), strict=True)):
        deepest = max(grid.max_level for grid in same_group)
        deepened = [_with_leaves(grid, deepest) for grid in same_group]
        other = next((grid for grid in deepened if grid != deepened[0]), None)
        if other is not None:
            of_group = f" of group {group}" if len(grids[0].grids) > 1 else ""
            raise ValueError(
                f"Partitions must share their root box{of_group}, so that cells of one are made of the leaves of "
                f"another; got {deepened[0]} and {other}. Give all of them the same grid, bounds and min_cell_size."
            )
        common.append(deepened[0])
    return GroupedGrid(tuple(common))


def _with_leaves(grid: Grid, level: int) -> Grid:
    if grid.max_level == level or not dataclasses.is_dataclass(grid) or isinstance(grid, type):
        return grid
    deepened: Grid = dataclasses.replace(grid, max_level=level)
    return deepened


def refined(
    starts: CodeArray, stops: CodeArray, coarse: GroupedGrid, fine: GroupedGrid
) -> tuple[CodeArray, CodeArray]:
    """Half-open ranges of leaf codes on ``fine`` from those on ``coarse``, (n,) uint64."""
    group = coarse.group_of_code(starts)
    pairs = zip(fine.grids, coarse.grids, strict=True)
    levels = np.array([one.max_level - other.max_level for one, other in pairs], dtype=np.uint64)
    shift = 2 * levels[group]
    above = group.astype(np.uint64) << np.uint64(fine.bits)
    below = group.astype(np.uint64) << np.uint64(coarse.bits)
    return ((starts - below) << shift) + above, ((stops - below) << shift) + above
