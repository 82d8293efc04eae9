"""What a grid promises, and how the bits of its codes are interleaved.

The Morton code of a row and a column is ``spread_bits(row) << 1 | spread_bits(column)``. `spread_bits` and
`gather_bits` take numbers or arrays; ``spread_bits_inline`` and ``gather_bits_inline`` are the same for kernels.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from geocells._jit import inline_kernel
from geocells._types import CodeArray, FloatArray, IntArray, ObjectArray

CodeType = type[np.uint64] | type[np.uint32]

OUTSIDE = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The code of a coordinate that lies outside the grid."""


def outside_code(dtype: CodeType) -> Any:
    """Return the code of a coordinate outside the grid: the type's largest number."""
    return dtype(np.iinfo(dtype).max)


class Grid(Protocol):
    """A hierarchy of quadtree cells over part of the earth.

    A grid has ``n_faces`` root cells (1 for latitude-longitude, 6 for S2) of ``4**max_level`` leaves each. A leaf's
    *code* is ``face * 4**max_level`` plus its place in an order in which every cell, at every level, is one contiguous
    range: a cell at level l is ``4**(max_level - l)`` codes long and starts at a multiple of that.

    Attributes
    ----------
    n_faces : int
        Number of root cells.
    max_level : int
        Level of the leaves.
    """

    @property
    def n_faces(self) -> int: ...  # noqa: D102
    @property
    def max_level(self) -> int: ...  # noqa: D102

    def encode(self, coords: FloatArray, dtype: CodeType = np.uint64) -> CodeArray:
        """Leaf code of each row of (n, 2) latitude, longitude in degrees; the type's largest number off the grid."""
        ...

    def to_morton(self, codes: CodeArray) -> CodeArray:
        """Leaf codes in plain Morton order within each face, so that neighbours on a side follow from the bits."""
        ...

    def from_morton(self, morton: CodeArray) -> CodeArray:
        """Leaf codes from `to_morton`'s."""
        ...

    def union_polygons(
        self, codes: CodeArray, levels: IntArray, owners: IntArray, n_owners: int
    ) -> ObjectArray:
        """Shapely polygon of each union of cells, (n_owners,), valid and cut at the antimeridian.

        Cell i, given by its first leaf code and its level, belongs to union ``owners[i]``; cells of one union don't
        overlap.
        """
        ...

    def names_of_cells(self, codes: CodeArray, levels: IntArray) -> list[str]:
        """Usual name of each cell, given by its first leaf code and its level."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as plain values that `grid_from_dict` turns back into an equal grid."""
        ...


def n_codes(grid: Grid) -> int:
    """Return the number of leaves of a grid: its codes are 0 .. n_codes - 1."""
    return int(grid.n_faces * 4 ** int(grid.max_level))


def spread_bits(values: Any) -> Any:
    """Put a zero before every bit of 32-bit numbers (uint64 in, uint64 out)."""
    values = (values | (values << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    values = (values | (values << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (values | (values << np.uint64(1))) & np.uint64(0x5555555555555555)


def gather_bits(values: Any) -> Any:
    """Every other bit of 64-bit numbers, from the lowest on: undoes `spread_bits`."""
    values = values & np.uint64(0x5555555555555555)
    values = (values | (values >> np.uint64(1))) & np.uint64(0x3333333333333333)
    values = (values | (values >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return (values | (values >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF)


def morton(rows: Any, columns: Any) -> Any:
    """Morton codes (uint64) of rows and columns, whole numbers from 0 to 2^32 - 1."""
    row_bits, column_bits = (spread_bits(places.astype(np.uint64)) for places in (rows, columns))
    return (row_bits << np.uint64(1)) | column_bits


spread_bits_inline = inline_kernel(spread_bits)
gather_bits_inline = inline_kernel(gather_bits)
