"""Outlines of S2 cells on a map of longitude and latitude.

Cells are squares on the six faces of a cube, and unions of them are taken there, in whole numbers. Only the corners of
the unions, with points between them where a side is curved, are brought to the map. Three properties make that safe:

- every corner of any cell of the call that lies on another's side is a point of that side too, so neighbours of
  different sizes share their border point by point;
- the antimeridian and the meridians through the poles' faces are grid lines, so cutting there takes no geometry: faces
  are sorted into an eastern and a western half;
- a corner at a pole is the stretch of the map's upper or lower edge between the two meridians that meet there.
"""

from __future__ import annotations

import numpy as np
import shapely

from geocells._types import IntArray, ObjectArray
from geocells.grids import _s2_outline_kernels

SIZE = 1 << 30
HALF = SIZE >> 1
RELATIVE = 1e-3
FINEST = 2e-9
"""A hundredth of a metre or so, in radians: outlines are never drawn closer."""


def outlines(
    faces: IntArray,
    i: IntArray,
    j: IntArray,
    sides: IntArray,
    owners: IntArray,
    n_owners: int,
    *,
    finest: float = np.inf,
) -> ObjectArray:
    """Polygon of each union of cells.

    Parameters
    ----------
    faces, i, j, sides : (n,) int64
        Face, lower corner and side of each cell, in level-30 leaves.
    owners : (n,) int64
        The union that each cell belongs to, ``0 .. n_owners - 1``. Cells of one union don't overlap.
    n_owners : int
        Number of unions.
    finest : float
        Most radians that a drawn side may stray from the true one; it never strays more than a thousandth of its
        length.

    Returns
    -------
    polygons : (n_owners,) object
        Valid shapely Polygon or MultiPolygon in (longitude, latitude) degrees, cut at the antimeridian, an empty
        collection for a union without cells.

    Notes
    -----
    O(n log n), nearly all of it shapely's union of squares.
    """
    if len(faces) == 0:
        return np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    faces, i, j, sides, owners = _in_halves(faces, i, j, sides, owners)
    east = np.where(faces == 5, i >= HALF, j < HALF)
    order = np.lexsort((east, faces, owners))
    faces, i, j, sides, owners, east = (
        values[order] for values in (faces, i, j, sides, owners, east)
    )
    # On the faces that the antimeridian does not meet, the halves need no cutting.
    cut = np.isin(faces, (2, 3, 5))
    new = np.ones(len(faces), dtype=bool)
    new[1:] = (
        (owners[1:] != owners[:-1])
        | (faces[1:] != faces[:-1])
        | ((east[1:] != east[:-1]) & cut[1:])
    )
    first = np.flatnonzero(new)
    edges = np.append(first, len(faces))
    squares = shapely.box(i, j, i + sides, j + sides)
    parts = squares[first]
    for part in np.flatnonzero(np.diff(edges) > 1):
        parts[part] = shapely.union_all(squares[edges[part] : edges[part + 1]])
    pieces, part_of_piece = shapely.get_parts(parts, return_index=True)
    drawn = _draw(pieces, faces[first][part_of_piece], east[first][part_of_piece], finest)
    return _assemble(drawn, owners[first][part_of_piece], part_of_piece, n_owners)


def _in_halves(
    faces: IntArray, i: IntArray, j: IntArray, sides: IntArray, owners: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Cut whole faces that the antimeridian crosses into their four quadrants."""
    whole = np.flatnonzero((sides == SIZE) & np.isin(faces, (2, 3, 5)))
    if len(whole) == 0:
        return faces, i, j, sides, owners
    kept = np.setdiff1d(np.arange(len(faces)), whole)
    rows = np.concatenate([kept, np.repeat(whole, 4)])
    shift_i = np.concatenate(
        [np.zeros(len(kept), np.int64), np.tile([0, 0, HALF, HALF], len(whole))]
    )
    shift_j = np.concatenate(
        [np.zeros(len(kept), np.int64), np.tile([0, HALF, 0, HALF], len(whole))]
    )
    sides = sides.copy()
    sides[whole] = HALF
    return faces[rows], i[rows] + shift_i, j[rows] + shift_j, sides[rows], owners[rows]


def on_cube(faces: IntArray, i: IntArray, j: IntArray) -> IntArray:
    """Points of the cube, (n, 3) in leaves from -2^30 to 2^30, of positions on its faces."""
    a, b = 2 * i - SIZE, 2 * j - SIZE
    end = np.full_like(a, SIZE)
    choices = [
        (end, a, b),
        (-a, end, b),
        (-a, -b, end),
        (-end, -b, -a),
        (b, -end, -a),
        (b, a, -end),
    ]
    return np.stack(
        [np.choose(faces, [choice[axis] for choice in choices]) for axis in range(3)], axis=1
    )


def _draw(pieces: ObjectArray, faces: IntArray, east: IntArray, finest: float) -> ObjectArray:
    """Bring polygons of axis-parallel sides on the cube's faces to the map."""
    rings, piece_of_ring = shapely.get_rings(pieces, return_index=True)
    vertices, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    ij, ring_of_corner = _corners(vertices.astype(np.int64), ring_of_vertex)
    following, previous = _neighbours(ring_of_corner)
    piece = piece_of_ring[ring_of_corner]
    corners = on_cube(faces[piece], ij[:, 0], ij[:, 1])
    axes = np.argmax(corners != corners[following], axis=1)
    first, last, positions = _corners_between(corners, following, axes)
    longitudes, latitudes, counts = _s2_outline_kernels.trace(
        corners.astype(np.float64),
        previous,
        following,
        axes,
        first,
        last,
        positions.astype(np.float64),
        np.where(east[piece], 1.0, -1.0),
        RELATIVE,
        max(float(finest), FINEST),
    )
    drawn_rings = shapely.linearrings(
        longitudes, latitudes, indices=np.repeat(ring_of_corner, counts)
    )
    drawn: ObjectArray = shapely.polygons(drawn_rings, indices=piece_of_ring)
    return drawn


def _neighbours(ring_of_corner: IntArray) -> tuple[IntArray, IntArray]:
    """Row of the next and of the previous corner of the same ring."""
    n_corners = len(ring_of_corner)
    starts = np.flatnonzero(np.append(True, ring_of_corner[1:] != ring_of_corner[:-1]))
    stops = np.append(starts[1:], n_corners) - 1
    following, previous = np.arange(1, n_corners + 1), np.arange(-1, n_corners - 1)
    following[stops], previous[starts] = starts, stops
    return following, previous


def _corners(ij: IntArray, ring: IntArray) -> tuple[IntArray, IntArray]:
    """Drop each ring's repeated last point, and points at which it does not turn."""
    kept = np.append(ring[1:] == ring[:-1], False)
    ij, ring = ij[kept], ring[kept]
    following, previous = _neighbours(ring)
    along_i = ij[:, 1] == ij[following, 1]
    turns = along_i != along_i[previous]
    return ij[turns], ring[turns]


def _corners_between(
    corners: IntArray, following: IntArray, axes: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Positions, along each side, of the corners of any cell that lie on it.

    Returns
    -------
    first, last : (n_sides,) int64
        Side e has ``positions[first[e]:last[e]]`` strictly between its ends.
    positions : (n,) int64
    """
    # The poles count as corners.
    points = np.unique(np.vstack([corners, [[0, 0, SIZE], [0, 0, -SIZE]]]), axis=0)
    first, last = np.zeros(len(axes), np.int64), np.zeros(len(axes), np.int64)
    all_positions, n_before = [], 0
    for axis in range(3):
        sides = np.flatnonzero(axes == axis)
        one, other = (k for k in range(3) if k != axis)
        line = ((points[:, one] + SIZE) << 32) | (points[:, other] + SIZE)
        line_of_side = ((corners[sides, one] + SIZE) << 32) | (corners[sides, other] + SIZE)
        lines, number = np.unique(line, return_inverse=True)
        # Few lines, so that their number and a position fit one word.
        keys = (number.astype(np.int64) << 32) | (points[:, axis] + SIZE)
        keys.sort()
        base = np.searchsorted(lines, line_of_side).astype(np.int64) << 32
        ends = np.stack([corners[sides, axis], corners[following[sides], axis]]) + SIZE
        first[sides] = n_before + np.searchsorted(keys, base | ends.min(axis=0), side="right")
        last[sides] = n_before + np.searchsorted(keys, base | ends.max(axis=0), side="left")
        all_positions.append((keys & 0xFFFFFFFF) - SIZE)
        n_before += len(keys)
    return first, last, np.concatenate(all_positions)


def _assemble(
    drawn: ObjectArray, owner_of_piece: IntArray, part_of_piece: IntArray, n_owners: int
) -> ObjectArray:
    """One polygon an owner; parts that meet at a face's border or at Greenwich over a pole are joined."""
    edges = np.searchsorted(owner_of_piece, np.arange(n_owners + 1))
    polygons = np.empty(n_owners, dtype=object)
    for owner in range(n_owners):
        start, stop = edges[owner], edges[owner + 1]
        if stop - start == 1:
            polygons[owner] = drawn[start]
        elif stop == start or part_of_piece[start] != part_of_piece[stop - 1]:
            polygons[owner] = shapely.union_all(drawn[start:stop])
        else:
            polygons[owner] = shapely.MultiPolygon(list(drawn[start:stop]))
    broken = np.flatnonzero(~shapely.is_valid(polygons))
    polygons[broken] = shapely.make_valid(
        polygons[broken], method="structure", keep_collapsed=False
    )
    return polygons
