"""Slow, obvious twin of the S2 grid, written from the definition with plain Python numbers.

The Hilbert curve is walked one level at a time as four rotated copies of itself; no tables. Nothing here imports
geocells or s2sphere.
"""

from __future__ import annotations

import math

from naive import morton

LEVELS = 30
SIZE = 1 << LEVELS


def cube_face(x: float, y: float, z: float) -> tuple[int, float, float]:
    """Face that a ray from the centre meets, and where, in [-1, 1]; on a border the later axis wins."""
    longest = max(abs(x), abs(y), abs(z))
    if abs(z) == longest:
        return (2, -x / z, -y / z) if z > 0 else (5, -y / z, -x / z)
    if abs(y) == longest:
        return (1, -x / y, z / y) if y > 0 else (4, z / y, -x / y)
    return (0, y / x, z / x) if x > 0 else (3, z / x, y / x)


def leaf_number(u: float) -> int:
    """Leaf along one side of a face, by the quadratic transform s(u)."""
    s = 0.5 * math.sqrt(1 + 3 * u) if u >= 0 else 1 - 0.5 * math.sqrt(1 - 3 * u)
    return max(0, min(SIZE - 1, math.floor(SIZE * s)))


def face_and_leaf(latitude: float, longitude: float) -> tuple[int, int, int]:
    """Face, i, j of a coordinate in degrees."""
    if longitude == 180.0:
        longitude = -180.0
    phi, theta = math.radians(latitude), math.radians(longitude)
    x = math.cos(theta) * math.cos(phi)
    y = math.sin(theta) * math.cos(phi)
    face, u, v = cube_face(x, y, math.sin(phi))
    return face, leaf_number(u), leaf_number(v)


def hilbert_place(face: int, i: int, j: int, levels: int) -> int:
    """Place of (i, j), numbers of ``levels`` bits, along the curve of a face.

    The plain curve visits the quadrants (0, 0), (0, 1), (1, 1), (1, 0). In the first the copy is mirrored on the
    diagonal, in the last on the other diagonal. Odd faces start mirrored.
    """
    if face % 2:
        i, j = j, i
    place = 0
    for level in range(levels - 1, -1, -1):
        half = 1 << level
        top_i, top_j = i >> level, j >> level
        visit = [(0, 0), (0, 1), (1, 1), (1, 0)].index((top_i, top_j))
        place = 4 * place + visit
        i, j = i % half, j % half
        if visit == 0:
            i, j = j, i
        elif visit == 3:
            i, j = half - 1 - j, half - 1 - i
    return place


def encode(latitude: float, longitude: float, level: int) -> int:
    """Leaf code at a level: the face's number, then the place on its curve."""
    face, i, j = face_and_leaf(latitude, longitude)
    shift = LEVELS - level
    return face * 4**level + hilbert_place(face, i >> shift, j >> shift, level)


def to_morton(code: int, level: int) -> int:
    """Face's number, then the bits of i and j in turn, found by walking the whole curve of a small grid."""
    face, place = divmod(code, 4**level)
    for i in range(2**level):
        for j in range(2**level):
            if hilbert_place(face, i, j, level) == place:
                return face * 4**level + morton(i, j)
    raise AssertionError(code)
