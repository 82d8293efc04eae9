"""The latitude-longitude quadtree."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells.array_types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.grids._square_unions import Rings, union_squares
from geocells.grids.base import (
    CodeType,
    Grid,
    check_level,
    encoded,
    last_level,
    outside_code,
    rows_and_columns,
    spread_bits_inline,
)
from geocells.jit import inline_kernel, kernel
from geocells.sphere.polygons import cut_at_antimeridian

DEEPEST = 31
"""Level at which two 31-bit numbers fill a code; 9 mm of latitude when the root is the globe."""

SMALLEST_SIDE = 1e-9
"""Degrees; 0.1 mm of latitude. Shorter sides drown in the rounding of float64."""


@dataclass(frozen=True)
class LatLonGrid(Grid):
    """A quadtree over a box of latitudes and longitudes.

    A level-l cell is one of ``2**l x 2**l`` equal parts of the box, half-open: its southern and western edges belong
    to it; the northern and eastern edges of the whole box belong to the last cells. Leaves are numbered in Morton
    order (the bits of row and column interleaved, row above column), so that every cell is one range of codes.

    Parameters
    ----------
    south, west, north, east : float
        The box in degrees. It crosses the antimeridian where ``west > east``.
    max_level : int
        Level of the leaves, 0 to 31.

    Raises
    ------
    ValueError
        When the box is empty or off the globe, or the level is out of range.

    Notes
    -----
    +180 and -180 name one meridian: both get the same code. Encoding costs about ten operations a point and needs
    no trigonometry.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import LatLonGrid
    >>> grid = LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=1)
    >>> grid.encode(np.array([[1.0, 1.0], [1.0, 4.0], [4.0, 1.0], [8.0, 8.0]])).tolist()
    [0, 1, 2, 3]
    """

    south: float = -90.0
    west: float = -180.0
    north: float = 90.0
    east: float = 180.0
    max_level: int = 14
    n_faces = 1

    def __post_init__(self) -> None:
        """Refuse boxes without area and levels that no code can hold; take plain numbers for numpy's."""
        for name in ("south", "west", "north", "east"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "max_level", operator.index(self.max_level))
        if not (-90.0 <= self.south < self.north <= 90.0):
            raise ValueError(
                f"A box needs -90 <= south < north <= 90 degrees; got south {self.south}, north {self.north}."
            )
        if not (-180.0 <= self.west <= 180.0 and -180.0 <= self.east <= 180.0):
            raise ValueError(
                f"A box needs west and east in [-180, 180] degrees; got west {self.west}, east {self.east}."
            )
        if self.west == self.east:
            raise ValueError(
                f"A box needs west and east to differ; both are {self.west}. The whole circle is -180 to 180."
            )
        check_level(self.max_level, DEEPEST, "max_level")
        # A box of that side may come out shorter by the rounding of its edges.
        if min(self.cell_size(self.max_level)) < 0.999 * SMALLEST_SIDE:
            raise ValueError(
                f"Leaves of {min(self.cell_size(self.max_level)):.3g} degrees are too small to tell apart in float64; "
                f"at least {SMALLEST_SIDE} is needed: lower max_level."
            )

    @classmethod
    def with_cell_size(
        cls, bounds: tuple[float, float, float, float], min_cell_size: float, extra_levels: int = 0
    ) -> LatLonGrid:
        """Build the grid whose deepest cells are the last with both sides >= ``min_cell_size``.

        Parameters
        ----------
        bounds : tuple of float
            South, west, north, east in degrees; a side shorter than ``min_cell_size`` is widened to it.
        min_cell_size : float
            Degrees.
        extra_levels : int
            Levels of leaves below the deepest cells, for windows placed at a fraction of a side.

        Returns
        -------
        grid : LatLonGrid
        """
        min_cell_size = max(min_cell_size, SMALLEST_SIDE * 2**extra_levels)
        south, west, north, east = widened(bounds, min_cell_size)
        shorter_side = min(north - south, east - west if east > west else east - west + 360.0)
        deepest = last_level(shorter_side, min_cell_size, DEEPEST - extra_levels)
        return cls(south, west, north, east, deepest + extra_levels)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north, east in degrees."""
        return self.south, self.west, self.north, self.east

    @property
    def _unwrapped_east(self) -> float:
        if self.east > self.west:
            return self.east
        east = self.east + 360.0
        return east if east - 360.0 >= self.east else math.nextafter(east, math.inf)

    def cell_size(self, level: int) -> tuple[float, float]:
        """Height and width of the cells of a level, in degrees."""
        return (
            math.ldexp(self.north - self.south, -int(level)),
            math.ldexp(self._unwrapped_east - self.west, -int(level)),
        )

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
        codes : (n,) uint64
            Morton code in ``0 .. 4**max_level - 1``; the type's largest number outside the box.
        """
        edges = self.south, self.west, self.north, self._unwrapped_east
        return encoded(encode_leaves, coords, dtype, *edges, self.max_level, outside_code(dtype))

    def _degrees(self, rows: Any, columns: Any) -> tuple[FloatArray, FloatArray]:
        """Latitude of rows' southern edges, longitude of columns' western ones: what encoding compares against."""
        n_slots = 2.0**self.max_level
        east = self._unwrapped_east
        latitudes = self.south + (self.north - self.south) * (rows / n_slots)
        longitudes = self.west + (east - self.west) * (columns / n_slots)
        # The box ends where it was told to, not where rounding puts its last edge.
        return (
            np.where(rows == n_slots, self.north, latitudes),
            np.where(columns == n_slots, east, longitudes),
        )

    def union_polygons(
        self, codes: CodeArray, levels: IntArray, owners: IntArray, n_owners: int
    ) -> ObjectArray:
        """Shapely polygon of each union of cells, cut at the antimeridian; cell i belongs to union ``owners[i]``.

        Every edge is the very float64 number that encoding compares against, so neighbours share their edges exactly.
        """
        rows, columns = rows_and_columns(codes)
        sides = 2 ** (self.max_level - np.asarray(levels, dtype=np.int64))  # in leaves

        def draw(rings: Rings) -> tuple[FloatArray, IntArray]:
            latitudes, longitudes = self._degrees(*rings.corners.T[::-1])
            return np.stack([longitudes, latitudes], axis=1), rings.ring

        return cut_at_antimeridian(union_squares(columns, rows, sides, owners, n_owners, draw))

    def names_of_cells(self, codes: CodeArray, levels: IntArray) -> list[str]:
        """Path from the root to each cell, a digit a level: 0 south-west, 1 south-east, 2 north-west, 3 north-east."""
        return [
            np.base_repr(code >> 2 * (self.max_level - level), 4).zfill(level) if level else ""
            for code, level in zip(codes.tolist(), levels.tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as plain values for a file's metadata."""
        return {"type": "latlon", "bounds": list(self.bounds), "max_level": self.max_level}


def widened(
    bounds: tuple[float, float, float, float], smallest: float
) -> tuple[float, float, float, float]:
    """Box with no side shorter than ``smallest`` degrees, grown evenly, kept on the globe."""
    south, west, north, east = (float(edge) for edge in bounds)
    if north - south < smallest:
        middle = min(max((south + north) / 2, -90.0 + smallest / 2), 90.0 - smallest / 2)
        # Never less than the box itself, whatever the middle was rounded to.
        south = max(-90.0, min(south, middle - smallest / 2))
        north = min(90.0, max(north, middle + smallest / 2))
    width = east - west if east >= west else east - west + 360.0
    if width < smallest:
        if smallest >= 360.0:
            return south, -180.0, north, 180.0
        middle, end = west + width / 2, east if east >= west else east + 360.0
        if middle - smallest / 2 < west:
            west = wrap(middle - smallest / 2)
        if middle + smallest / 2 > end:
            east = wrap(middle + smallest / 2)
    return south, west, north, east


def wrap(longitude: float) -> float:
    """Bring a longitude that ran past the antimeridian back into [-180, 180]."""
    if longitude > 180.0:
        return longitude - 360.0
    if longitude < -180.0:
        return longitude + 360.0
    return longitude


CHUNK = 1024
"""Rows handled at a time: their slots stay in the first-level cache."""


@inline_kernel
def slot(value, low, extent, n_slots, inverse):
    """Return the half-open slot that holds ``value``, as a float; the last one is closed.

    Edge i is ``low + extent * (i / n_slots)`` as rounded by float64, the very number that a cell's polygon shows; the
    guess by multiplication, off by one at most, is put right against it. Selections instead of branches, so that
    the compiler handles several rows at a time.
    """
    width = 1.0 / n_slots
    index = np.floor((value - low) * inverse)
    index = min(max(index, 0.0), n_slots - 1.0)
    index = index - 1.0 if value < low + extent * (index * width) else index
    index = max(index, 0.0)
    above = value >= low + extent * ((index + 1.0) * width)
    index = index + 1.0 if above else index
    return min(index, n_slots - 1.0)


@inline_kernel
def unwrapped(longitude, west):
    """Return the longitude's name in [west, west + 360)."""
    longitude = longitude + 360.0 if longitude < west else longitude
    return longitude - 360.0 if longitude - 360.0 >= west else longitude


@kernel
def encode_leaves(start, stop, coords, south, west, north, east, max_level, outside, codes):
    """Write the Morton code of each row of ``coords``: latitude's bits above longitude's.

    ``outside`` is written off the box.
    """
    n_slots = float(np.int64(1) << np.int64(max_level))
    height = north - south
    width = east - west
    inverse_height = n_slots / height
    inverse_width = n_slots / width
    # One dimension, so that the compiler knows the stride and loads several rows at a time.
    flat = coords.reshape(-1)
    rows = np.empty(CHUNK, dtype=np.int32)
    columns = np.empty(CHUNK, dtype=np.int32)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        chunk = flat[2 * first : 2 * last]
        chunk_codes = codes[first:last]
        n_off = 0
        for k in range(chunk_codes.size):
            latitude = chunk[2 * k]
            longitude = unwrapped(chunk[2 * k + 1], west)
            off = (latitude < south) | (latitude > north) | (longitude < west) | (longitude > east)
            n_off += np.int64(1) if off else np.int64(0)
            row = np.int32(slot(latitude, south, height, n_slots, inverse_height))
            rows[k] = np.int32(-1) if off else row
            columns[k] = np.int32(slot(longitude, west, width, n_slots, inverse_width))
        for k in range(chunk_codes.size):
            row, column = np.uint64(rows[k]), np.uint64(columns[k])
            chunk_codes[k] = (spread_bits_inline(row) << np.uint64(1)) | spread_bits_inline(column)
        if n_off > 0:
            for k in range(chunk_codes.size):
                if rows[k] < 0:
                    chunk_codes[k] = outside
