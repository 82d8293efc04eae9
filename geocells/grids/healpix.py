"""The HEALPix grid: twelve faces of equal area, nested order, orders 0 to 29."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely

from geocells.array_types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.grids._s2_outlines import assemble, neighbours
from geocells.grids._square_unions import Rings, union_squares
from geocells.grids.base import CodeType, GlobalGrid, encoded, rows_and_columns, spread_bits_inline
from geocells.jit import kernel
from geocells.sphere.polygons import cut_at_antimeridian

DEEPEST = 29
"""Order at which a nested number has 62 bits; 0.4 milliseconds of arc."""

AVERAGE_EDGE = math.degrees(math.sqrt(math.pi / 3.0))
"""Side of a square as large as a face, in degrees; half as long with every level."""

# Where each face's southern corner lies on the plane of the projection, in sides of a face: distance from the northern
# pole, and eighths of a turn to the east.
RING_OF_FACE = np.repeat([2, 3, 4], 4)
EIGHTH_OF_FACE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])

MOST_PIECES = 16
"""Straight pieces that a side between two corners is drawn with at most."""


@dataclass(frozen=True)
class HealpixGrid(GlobalGrid):
    """HEALPix cells over the whole globe.

    Twelve root cells, diamonds in three rows around the earth, are split into four again and again. All cells of one
    level have the same area.

    Parameters
    ----------
    max_level : int
        Order of the leaves, 0 to 29.

    Raises
    ------
    TypeError, ValueError
        When the level is not an integer, or out of range.

    Notes
    -----
    A code is the number of the leaf in HEALPix's nested scheme at order ``max_level``, on the sphere:
    ``face * 4**max_level`` plus the leaf's place in Morton order.

    References
    ----------
    .. [1] Gorski et al. (2005), HEALPix: a framework for high-resolution discretization, ApJ 622, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import HealpixGrid
    >>> HealpixGrid(max_level=8).encode(np.array([[47.3769, 8.5417]])).tolist()
    [44425]
    """

    max_level: int = DEEPEST
    kind = "healpix"
    deepest = DEEPEST
    average_edge = AVERAGE_EDGE
    n_faces = 12

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
            ``0 .. 12 * 4**max_level - 1``; every coordinate lies inside.
        """
        return encoded(encode_nested, coords, dtype, int(self.max_level))

    def union_polygons(
        self, codes: CodeArray, levels: IntArray, owners: IntArray, n_owners: int
    ) -> ObjectArray:
        """Polygon of each union of cells, cut at the antimeridian; cell i belongs to union ``owners[i]``.

        Sides are curves of HEALPix's projection, drawn with points between; every corner of a cell that lies on
        another's side is a point of that side.
        """
        if not len(codes):
            return np.full(n_owners, shapely.GeometryCollection(), dtype=object)
        codes = np.ascontiguousarray(codes, dtype=np.uint64)
        faces = (codes >> np.uint64(2 * self.max_level)).astype(np.int64)
        y, x = rows_and_columns(codes)
        n_slots = 1 << self.max_level
        sides = 1 << (self.max_level - np.asarray(levels, dtype=np.int64))
        parts, part_of_cell = np.unique(owners * 12 + faces, return_inverse=True)
        draw = partial(_draw, faces=parts % 12, n_slots=n_slots)
        drawn = union_squares(x % n_slots, y % n_slots, sides, part_of_cell, len(parts), draw)
        return assemble(cut_at_antimeridian(drawn), parts // 12, n_owners)

    def names_of_cells(self, codes: CodeArray, levels: IntArray) -> list[str]:
        """Order and nested number of each cell, ``8/44425``, as coverage maps (MOC) have them."""
        return [
            f"{level}/{code >> 2 * (self.max_level - level)}"
            for code, level in zip(codes.tolist(), levels.tolist(), strict=True)
        ]


def _draw(rings: Rings, faces: IntArray, n_slots: int) -> tuple[FloatArray, IntArray]:
    """Bring rings on the faces to the map, and the ring of each point; longitudes may run on past 180 degrees."""
    ring, faces = rings.ring, faces[rings.owners[rings.ring]]
    following, _ = neighbours(ring)
    (x, y), (next_x, next_y) = rings.corners.T, rings.corners[following].T
    along_y = x == next_x
    # A side lies on a line of the projection's plane, which goes on into other faces; `down` is the place on it.
    top, eighth = RING_OF_FACE[faces] * n_slots, EIGHTH_OF_FACE[faces] * n_slots
    down, next_down = top - x - y, top - next_x - next_y
    rising, falling = (eighth - top + 2 * x) % (8 * n_slots), (eighth + top - 2 * y) % (8 * n_slots)
    lines = np.concatenate([rising, falling + 8 * n_slots])
    number = np.unique(lines, return_inverse=True)[1].astype(np.int64) << 32
    keys = np.unique(number | np.tile(down, 2))
    key_of_side = np.where(along_y, *np.split(number, 2))
    low = np.searchsorted(keys, key_of_side | np.minimum(down, next_down))
    high = np.searchsorted(keys, key_of_side | np.maximum(down, next_down))
    # Intervals between neighbouring corners, in the order of the ring.
    side = np.repeat(np.arange(len(x)), high - low)
    step = np.arange(len(side)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    goes_down = (next_down > down)[side]
    first = np.where(goes_down, low[side] + step, high[side] - 1 - step)
    least, most = keys[first] & 0xFFFFFFFF, keys[first + 1] & 0xFFFFFFFF
    n_pieces = _n_pieces(least, most, n_slots)
    end = np.where(goes_down, most, least)
    n_points = n_pieces + (end % (4 * n_slots) == 0)  # a pole has a longitude of either side
    interval = np.repeat(np.arange(len(side)), n_points)
    part = np.arange(len(interval)) - np.repeat(np.cumsum(n_points) - n_points, n_points)
    part = np.where(goes_down[interval], part, n_pieces[interval] - part)
    place = least[interval] + (most - least)[interval] * (part / n_pieces[interval])
    side = side[interval]
    other = (top - np.where(along_y, x, y))[side]
    point_x = np.where(along_y[side], x[side], other - place)
    point_y = np.where(along_y[side], other - place, y[side])
    points = _to_map(point_x, point_y, faces[side], along_y[side], n_slots)
    return points, ring[side]


def _n_pieces(least: IntArray, most: IntArray, n_slots: int) -> IntArray:
    """Straight pieces of a side, so that it strays a thousandth of its length or so; more near the poles."""
    from_pole = np.minimum(most, 4 * n_slots - least)
    length = (most - least) / np.minimum(from_pole, n_slots)
    return np.clip(np.ceil(10.0 * np.sqrt(length)), 1, MOST_PIECES).astype(np.int64)


def _to_map(
    x: FloatArray, y: FloatArray, faces: IntArray, along_y: Any, n_slots: int
) -> FloatArray:
    """Longitude and latitude of places on faces, (n, 2) degrees."""
    down = RING_OF_FACE[faces] * n_slots - x - y
    from_pole = np.minimum(down, 4 * n_slots - down) / n_slots
    wide = np.minimum(from_pole, 1.0)
    across = (x - y) / n_slots
    is_pole = wide == 0.0
    # At a pole, the meridian that the side comes along.
    at_pole = np.where(along_y == (down < n_slots), 1.0, -1.0)
    across = np.where(is_pole, at_pole, across / np.where(is_pole, 1.0, wide))
    # Exactly on the meridian where a face ends.
    across = np.where(np.abs(np.abs(across) - 1.0) < 1e-12, np.sign(across), across)
    height = np.minimum((2.0 - from_pole) * (2.0 / 3.0), 1.0)
    # Near a pole the arc sine loses half of its digits.
    colatitude = 2.0 * np.arcsin(np.minimum(wide / math.sqrt(6.0), 1.0))
    latitude = np.where(from_pole < 1.0, math.pi / 2 - colatitude, np.arcsin(height))
    latitude = np.degrees(np.where(down > 2 * n_slots, -latitude, latitude))
    return np.stack([45.0 * (EIGHTH_OF_FACE[faces] + across), latitude], axis=1)


@kernel
def encode_nested(start, stop, coords, max_level, codes):
    """Write the nested number of each row; a border belongs to the cell to its east and north."""
    n_slots = float(np.int64(1) << np.int64(max_level))
    last = np.int64(n_slots) - 1
    for row in range(start, stop):
        phi = math.radians(coords[row, 0])
        z = math.sin(phi)
        turn = coords[row, 1] / 90.0
        turn = turn + 4.0 if turn < 0.0 else turn
        turn = turn - 4.0 if turn >= 4.0 else turn
        if abs(z) <= 2.0 / 3.0:
            middle = n_slots * (0.5 + turn)
            off = n_slots * (0.75 * z)
            down, up = np.int64(middle - off), np.int64(middle + off)
            face_down, face_up = down >> max_level, up >> max_level
            if face_down == face_up:
                face = 4 + (face_down & 3)
            elif face_down < face_up:
                face = face_down
            else:
                face = face_up + 8
            x, y = up & last, last - (down & last)
        else:
            quarter = min(np.int64(turn), np.int64(3))
            rest = turn - quarter
            wide = n_slots * math.cos(phi) * math.sqrt(3.0 / (1.0 + abs(z)))
            east = min(np.int64(rest * wide), last)
            west = min(np.int64((1.0 - rest) * wide), last)
            if z > 0.0:
                face, x, y = quarter, last - west, last - east
            else:
                face, x, y = quarter + 8, east, west
        morton = spread_bits_inline(np.uint64(x)) | (
            spread_bits_inline(np.uint64(y)) << np.uint64(1)
        )
        codes[row] = (np.uint64(face) << np.uint64(2 * max_level)) | morton
