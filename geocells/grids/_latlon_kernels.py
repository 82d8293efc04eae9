"""Compiled loops of the latitude-longitude grid."""

import numpy as np

from geocells._jit import inline_kernel, kernel
from geocells.grids.bits import gather_bits_inline, spread_bits_inline

CHUNK = 1024
"""Rows handled at a time: their slots stay in the first-level cache."""


@inline_kernel
def slot(value, low, extent, n_slots, inverse):
    """Return the half-open slot that holds ``value``, as a float; the last one is closed.

    Edge i is ``low + extent * (i / n_slots)`` as rounded by float64, the very number that a cell's polygon shows; the
    guess by multiplication, off by one at most, is put right against it. Selections instead of branches, so that
    the compiler handles several rows at a time.
    """
    width = 1.0 / n_slots
    index = np.floor((value - low) * inverse)
    index = min(max(index, 0.0), n_slots - 1.0)
    index = index - 1.0 if value < low + extent * (index * width) else index
    index = max(index, 0.0)
    above = value >= low + extent * ((index + 1.0) * width)
    index = index + 1.0 if above else index
    return min(index, n_slots - 1.0)


@inline_kernel
def unwrapped(longitude, west):
    """Return the longitude's name in [west, west + 360)."""
    longitude = longitude + 360.0 if longitude < west else longitude
    return longitude - 360.0 if longitude - 360.0 >= west else longitude


@kernel
def encode(start, stop, coords, south, west, north, east, max_level, outside, codes):
    """Write the Morton code of each row of ``coords``: latitude's bits above longitude's.

    ``outside`` is written off the box.
    """
    n_slots = float(np.int64(1) << np.int64(max_level))
    height = north - south
    width = east - west
    inverse_height = n_slots / height
    inverse_width = n_slots / width
    # One dimension, so that the compiler knows the stride and loads several rows at a time.
    flat = coords.reshape(-1)
    rows = np.empty(CHUNK, dtype=np.int32)
    columns = np.empty(CHUNK, dtype=np.int32)
    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        chunk = flat[2 * first : 2 * last]
        chunk_codes = codes[first:last]
        n_off = 0
        for k in range(chunk_codes.size):
            latitude = chunk[2 * k]
            longitude = unwrapped(chunk[2 * k + 1], west)
            off = (latitude < south) | (latitude > north) | (longitude < west) | (longitude > east)
            n_off += np.int64(1) if off else np.int64(0)
            rows[k] = np.int32(slot(latitude, south, height, n_slots, inverse_height))
            columns[k] = np.int32(slot(longitude, west, width, n_slots, inverse_width))
        for k in range(chunk_codes.size):
            row, column = np.uint64(rows[k]), np.uint64(columns[k])
            chunk_codes[k] = (spread_bits_inline(row) << np.uint64(1)) | spread_bits_inline(column)
        if n_off > 0:
            for k in range(chunk_codes.size):
                latitude = chunk[2 * k]
                longitude = unwrapped(chunk[2 * k + 1], west)
                if not (south <= latitude <= north and west <= longitude <= east):
                    chunk_codes[k] = outside


@kernel
def decode(codes, rows, columns):
    """Write the row (latitude) and column (longitude) of each Morton code."""
    for index in range(codes.size):
        rows[index] = np.int64(gather_bits_inline(codes[index] >> np.uint64(1)))
        columns[index] = np.int64(gather_bits_inline(codes[index]))
