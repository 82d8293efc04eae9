"""Several grids side by side in one space of codes: a root of its own for every group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells._types import CodeArray, FloatArray, IntArray, ObjectArray
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

    def faces(self) -> list[tuple[int, int, int]]:
        """(group, first code, level of the leaves) of every root cell, by code."""
        return [
            (group, self.group_start(group) + face * 4**grid.max_level, grid.max_level)
            for group, grid in enumerate(self.grids)
            for face in range(grid.n_faces)
        ]

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
                own = grid.encode(coords[rows], dtype)
                inside = own != outside
                codes[rows[inside]] = own[inside] + dtype(self.group_start(group))
        return codes

    def group_of_code(self, codes: CodeArray) -> IntArray:
        """Group of each code."""
        return (codes >> np.uint64(self.bits)).astype(np.int64)

    def polygons(self, codes: CodeArray, levels: IntArray) -> ObjectArray:
        """Shapely polygon of each cell, given by first leaf code and level."""
        polygons = np.empty(len(codes), dtype=object)
        group_of_code = self.group_of_code(codes)
        for group in np.unique(group_of_code):
            rows = np.flatnonzero(group_of_code == group)
            own = codes[rows] - np.uint64(self.group_start(int(group)))
            polygons[rows] = self.grids[group].polygons(own, levels[rows])
        return polygons

    def max_level_of_code(self, codes: CodeArray) -> IntArray:
        """Level of the leaves in the grid that each code belongs to."""
        return np.array([grid.max_level for grid in self.grids], dtype=np.int64)[
            self.group_of_code(codes)
        ]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain values of every grid, in the order of the groups."""
        return [grid.to_dict() for grid in self.grids]
