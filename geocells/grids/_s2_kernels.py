"""Compiled loops of the S2 grid: cube faces, the Hilbert curve, outlines of cells.

Written from the published definition of S2 cells: a point is projected from the sphere onto the cube ``[-1, 1]^3``
around it, each face ``(u, v)`` is stretched to ``(s, t)`` in ``[0, 1]^2`` by S2's quadratic transform so that cells
have similar areas, and ``(i, j) = floor(2^30 (s, t))`` is numbered along a Hilbert curve.
"""

import math

import numpy as np

from geocells.grids.base import gather_bits_inline, spread_bits_inline
from geocells.jit import inline_kernel, kernel
from geocells.sphere.means import sincos_degrees

LEVELS = 30
SIZE = 1 << LEVELS
RADIANS = math.pi / 180.0

SWAPPED = 1
INVERTED = 2
# Quadrant (i's bit above j's) that the curve visits first, second, third, fourth, for each orientation of the curve;
# and how the curve inside each of the four is turned.
QUADRANT_OF_VISIT = ((0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 0, 1), (3, 1, 0, 2))
TURN_OF_VISIT = (SWAPPED, 0, 0, INVERTED | SWAPPED)

# Five levels a step: six steps make thirty levels, and a table of 8 kB stays in the first cache.
STEP = 5
N_STEPS = LEVELS // STEP
STEP_MASK = (1 << STEP) - 1
PLACE_MASK = (1 << (2 * STEP)) - 1


def _tables():
    """Tables over (orientation, five bits of i, five of j) and over (orientation, ten bits of the curve's place).

    An entry is the other side's ten bits, above the two of the orientation that comes next.
    """
    place_of_ij = np.empty(4 << (2 * STEP), dtype=np.uint16)
    ij_of_place = np.empty(4 << (2 * STEP), dtype=np.uint16)
    for first in range(4):
        for place in range(1 << (2 * STEP)):
            orientation, i, j = first, 0, 0
            for level in range(STEP - 1, -1, -1):
                visit = (place >> (2 * level)) & 3
                quadrant = QUADRANT_OF_VISIT[orientation][visit]
                i = (i << 1) | (quadrant >> 1)
                j = (j << 1) | (quadrant & 1)
                orientation ^= TURN_OF_VISIT[visit]
            ij = (i << STEP) | j
            place_of_ij[(first << (2 * STEP)) | ij] = (place << 2) | orientation
            ij_of_place[(first << (2 * STEP)) | place] = (ij << 2) | orientation
    return place_of_ij, ij_of_place


PLACE_OF_IJ, IJ_OF_PLACE = _tables()

CHUNK = 512
"""Rows handled at a time: what is known of them stays in the first-level cache."""

# A leaf is 2^-30 of a face wide. `sincos_degrees` is off by 2e-14 at most, and so s by 1e-13, 1e-4 of a leaf.
SURE_LEAVES = 2e-4
SURE_FACE = 1e-12


@inline_kernel
def hilbert_place(face, i, j):
    """Place of leaf (i, j) on the Hilbert curve of a face, 60 bits."""
    bits = np.int64(face & SWAPPED)
    place = np.int64(0)
    for step in range(N_STEPS - 1, -1, -1):
        ij = (((i >> (step * STEP)) & STEP_MASK) << STEP) | ((j >> (step * STEP)) & STEP_MASK)
        entry = np.int64(PLACE_OF_IJ[((bits & 3) << (2 * STEP)) | ij])
        place = (place << (2 * STEP)) | (entry >> 2)
        bits = entry
    return place


@inline_kernel
def leaf_of_place(face, place):
    """Leaf (i, j) at a place of the Hilbert curve; undoes `hilbert_place`."""
    bits = np.int64(face & SWAPPED)
    i = np.int64(0)
    j = np.int64(0)
    for step in range(N_STEPS - 1, -1, -1):
        part = (place >> (2 * STEP * step)) & PLACE_MASK
        entry = np.int64(IJ_OF_PLACE[((bits & 3) << (2 * STEP)) | part])
        i = (i << STEP) | (entry >> (STEP + 2))
        j = (j << STEP) | ((entry >> 2) & STEP_MASK)
        bits = entry
    return i, j


@inline_kernel
def stretch(u):
    """S2's quadratic transform from u in [-1, 1] to s in [0, 1]."""
    if u >= 0.0:
        return 0.5 * math.sqrt(1.0 + 3.0 * u)
    return 1.0 - 0.5 * math.sqrt(1.0 - 3.0 * u)


@inline_kernel
def to_leaf(s):
    """Leaf number along one side of a face."""
    return min(max(np.int64(math.floor(SIZE * s)), np.int64(0)), np.int64(SIZE - 1))


@inline_kernel
def leaf_by_the_book(latitude, longitude):
    """Face and leaf (i, j), rounded where S2 rounds, with the C library's sine and cosine."""
    phi = latitude * RADIANS
    theta = longitude * RADIANS
    cos_phi = math.cos(phi)
    x = math.cos(theta) * cos_phi
    y = math.sin(theta) * cos_phi
    z = math.sin(phi)
    axis = 0 if abs(x) > abs(y) else 1
    if abs(z) >= max(abs(x), abs(y)):
        axis = 2
    if axis == 0:
        u, v, w = y, z, x
    elif axis == 1:
        u, v, w = -x, z, y
    else:
        u, v, w = -x, -y, z
    face = axis
    if w < 0.0:
        face = axis + 3
        u, v = v, u
    return face, to_leaf(stretch(u / w)), to_leaf(stretch(v / w))


@kernel
def encode(start, stop, coords, shift, codes):
    """Write face and Hilbert place (3 + 60 bits, less the last ``shift``) of each row; longitude +180 counts as -180.

    A first loop, which the compiler can lay out for vector instructions, finds ``2^30 s`` to within 1e-4 leaves. Where
    that leaves a doubt (nearer than 2e-4 leaves to a border, about 1 row in 1200) the row is done again by the book. So
    every code is the reference's, and few rows pay for the C library.
    """
    # One dimension, so that the compiler knows the stride.
    flat = coords.reshape(-1)
    along = np.empty(CHUNK)
    across = np.empty(CHUNK)
    faces = np.empty(CHUNK)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        chunk = flat[2 * first : 2 * last]
        chunk_codes = codes[first:last]
        for k in range(chunk_codes.size):
            sin_latitude, cos_latitude = sincos_degrees(chunk[2 * k])
            sin_longitude, cos_longitude = sincos_degrees(chunk[2 * k + 1])
            x = cos_latitude * cos_longitude
            y = cos_latitude * sin_longitude
            z = sin_latitude
            ax = abs(x)
            ay = abs(y)
            az = abs(z)
            larger = max(ax, ay)
            smaller = min(ax, ay)
            # Choices are made by multiplying with 0 or 1: a branch would keep the compiler from using vectors.
            on_x = np.float64(ax > ay)
            on_z = np.float64(az >= larger)
            off_z = 1.0 - on_z
            w = on_x * x + (1.0 - on_x) * y
            u = on_x * y - (1.0 - on_x) * x
            w = on_z * z + off_z * w
            u = off_z * u - on_z * x
            v = off_z * z - on_z * y
            front = np.float64(w > 0.0)
            back = 1.0 - front
            inverse = 1.0 / w
            u, v = (front * u + back * v) * inverse, (front * v + back * u) * inverse
            sign = 2.0 * np.float64(u >= 0.0) - 1.0
            half = 0.5 * math.sqrt(1.0 + 3.0 * abs(u))
            along[k] = SIZE * (0.5 + sign * (half - 0.5))
            sign = 2.0 * np.float64(v >= 0.0) - 1.0
            half = 0.5 * math.sqrt(1.0 + 3.0 * abs(v))
            across[k] = SIZE * (0.5 + sign * (half - 0.5))
            # Where two faces meet there is doubt, said by a face past the last.
            runner_up = on_z * larger + off_z * max(smaller, az)
            doubt = np.float64(abs(w) - runner_up <= SURE_FACE)
            faces[k] = 2.0 * on_z + off_z * (1.0 - on_x) + 3.0 * back + 8.0 * doubt
        for k in range(chunk_codes.size):
            i = np.int64(along[k])
            j = np.int64(across[k])
            face = np.int64(faces[k])
            rest_i = along[k] - i
            rest_j = across[k] - j
            if (
                face > 5
                or min(rest_i, rest_j) < SURE_LEAVES
                or max(rest_i, rest_j) > 1.0 - SURE_LEAVES
            ):
                longitude = chunk[2 * k + 1]
                if longitude == 180.0:
                    longitude = -180.0
                face, i, j = leaf_by_the_book(chunk[2 * k], longitude)
            chunk_codes[k] = ((face << (2 * LEVELS)) | hilbert_place(face, i, j)) >> shift


@kernel
def to_morton(start, stop, codes, max_level, outside, morton):
    """Write the Morton code (i's bits above j's, below the face's) of each Hilbert code."""
    shift = LEVELS - max_level
    for row in range(start, stop):
        if codes[row] == outside:
            morton[row] = outside
            continue
        code = np.int64(codes[row])
        face = code >> (2 * max_level)
        place = (code & ((np.int64(1) << (2 * max_level)) - 1)) << (2 * shift)
        i, j = leaf_of_place(face, place)
        i_bits = spread_bits_inline(np.uint64(i >> shift))
        j_bits = spread_bits_inline(np.uint64(j >> shift))
        morton[row] = (
            (np.uint64(face) << np.uint64(2 * max_level)) | (i_bits << np.uint64(1)) | j_bits
        )


@kernel
def from_morton(start, stop, morton, max_level, outside, codes):
    """Write the Hilbert code of each Morton code; undoes `to_morton`."""
    shift = LEVELS - max_level
    for row in range(start, stop):
        if morton[row] == outside:
            codes[row] = outside
            continue
        code = np.uint64(morton[row])
        face = np.int64(code >> np.uint64(2 * max_level))
        i = np.int64(gather_bits_inline(code >> np.uint64(1))) & ((1 << max_level) - 1)
        j = np.int64(gather_bits_inline(code)) & ((1 << max_level) - 1)
        place = hilbert_place(face, i << shift, j << shift)
        codes[row] = (face << (2 * max_level)) | (place >> (2 * shift))


@kernel
def decode(codes, max_level, faces, i_of_cell, j_of_cell):
    """Write face and (i, j) in level-30 leaves of the first leaf of each code (lowest along the curve)."""
    shift = LEVELS - max_level
    for index in range(codes.size):
        code = np.int64(codes[index])
        face = code >> (2 * max_level)
        place = (code & ((np.int64(1) << (2 * max_level)) - 1)) << (2 * shift)
        faces[index] = face
        i_of_cell[index], j_of_cell[index] = leaf_of_place(face, place)
