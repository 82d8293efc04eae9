"""The S2 grid: six faces of a cube, Hilbert order, levels 0 to 30."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells.array_types import ArrayLike, CodeArray, FloatArray, IntArray, ObjectArray
from geocells.grids import _s2_kernels
from geocells.grids._s2_outlines import outlines
from geocells.grids.base import CodeType, GlobalGrid, check_level, encoded, outside_code
from geocells.jit import over_rows
from geocells.validation import check_coords

DEEPEST = 30
"""Level of S2's own leaves, about a centimetre wide."""

Squares = tuple[IntArray, IntArray, IntArray, IntArray]

AVERAGE_EDGE = math.degrees(1.459213746386106062)
"""S2's average edge of a face, in degrees; half as long with every level."""


@dataclass(frozen=True)
class S2Grid(GlobalGrid):
    """S2 cells over the whole globe.

    Six root cells, the faces of a cube around the earth, are split into four again and again. Of one level, the
    largest cell has 2.1 times the area of the smallest.

    Parameters
    ----------
    max_level : int
        Level of the leaves, 0 to 30.

    Raises
    ------
    TypeError, ValueError
        When the level is not an integer, or out of range.

    Notes
    -----
    A code is ``face * 4**max_level`` plus the leaf's place along the face's Hilbert curve: the S2 cell id at
    ``max_level`` without the marker bit behind it. Longitude +180 is read as -180. At a pole the cell depends on the
    longitude, as S2's does.

    Ids equal those of other S2 libraries bit for bit.

    References
    ----------
    .. [1] S2 Geometry, https://s2geometry.io/devguide/s2cell_hierarchy

    Examples
    --------
    >>> import numpy as np
    >>> from geocells.grids import S2Grid
    >>> zurich = np.array([[47.3769, 8.5417]])
    >>> f"{S2Grid().cell_ids(zurich, level=12)[0]:x}"
    '47900a1000000000'
    >>> S2Grid(max_level=1).encode(zurich).tolist()
    [8]
    """

    max_level: int = DEEPEST
    kind = "s2"
    deepest = DEEPEST
    average_edge = AVERAGE_EDGE
    n_faces = 6

    def encode(self, coords: FloatArray, dtype: CodeType = np.uint64) -> CodeArray:
        """Leaf code of each coordinate.

        Parameters
        ----------
        coords : (n, 2) float64
            Latitude, longitude in degrees, longitudes in [-180, 180].
        dtype : {numpy.uint64, numpy.uint32}
            Of the codes; the narrow one for speed, where they fit into 31 bits.

        Returns
        -------
        codes : (n,) of ``dtype``
            ``0 .. 6 * 4**max_level - 1``; every coordinate lies inside.
        """
        return _encode(coords, self.max_level, dtype)

    def cell_ids(self, coords: ArrayLike, level: int = DEEPEST) -> CodeArray:
        """S2's 64-bit id of the cell that holds each coordinate.

        Parameters
        ----------
        coords : array-like (n, 2), table or points
            Latitude, longitude in degrees; see :meth:`CellPartition.assign`.
        level : int
            0 to 30, whatever the grid's own leaves are.

        Returns
        -------
        ids : (n,) uint64
            As ``s2sphere.CellId.from_lat_lng(...).parent(level).id()``, +180 read as -180.

        Raises
        ------
        TypeError, ValueError
            When a coordinate is not on the globe, or the level is not an integer, or out of range.
        """
        check_level(level, DEEPEST, "level")
        ids = _encode(check_coords(coords, allow_empty=True).array, level, np.uint64)
        ids <<= np.uint64(1)
        ids |= np.uint64(1)
        ids <<= np.uint64(2 * (DEEPEST - level))
        return ids

    def tokens(self, coords: ArrayLike, level: int = DEEPEST) -> list[str]:
        """S2's short name of the cell that holds each coordinate: its id in hexadecimal, zeros at the end left out.

        Parameters
        ----------
        coords, level
            As for :meth:`cell_ids`.
        """
        return [_token(cell) for cell in self.cell_ids(coords, level).tolist()]

    def names_of_cells(self, codes: CodeArray, levels: IntArray) -> list[str]:
        """S2 token of each cell."""
        shift = 2 * (DEEPEST - self.max_level) + 1
        return [
            _token((code << shift) + (1 << 2 * (DEEPEST - level)))
            for code, level in zip(codes.tolist(), levels.tolist(), strict=True)
        ]

    def to_morton(self, codes: CodeArray) -> CodeArray:
        """Leaf codes in Morton order of (i, j) within each face.

        Parameters
        ----------
        codes : (n,) uint64 or uint32
            Leaf codes; the type's largest number, "outside", stays itself.

        Returns
        -------
        morton : (n,) of the same type
            The face's number above, then the bits of i and j interleaved, i above j. A quadtree cell is an aligned
            range of these codes as it is of the grid's own.
        """
        return self._convert(_s2_kernels.to_morton, codes)

    def from_morton(self, morton: CodeArray) -> CodeArray:
        """Leaf codes from codes in Morton order; undoes :meth:`to_morton`."""
        return self._convert(_s2_kernels.from_morton, morton)

    def _convert(self, kernel: Any, codes: CodeArray) -> CodeArray:
        codes = np.ascontiguousarray(codes)
        converted = np.empty(len(codes), dtype=codes.dtype)
        outside = outside_code(codes.dtype.type)
        over_rows(kernel, len(codes), codes, int(self.max_level), outside, converted)
        return converted

    def squares(self, codes: CodeArray, levels: IntArray) -> Squares:
        """Face, lower corner i and j, and side of cells given by first leaf code and level, in level-30 leaves."""
        codes = np.ascontiguousarray(codes, dtype=np.uint64)
        levels = np.asarray(levels, dtype=np.int64)
        faces, i, j = (np.empty(len(codes), dtype=np.int64) for _ in range(3))
        _s2_kernels.decode(codes, int(self.max_level), faces, i, j)
        sides = np.int64(1) << (DEEPEST - levels)
        # The curve may enter a cell at any of its corners.
        return faces, i & -sides, j & -sides, sides

    def union_polygons(
        self, codes: CodeArray, levels: IntArray, owners: IntArray, n_owners: int
    ) -> ObjectArray:
        """Polygon of each union of cells.

        Parameters
        ----------
        codes : (n,) uint64
            First leaf code of each cell.
        levels : (n,) int64
            Level of each cell.
        owners : (n,) int64
            The union that each cell belongs to, ``0 .. n_owners - 1``; cells of one union don't overlap.
        n_owners : int
            Number of unions.

        Returns
        -------
        polygons : (n_owners,) object
            Shapely Polygon or MultiPolygon, cut at the antimeridian. Unions share their borders point by point.
        """
        levels = np.asarray(levels, dtype=np.int64)
        # A fifth of the width, in radians, of the narrowest cell.
        finest = 0.2 * 0.94 * 2.0 ** -int(levels.max()) if len(levels) else np.inf
        return outlines(*self.squares(codes, levels), owners, n_owners, finest=finest)


def _token(cell_id: int) -> str:
    return f"{cell_id:016x}".rstrip("0")


def _encode(coords: FloatArray, level: int, dtype: CodeType) -> CodeArray:
    """Face and place along its Hilbert curve, down to a level."""
    return encoded(_s2_kernels.encode, coords, dtype, 2 * (DEEPEST - int(level)))
