"""Unions of the squares of a quadtree, in whole numbers: traced along their borders, without a geometry engine.

Of two squares that share a side one ends where the other begins; so along each line of the lattice, borders are where
more squares begin than end, or the other way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from geocells._jit import kernel
from geocells._types import BoolArray, IntArray, ObjectArray


def union_squares(
    x: IntArray, y: IntArray, sides: IntArray, owners: IntArray, n_owners: int
) -> ObjectArray:
    """Union of the squares of each owner.

    Parameters
    ----------
    x, y, sides : (n,) int64
        Lower left corner and side of each square, in leaves: a square of a quadtree starts at multiples of its side.
    owners : (n,) int64
        ``0 .. n_owners - 1``; squares of one owner don't overlap.
    n_owners : int

    Returns
    -------
    polygons : (n_owners,) object
        Valid shapely Polygon or MultiPolygon, corners alone, exterior rings counterclockwise; an empty collection for
        an owner without squares.

    Notes
    -----
    O(n log n): a sort of the squares' sides in either direction. Shapely makes the union only where a border touches
    itself in a corner, or holes lie in one of several parts.
    """
    order = np.argsort(owners, kind="stable")
    corners, owners = np.stack([x, y, x + sides, y + sides])[:, order], owners[order]
    edges = np.searchsorted(owners, np.arange(n_owners + 1))
    n_squares = np.diff(edges)
    polygons = np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    polygons[n_squares == 1] = shapely.box(*corners[:, edges[:-1][n_squares == 1]])
    is_left = n_squares > 1
    rows = np.flatnonzero(is_left[owners])
    if len(rows):
        drawn, owner_of_drawn = _traced(corners[:, rows], owners[rows])
        polygons[owner_of_drawn] = drawn
        is_left[owner_of_drawn] = False
    for owner in np.flatnonzero(is_left):
        union = shapely.union_all(shapely.box(*corners[:, edges[owner] : edges[owner + 1]]))
        polygons[owner] = shapely.orient_polygons(union)
    return polygons


def _traced(corners: IntArray, owners: IntArray) -> tuple[ObjectArray, IntArray]:
    """Unions that can be traced, and their owners; squares by left, low, right and high edge, (4, n)."""
    unit = (corners[2] - corners[0]).min()
    left, low, right, high = corners // unit
    bits = int(max(right.max(), high.max())).bit_length()
    if 2 * bits + int(owners[-1]).bit_length() + 1 > 63:  # of a key in `_corners`
        return np.empty(0, dtype=object), np.empty(0, dtype=np.int64)
    keys, is_start = _corners(left, right, low, high, owners, bits)
    across, _ = _corners(low, high, left, right, owners, bits)
    mask = (1 << bits) - 1
    owner, column, row = keys >> (2 * bits), (keys >> bits) & mask, keys & mask
    # Every corner ends one side along x and one along y, whose other end is its neighbour in order.
    turned = (
        (across & ~((1 << (2 * bits)) - 1)) | ((across & mask) << bits) | (across >> bits) & mask
    )
    place = np.argsort(turned, kind="stable")
    # Where two corners meet, the one below goes with the one on the left, or else on the right: to the same square.
    meet = np.flatnonzero(keys[1:] == keys[:-1])
    apart = meet[~is_start[meet]]
    place[apart], place[apart + 1] = place[apart + 1], place[apart]
    corner_at = np.empty_like(place)
    corner_at[place] = np.arange(len(keys))
    # The inside is on the left: a side runs down where squares begin behind it, and up where they end.
    first = np.arange(0, len(keys), 2)
    head = first + ~is_start[::2]
    order, ring = np.empty_like(first), np.empty_like(first)
    walk(corner_at[place[head] ^ 1] >> 1, order, ring)
    path = np.stack([head[order] ^ 1, head[order]], axis=1).reshape(-1)
    points = np.stack([column[path], row[path]], axis=1).astype(np.float64) * unit
    rings = shapely.linearrings(points, indices=np.repeat(ring, 2))
    owner_of_ring = owner[path[::2]][np.append(True, ring[1:] != ring[:-1])]
    ring_of_side = np.empty_like(ring)
    ring_of_side[order] = ring
    touches_itself = ring_of_side[meet >> 1] == ring_of_side[(meet + 1) >> 1]
    return _polygons(rings, owner_of_ring, owner[meet[touches_itself]])


def _corners(
    first_lines: IntArray,
    last_lines: IntArray,
    starts: IntArray,
    stops: IntArray,
    owners: IntArray,
    bits: int,
) -> tuple[IntArray, BoolArray]:
    """Ends of the borders along parallel lines, in pairs; a place where two corners meet is there twice.

    Returns
    -------
    keys : (n,) int64
        Owner, line and place on it in one number, in order.
    is_start : (n,) bool
        Whether squares begin along the border behind the place.
    """
    ends = []
    for lines, begins in ((first_lines, 1), (last_lines, 0)):
        key = ((owners << bits) | lines) << bits
        ends += [((key | starts) << 1) | begins, ((key | stops) << 1) | (1 - begins)]
    events = np.concatenate(ends)
    events.sort()
    balance = np.cumsum(2 * (events & 1) - 1)
    keys = events >> 1
    is_last = np.append(keys[1:] != keys[:-1], True)
    keys, after = keys[is_last], balance[is_last]
    n_ends = np.abs(np.diff(after, prepend=0))
    return np.repeat(keys, n_ends), np.repeat(after, n_ends) > 0


def _polygons(
    rings: ObjectArray, owner_of_ring: IntArray, left_out: IntArray
) -> tuple[ObjectArray, IntArray]:
    """Polygons of rings by owner, shells before holes; owners with several shells and holes are left out too."""
    is_shell = shapely.is_ccw(rings)
    n_shells = np.bincount(owner_of_ring[is_shell])
    has_holes = np.bincount(owner_of_ring[~is_shell], minlength=len(n_shells)) > 0
    is_simple = (n_shells <= 1) | ~has_holes
    is_simple[left_out] = False
    kept = is_simple[owner_of_ring]
    rings, owner_of_ring, is_shell = rings[kept], owner_of_ring[kept], is_shell[kept]
    parts: Any = shapely.polygons(rings, indices=np.cumsum(is_shell) - 1)
    owners, part_owner = np.unique(owner_of_ring[is_shell], return_inverse=True)
    one = n_shells[owners] == 1
    drawn = np.empty(len(owners), dtype=object)
    drawn[one] = parts[one[part_owner]]
    several = ~one[part_owner]
    if several.any():
        numbers = np.unique(part_owner[several], return_inverse=True)[1]
        drawn[~one] = shapely.multipolygons(parts[several], indices=numbers)
    return drawn, owners


@kernel
def walk(following, order, ring):
    """Write the sides one ring after the other, each ring from its first side on, and the ring of each."""
    is_seen = np.zeros(following.size, dtype=np.bool_)
    place = 0
    n_rings = 0
    for first in range(following.size):
        side = first
        if is_seen[side]:
            continue
        while not is_seen[side]:
            is_seen[side] = True
            order[place], ring[place] = side, n_rings
            place += 1
            side = following[side]
        n_rings += 1
