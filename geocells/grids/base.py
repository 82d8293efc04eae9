"""What a grid promises, and how the bits of its codes are interleaved.

The Morton code of a row and a column is ``spread_bits(row) << 1 | spread_bits(column)``. `spread_bits` and
`gather_bits` take numbers or arrays; ``spread_bits_inline`` and ``gather_bits_inline`` are the same for kernels.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from geocells.array_types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.jit import inline_kernel, over_rows
from geocells.sphere.means import as_pairs

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
        return codes  # a grid that numbers its leaves otherwise says how

    def from_morton(self, morton: CodeArray) -> CodeArray:
        """Leaf codes from `to_morton`'s."""
        return morton

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


@dataclass(frozen=True)
class GlobalGrid(Grid):
    """A grid of the whole globe, whose cells of one level are about as large everywhere.

    Attributes
    ----------
    kind : str
        Its name in files.
    deepest : int
        Deepest level of leaves that there is.
    average_edge : float
        Side of a face in degrees of a great circle; half as long with every level.
    """

    max_level: int
    kind: ClassVar[str]
    deepest: ClassVar[int]
    average_edge: ClassVar[float]

    def __post_init__(self) -> None:
        """Refuse levels that the grid does not have."""
        check_level(self.max_level, self.deepest, "max_level")

    @classmethod
    def with_cell_size(cls, min_cell_size: float, extra_levels: int = 0) -> Self:
        """Build the grid whose deepest cells are the last with an average edge >= ``min_cell_size``.

        Parameters
        ----------
        min_cell_size : float
            Degrees of a great circle.
        extra_levels : int
            Levels of leaves below the deepest cells, for windows placed at a fraction of a side. They come off the
            deepest cells' level where together they would pass the deepest that there is.
        """
        most = cls.deepest - extra_levels
        return cls(last_level(cls.average_edge, min_cell_size, most) + extra_levels)

    def cell_size(self, level: int) -> tuple[float, float]:
        """Height and width of the cells of a level, in degrees: their average edge for both."""
        edge = math.ldexp(self.average_edge, -int(level))
        return edge, edge

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as plain values for a file's metadata."""
        return {"type": self.kind, "max_level": int(self.max_level)}


def check_level(level: int, deepest: int, name: str) -> None:
    """Refuse what is no level from 0 to ``deepest``."""
    if not 0 <= operator.index(level) <= deepest:
        raise ValueError(f"{name} must lie in 0..{deepest}; got {level}.")


def last_level(side: float, smallest: float, most: int) -> int:
    """Last level, from 0 to ``most``, at which half of half of ... a side is still ``smallest`` or longer."""
    return max((n for n in range(most + 1) if math.ldexp(side, -n) >= smallest), default=0)


def encoded(
    kernel: Callable[..., None], coords: FloatArray, dtype: CodeType, *arguments: Any
) -> CodeArray:
    """Codes that a kernel writes for (n, 2) coordinates, (n,) of ``dtype``."""
    coords = as_pairs(coords)
    codes = np.empty(len(coords), dtype=dtype)
    over_rows(kernel, len(coords), coords, *arguments, codes)
    return codes


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


def rows_and_columns(codes: CodeArray) -> tuple[IntArray, IntArray]:
    """Row and column of each Morton code, of the shape of ``codes``: undoes `morton`."""
    rows, columns = (gather_bits(codes >> np.uint64(bit)).astype(np.int64) for bit in (1, 0))
    return rows, columns


spread_bits_inline = inline_kernel(spread_bits)
gather_bits_inline = inline_kernel(gather_bits)
