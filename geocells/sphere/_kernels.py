"""Compiled loops of the sphere: sine and cosine of degrees, haversine, sums of unit vectors."""

import math

import numpy as np

from .._jit import inline_kernel, kernel

RADIANS = math.pi / 180.0


@inline_kernel
def sincos_degrees(degrees):
    """Sine and cosine of an angle in degrees, exact at multiples of 90.

    The angle is reduced to [-45, 45] exactly, then Taylor's series to order 17 (error below 1e-19). Only
    additions and multiplications, so every machine gives the same bits.
    """
    quarter = math.floor(degrees / 90.0 + 0.5)
    x = (degrees - 90.0 * quarter) * RADIANS
    x2 = x * x
    sine = x * (
        1.0
        + x2
        * (
            -1.0 / 6.0
            + x2
            * (
                1.0 / 120.0
                + x2
                * (
                    -1.0 / 5040.0
                    + x2
                    * (
                        1.0 / 362880.0
                        + x2
                        * (
                            -1.0 / 39916800.0
                            + x2
                            * (
                                1.0 / 6227020800.0
                                + x2 * (-1.0 / 1307674368000.0 + x2 / 355687428096000.0)
                            )
                        )
                    )
                )
            )
        )
    )
    cosine = 1.0 + x2 * (
        -0.5
        + x2
        * (
            1.0 / 24.0
            + x2
            * (
                -1.0 / 720.0
                + x2
                * (
                    1.0 / 40320.0
                    + x2
                    * (
                        -1.0 / 3628800.0
                        + x2
                        * (1.0 / 479001600.0 + x2 * (-1.0 / 87178291200.0 + x2 / 20922789888000.0))
                    )
                )
            )
        )
    )
    turn = int(quarter) & 3
    if turn == 0:
        return sine, cosine
    if turn == 1:
        return cosine, -sine
    if turn == 2:
        return -sine, -cosine
    return -cosine, sine


@kernel
def unit_vectors(start, stop, coords, vectors):
    """Write the unit vector of each row of ``coords`` into ``vectors`` (n, 3)."""
    for row in range(start, stop):
        sin_latitude, cos_latitude = sincos_degrees(coords[row, 0])
        sin_longitude, cos_longitude = sincos_degrees(coords[row, 1])
        vectors[row, 0] = cos_latitude * cos_longitude
        vectors[row, 1] = cos_latitude * sin_longitude
        vectors[row, 2] = sin_latitude


@kernel
def add_unit_vectors(start, stop, coords, labels, weights, scale, sums, counts):
    """Add each labelled row's unit vector, in fixed point, to its label's sums.

    Whole numbers add up to the same total in any order, so the result depends neither on the order of the rows nor
    on how they were shared out. ``weights`` of length 0 means one image a row; label -1 is passed over.
    """
    weighted = weights.size > 0
    for row in range(start, stop):
        label = labels[row]
        if label < 0:
            continue
        sin_latitude, cos_latitude = sincos_degrees(coords[row, 0])
        sin_longitude, cos_longitude = sincos_degrees(coords[row, 1])
        x = np.int64(math.floor(cos_latitude * cos_longitude * scale + 0.5))
        y = np.int64(math.floor(cos_latitude * sin_longitude * scale + 0.5))
        z = np.int64(math.floor(sin_latitude * scale + 0.5))
        weight = weights[row] if weighted else np.int64(1)
        sums[label, 0] += weight * x
        sums[label, 1] += weight * y
        sums[label, 2] += weight * z
        counts[label] += weight


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
