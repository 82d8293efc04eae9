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

import math
from functools import partial

import numpy as np
import shapely

from geocells.array_types import BoolArray, FloatArray, IntArray, ObjectArray
from geocells.grids._square_unions import Rings, union_squares
from geocells.jit import inline_kernel, kernel

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
    O(n log n).
    """
    if len(faces) == 0:
        return np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    faces, i, j, sides, owners = _in_halves(faces, i, j, sides, owners)
    # On the faces that the antimeridian does not meet, the halves need no cutting.
    east = np.where(faces == 5, i >= HALF, j < HALF) & np.isin(faces, (2, 3, 5))
    parts, part_of_cell = np.unique((owners * 6 + faces) * 2 + east, return_inverse=True)
    draw = partial(_draw, faces=parts // 2 % 6, is_east=parts % 2 == 1, finest=finest)
    drawn = union_squares(i, j, sides, part_of_cell, len(parts), draw)
    return assemble(drawn, parts // 12, n_owners)


def _in_halves(
    faces: IntArray, i: IntArray, j: IntArray, sides: IntArray, owners: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Cut whole faces that the antimeridian crosses into their four quadrants."""
    is_whole = (sides == SIZE) & np.isin(faces, (2, 3, 5))
    kept, whole = np.flatnonzero(~is_whole), np.flatnonzero(is_whole)
    rows = np.concatenate([kept, np.repeat(whole, 4)])
    quarter = np.concatenate([np.zeros_like(kept), np.tile(np.arange(4), len(whole))])
    i, j = i[rows] + HALF * (quarter >> 1), j[rows] + HALF * (quarter & 1)
    return faces[rows], i, j, np.where(is_whole, HALF, sides)[rows], owners[rows]


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


def _draw(
    rings: Rings, faces: IntArray, is_east: BoolArray, finest: float
) -> tuple[FloatArray, IntArray]:
    """Bring rings on the cube's faces to the map: their points, and the ring of each."""
    owners = rings.owners[rings.ring]
    following, previous = neighbours(rings.ring)
    corners = on_cube(faces[owners], *rings.corners.T)
    axes = np.argmax(corners != corners[following], axis=1)
    first, last, positions = _corners_between(corners, following, axes)
    longitudes, latitudes, counts = trace(
        corners.astype(np.float64),
        previous,
        following,
        axes,
        first,
        last,
        positions.astype(np.float64),
        np.where(is_east[owners], 1.0, -1.0),
        RELATIVE,
        max(float(finest), FINEST),
    )
    return np.stack([longitudes, latitudes], axis=1), np.repeat(rings.ring, counts)


def neighbours(ring_of_corner: IntArray) -> tuple[IntArray, IntArray]:
    """Row of the next and of the previous corner of the same ring."""
    n_corners = len(ring_of_corner)
    starts = np.flatnonzero(np.append(True, ring_of_corner[1:] != ring_of_corner[:-1]))
    stops = np.append(starts[1:], n_corners) - 1
    following, previous = np.arange(1, n_corners + 1), np.arange(-1, n_corners - 1)
    following[stops], previous[starts] = starts, stops
    return following, previous


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
    points = np.vstack([corners, [[0, 0, SIZE], [0, 0, -SIZE]]])
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
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        base = np.searchsorted(lines, line_of_side).astype(np.int64) << 32
        ends = np.stack([corners[sides, axis], corners[following[sides], axis]]) + SIZE
        first[sides] = n_before + np.searchsorted(keys, base | ends.min(axis=0), side="right")
        last[sides] = n_before + np.searchsorted(keys, base | ends.max(axis=0), side="left")
        all_positions.append((keys & 0xFFFFFFFF) - SIZE)
        n_before += len(keys)
    return first, last, np.concatenate(all_positions)


def assemble(parts: ObjectArray, owners: IntArray, n_owners: int) -> ObjectArray:
    """One polygon an owner, of its parts in order: they may meet at a face's border, or at Greenwich over a pole."""
    edges = np.searchsorted(owners, np.arange(n_owners + 1))
    n_parts = np.diff(edges)
    polygons = np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    polygons[n_parts == 1] = parts[edges[:-1][n_parts == 1]]
    for owner in np.flatnonzero(n_parts > 1):
        polygons[owner] = shapely.union_all(parts[edges[owner] : edges[owner + 1]])
    broken = np.flatnonzero(~shapely.is_valid(polygons))
    polygons[broken] = shapely.make_valid(
        polygons[broken], method="structure", keep_collapsed=False
    )
    return polygons


DEGREES = 180.0 / math.pi
MAX_DEPTH = 20


@inline_kernel
def unstretch(leaves):
    """From a position in leaves to one on the cube [-1, 1]: S2's quadratic transform, an odd function."""
    s = 0.5 + abs(leaves) * (0.5 / SIZE)
    u = (1.0 / 3.0) * (4.0 * s * s - 1.0)
    return u if leaves >= 0 else -u


@inline_kernel
def project(x, y, z, side):
    """Longitude and latitude, in radians, of a point in leaves; the antimeridian is written as ``side * pi``."""
    u = unstretch(x)
    v = unstretch(y)
    w = unstretch(z)
    longitude = math.atan2(v, u) if v != 0.0 else (0.0 if u >= 0.0 else side * math.pi)
    return longitude, math.atan2(w, math.sqrt(u * u + v * v))


@inline_kernel
def deviation(x, y, z, axis, low, high, place):
    """How far, in radians, a straight line on the map strays from the side between two positions.

    Longitudes count by the cosine of the middle's latitude. ``place`` is room for (5, 2) numbers.
    """
    east = 0.5 * (low + high) if axis == 1 else y
    side = 1.0 if east > 0.0 else -1.0
    for quarter in range(5):
        position = low + 0.25 * quarter * (high - low)
        place[quarter, 0], place[quarter, 1] = project(
            position if axis == 0 else x,
            position if axis == 1 else y,
            position if axis == 2 else z,
            side,
        )
    shrink = math.cos(0.5 * (place[0, 1] + place[4, 1]))
    dx = (place[4, 0] - place[0, 0]) * shrink
    dy = place[4, 1] - place[0, 1]
    length = math.sqrt(dx * dx + dy * dy)
    worst = 0.0
    for quarter in range(1, 4):
        off_x = (place[quarter, 0] - place[0, 0]) * shrink
        off_y = place[quarter, 1] - place[0, 1]
        worst = max(worst, abs(off_x * dy - off_y * dx))
    return worst / length if length > 0.0 else 0.0


@inline_kernel
def arc(x, y, z, axis, low, high):
    """Angle in radians between two positions of a side, seen from the centre of the earth."""
    low = unstretch(low)
    high = unstretch(high)
    # The other two coordinates: one is an end of the cube.
    u = unstretch(y if axis == 0 else x)
    v = unstretch(y if axis == 2 else z)
    rest = u * u + v * v
    return math.atan2((high - low) * math.sqrt(rest), rest + low * high)


@inline_kernel
def is_meridian(x, y, axis):
    """Whether a side runs along a meridian; a straight line on the map draws it exactly."""
    return axis == 2 or (axis == 0 and y == 0) or (axis == 1 and x == 0)


@kernel
def trace(corners, previous, following, axes, first, last, positions, sides, relative, absolute):
    """Longitudes and latitudes (degrees) of the points along every side, and how many belong to each.

    Side e goes from ``corners[e]`` to ``corners[following[e]]`` along axis ``axes[e]``; ``positions[first[e]:last[e]]``
    are the places between at which other cells have corners. Each piece between two such places is halved until no
    part strays farther from its straight line than ``relative`` times the piece or ``absolute`` radians. Both cells at
    a piece cut it alike, since they start from its lower end. A pole is drawn as the stretch of the map's edge between
    the meridians that meet there.
    """
    n_sides = axes.size
    counts = np.empty(n_sides, dtype=np.int64)
    longitudes = [0.0]
    latitudes = [0.0]
    cuts = [0.0]
    room = np.empty((5, 2))
    stack_low = np.empty(MAX_DEPTH + 4)
    stack_high = np.empty(MAX_DEPTH + 4)
    stack_depth = np.empty(MAX_DEPTH + 4, dtype=np.int64)
    for e in range(n_sides):
        n_before = len(longitudes)
        axis, side, end, came = axes[e], sides[e], following[e], previous[e]
        x, y, z = corners[e, 0], corners[e, 1], corners[e, 2]
        start_position, end_position = corners[e, axis], corners[end, axis]
        low = min(start_position, end_position)
        straight = is_meridian(x, y, axis)
        # Where to cut, in rising order; the last cut is the upper end.
        cuts.clear()
        for place in range(first[e], last[e] + 1):
            high = positions[place] if place < last[e] else max(start_position, end_position)
            tolerance = min(absolute, relative * arc(x, y, z, axis, low, high))
            stack_low[0], stack_high[0], stack_depth[0] = low, high, 0
            height = 1
            while height > 0:
                height -= 1
                a, b, depth = stack_low[height], stack_high[height], stack_depth[height]
                whole = straight or depth >= MAX_DEPTH
                if whole or deviation(x, y, z, axis, a, b, room) <= tolerance:
                    cuts.append(b)
                    continue
                middle = 0.5 * (a + b)
                stack_low[height], stack_high[height] = middle, b
                stack_low[height + 1], stack_high[height + 1] = a, middle
                stack_depth[height] = stack_depth[height + 1] = depth + 1
                height += 2
            low = high
        n_cuts = len(cuts) - 1
        for place in range(-1, n_cuts):
            position = start_position
            if place >= 0:
                position = cuts[place if end_position > start_position else n_cuts - 1 - place]
            px = position if axis == 0 else x
            py = position if axis == 1 else y
            pz = position if axis == 2 else z
            if px != 0.0 or py != 0.0:
                longitude, latitude = project(px, py, pz, side)
                longitudes.append(longitude * DEGREES)
                latitudes.append(latitude * DEGREES)
                continue
            # A pole: the meridians of the corners before and behind it.
            for corner in (came if place < 0 else e, end):
                longitude, _ = project(corners[corner, 0], corners[corner, 1], pz, side)
                longitudes.append(longitude * DEGREES)
                latitudes.append(90.0 if pz > 0.0 else -90.0)
        counts[e] = len(longitudes) - n_before
    return np.array(longitudes)[1:], np.array(latitudes)[1:], counts
