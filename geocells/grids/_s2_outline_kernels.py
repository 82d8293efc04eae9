"""Compiled loop that draws the outlines of S2 cells on the map.

Points are given on the cube around the globe in *leaves*: ``(X, Y, Z)``, each in ``-2^30 .. 2^30``, at least one of
them at an end. A side of a cell runs along one axis of the cube. Faces that meet name a point of their common edge by
the same three numbers, and so draw it at the same place to the last bit.
"""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

HALF = 1 << 30
DEGREES = 180.0 / math.pi
MAX_DEPTH = 20


@inline_kernel
def unstretch(leaves):
    """From a position in leaves to one on the cube [-1, 1]: S2's quadratic transform, an odd function."""
    s = 0.5 + abs(leaves) * (0.5 / HALF)
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
