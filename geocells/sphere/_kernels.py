"""Compiled loops of the sphere: sine and cosine of degrees, haversine, sums of unit vectors."""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

RADIANS = math.pi / 180.0

CHUNK = 512
"""Rows handled at a time: first their vectors, side by side, then the sums."""

TO_WHOLE = 1.5 * 2.0**52
"""Added to a number below 2^51, it leaves the nearest whole number in the low bits of the sum."""


@inline_kernel
def sincos_degrees(degrees):
    """Sine and cosine of an angle in degrees to 2e-14, exact at multiples of 90.

    The angle is reduced to [-45, 45] exactly, then Taylor's series to orders 13 and 14. Only additions,
    multiplications and selections: every machine gives the same bits, and several rows go at a time.
    """
    quarter = np.floor(degrees * (1.0 / 90.0) + 0.5)
    x = (degrees - 90.0 * quarter) * RADIANS
    x2 = x * x
    x4 = x2 * x2
    x8 = x4 * x4
    sine = x * (
        (1.0 - x2 * (1.0 / 6.0))
        + x4 * (1.0 / 120.0 - x2 * (1.0 / 5040.0))
        + x8 * ((1.0 / 362880.0 - x2 * (1.0 / 39916800.0)) + x4 * (1.0 / 6227020800.0))
    )
    cosine = (
        (1.0 - x2 * 0.5)
        + x4 * (1.0 / 24.0 - x2 * (1.0 / 720.0))
        + x8
        * (
            (1.0 / 40320.0 - x2 * (1.0 / 3628800.0))
            + x4 * (1.0 / 479001600.0 - x2 * (1.0 / 87178291200.0))
        )
    )
    # Turn by 0 to 3 quarters.
    half = 0.5 * quarter
    odd = half != np.floor(half)
    turn = quarter - 4.0 * np.floor(0.25 * quarter)
    first = cosine if odd else sine
    second = sine if odd else cosine
    return (-first if turn >= 2.0 else first), (
        -second if (turn == 1.0) | (turn == 2.0) else second
    )


@kernel
def unit_vectors(start, stop, coords, vectors):
    """Write the unit vector of each row of ``coords`` into ``vectors`` (n, 3)."""
    # One dimension, so that the compiler knows the stride and handles several rows at a time.
    flat = coords.reshape(-1)[2 * start : 2 * stop]
    out = vectors.reshape(-1)[3 * start : 3 * stop]
    for k in range(stop - start):
        sin_latitude, cos_latitude = sincos_degrees(flat[2 * k])
        sin_longitude, cos_longitude = sincos_degrees(flat[2 * k + 1])
        out[3 * k] = cos_latitude * cos_longitude
        out[3 * k + 1] = cos_latitude * sin_longitude
        out[3 * k + 2] = sin_latitude


@kernel
def add_unit_vectors(start, stop, coords, labels, weights, scale, sums):
    """Add each labelled row's unit vector, in fixed point, to its label's sums.

    Whole numbers add up to the same total in any order, so the result depends neither on the order of the rows nor
    on how they were shared out. ``sums`` (n_labels, 4) int64 takes x, y, z in units of ``1 / scale``, and the images.
    ``weights`` of length 0 means one image a row; label -1 is passed over. ``scale`` is at most 2^50.
    """
    weighted = weights.size > 0
    # One dimension, so that the compiler knows the stride and loads several rows at a time.
    flat = coords.reshape(-1)
    vectors = np.empty((3, CHUNK))
    xs, ys, zs = vectors[0], vectors[1], vectors[2]
    whole = vectors.view(np.int64)
    zero = np.array([TO_WHOLE]).view(np.int64)[0]
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        chunk = flat[2 * first : 2 * last]
        chunk_labels = labels[first:last]
        for k in range(chunk_labels.size):
            sin_latitude, cos_latitude = sincos_degrees(chunk[2 * k])
            sin_longitude, cos_longitude = sincos_degrees(chunk[2 * k + 1])
            xs[k] = cos_latitude * cos_longitude * scale + TO_WHOLE
            ys[k] = cos_latitude * sin_longitude * scale + TO_WHOLE
            zs[k] = sin_latitude * scale + TO_WHOLE
        for k in range(chunk_labels.size):
            label = chunk_labels[k]
            if label < 0:
                continue
            weight = weights[first + k] if weighted else np.int64(1)
            sums[label, 0] += weight * (whole[0, k] - zero)
            sums[label, 1] += weight * (whole[1, k] - zero)
            sums[label, 2] += weight * (whole[2, k] - zero)
            sums[label, 3] += weight


@inline_kernel
def haversine_km(latitude_a, longitude_a, latitude_b, longitude_b, radius_km):
    """Great-circle distance of two points given in degrees."""
    half_dphi = 0.5 * (latitude_b - latitude_a) * RADIANS
    half_dlambda = 0.5 * (longitude_b - longitude_a) * RADIANS
    sin_dphi = math.sin(half_dphi)
    sin_dlambda = math.sin(half_dlambda)
    h = (
        sin_dphi * sin_dphi
        + math.cos(latitude_a * RADIANS)
        * math.cos(latitude_b * RADIANS)
        * sin_dlambda
        * sin_dlambda
    )
    return 2.0 * radius_km * math.asin(math.sqrt(min(1.0, max(0.0, h))))


@kernel
def haversine_rows(start, stop, a, b, radius_km, distances):
    """Distance of row i of ``a`` to row i of ``b``; a side of one row serves all."""
    step_a = 0 if a.shape[0] == 1 else 1
    step_b = 0 if b.shape[0] == 1 else 1
    for row in range(start, stop):
        i = row * step_a
        j = row * step_b
        distances[row] = haversine_km(a[i, 0], a[i, 1], b[j, 0], b[j, 1], radius_km)


@kernel
def haversine_table(start, stop, a, b, radius_km, distances):
    """Distance of every row of ``a`` to every row of ``b``."""
    for i in range(start, stop):
        for j in range(b.shape[0]):
            distances[i, j] = haversine_km(a[i, 0], a[i, 1], b[j, 0], b[j, 1], radius_km)
