"""Unions of the squares of a quadtree, in whole numbers: traced along their borders, without a geometry engine.

Of two squares that share a side one ends where the other begins; so along each line of the lattice, borders are where
more squares begin than end, or the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import shapely

from geocells.array_types import BoolArray, FloatArray, IntArray, ObjectArray
from geocells.jit import kernel


class Rings(NamedTuple):
    """Borders in leaves: each turns by a right angle at every corner, the inside on its left.

    Attributes
    ----------
    corners : (n, 2) int64
        x and y of each corner, ring by ring, none twice.
    ring : (n,) int64
        The ring of each, ``0 .. n_rings - 1`` in order.
    owners : (n_rings,) int64
    is_shell : (n_rings,) bool
        Whether it is around its owner, or a hole in it.
    """

    corners: IntArray
    ring: IntArray
    owners: IntArray
    is_shell: BoolArray


def union_squares(
    x: IntArray,
    y: IntArray,
    sides: IntArray,
    owners: IntArray,
    n_owners: int,
    draw: Callable[[Rings], tuple[FloatArray, IntArray]],
) -> ObjectArray:
    """Union of the squares of each owner.

    Parameters
    ----------
    x, y, sides : (n,) int64
        Lower left corner and side of each square, in leaves: a square of a quadtree starts at multiples of its side.
    owners : (n,) int64
        ``0 .. n_owners - 1``; squares of one owner don't overlap.
    n_owners : int
    draw : callable
        From rings to their points on the map, (m, 2) float64, and the ring of each.

    Returns
    -------
    polygons : (n_owners,) object
        Valid shapely Polygon or MultiPolygon; an empty collection for an owner without squares.

    Notes
    -----
    O(n log n): a sort of the squares' sides in either direction, but for squares that fill a rectangle.
    """
    if not len(owners):
        return np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    order = np.argsort(owners, kind="stable")
    edges, owners = np.stack([x, y, x + sides, y + sides])[:, order], owners[order]
    first = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
    low = np.minimum.reduceat(edges[:2], first, axis=1)
    high = np.maximum.reduceat(edges[2:], first, axis=1)
    is_filled = np.add.reduceat(sides[order] ** 2, first) == np.prod(high - low, axis=0)
    boxes = np.concatenate([low, high])
    filled = _rectangles(boxes[:, is_filled], owners[first[is_filled]])
    rows = np.flatnonzero(np.repeat(~is_filled, np.diff(first, append=len(owners))))
    rings = _joined(filled, _traced(edges[:, rows], owners[rows])) if len(rows) else filled
    points, ring_of_point = draw(rings)
    drawn: Any = shapely.linearrings(points, indices=ring_of_point)
    return _polygons(drawn, rings, n_owners)


def _rectangles(edges: IntArray, owners: IntArray) -> Rings:
    corners = edges[[0, 1, 2, 1, 2, 3, 0, 3]].T.reshape(-1, 2)
    return Rings(corners, np.arange(len(corners)) // 4, owners, np.ones(len(owners), dtype=bool))


def _joined(some: Rings, more: Rings) -> Rings:
    more = more._replace(ring=more.ring + len(some.owners))
    return Rings(*(np.concatenate(both) for both in zip(some, more, strict=True)))


def _traced(edges: IntArray, owners: IntArray) -> Rings:
    """Borders of squares by left, low, right and high edge, (4, n), in the order of their owners."""
    lines, line_of_edge = np.unique(edges, return_inverse=True)
    left, low, right, high = line_of_edge.reshape(edges.shape)
    bits = len(lines).bit_length()
    keys, is_start = _corners(left, right, low, high, owners, bits)
    across, _ = _corners(low, high, left, right, owners, bits)
    mask = (1 << bits) - 1
    # Every corner ends one side along x and one along y, whose other end is its neighbour in order.
    turned = (
        (across & ~((1 << (2 * bits)) - 1)) | ((across & mask) << bits) | (across >> bits) & mask
    )
    place = np.argsort(turned, kind="stable")
    # Where two corners meet, the one below goes with the one on the left, or else on the right: to the same square.
    meet = np.flatnonzero(keys[1:] == keys[:-1])
    _swap(place, meet[~is_start[meet]])
    # The inside is on the left: a side runs down where squares begin behind it, and up where they end.
    head = np.arange(0, len(keys), 2) + ~is_start[::2]
    order, ring = _walked(place, head)
    ring_of_side = np.empty_like(ring)
    ring_of_side[order] = ring
    itself = meet[ring_of_side[meet >> 1] == ring_of_side[(meet + 1) >> 1]]
    if len(itself):
        # Rings that meet themselves are parted there. What they enclose stays in one piece: it holds together by sides.
        _swap(place, itself)
        order, ring = _walked(place, head)
    path = np.stack([head[order] ^ 1, head[order]], axis=1).reshape(-1)
    corners = lines[np.stack([keys[path] >> bits, keys[path]], axis=1) & mask]
    # A ring's first side is its leftmost, behind which squares begin if it is a shell.
    side = order[np.append(True, ring[1:] != ring[:-1])]
    return Rings(corners, np.repeat(ring, 2), keys[2 * side] >> (2 * bits), is_start[2 * side])


def _swap(values: IntArray, places: IntArray) -> None:
    """Swap each of the places with the one behind it."""
    values[places], values[places + 1] = values[places + 1], values[places]


def _walked(place: IntArray, head: IntArray) -> tuple[IntArray, IntArray]:
    """Sides one ring after the other, and the ring of each."""
    corner_at = np.empty_like(place)
    corner_at[place] = np.arange(len(place))
    order, ring = np.empty_like(head), np.empty_like(head)
    walk(corner_at[place[head] ^ 1] >> 1, order, ring)
    return order, ring


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


def _polygons(drawn: ObjectArray, rings: Rings, n_owners: int) -> ObjectArray:
    """Polygons of rings by owner."""
    shell = np.flatnonzero(rings.is_shell)
    shell = shell[np.argsort(rings.owners[shell], kind="stable")]
    owners = rings.owners[shell]
    n_shells = np.bincount(owners, minlength=n_owners)
    part, part_of_shell = drawn[shell], np.arange(len(shell))
    hole = np.flatnonzero(~rings.is_shell)
    if len(hole):
        part_of_hole = np.searchsorted(owners, rings.owners[hole])
        several = np.flatnonzero(n_shells[owners] > 1)
        choice = np.flatnonzero(n_shells[rings.owners[hole]] > 1)
        filled: Any = shapely.polygons(part[several])
        inner: Any = shapely.polygons(drawn[hole[choice]])
        one, other = shapely.STRtree(filled).query(inner, predicate="covered_by")
        same = rings.owners[hole[choice[one]]] == owners[several[other]]
        one, other = one[same], other[same]
        # Of its owner's shells around a hole the smallest is its own.
        by_size = np.argsort(-shapely.area(filled[other]), kind="stable")
        part_of_hole[choice[one[by_size]]] = several[other[by_size]]
        numbers = np.append(part_of_shell, part_of_hole)
        order = np.argsort(numbers, kind="stable")
        part, part_of_shell = np.append(part, drawn[hole])[order], numbers[order]
    parts: Any = shapely.polygons(part, indices=part_of_shell)
    polygons = np.full(n_owners, shapely.GeometryCollection(), dtype=object)
    is_one = n_shells[owners] == 1
    polygons[owners[is_one]] = parts[is_one]
    if not is_one.all():
        several, number = np.unique(owners[~is_one], return_inverse=True)
        polygons[several] = shapely.multipolygons(parts[~is_one], indices=number)
    return polygons


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
