"""Compiled loops of the latitude-longitude grid."""

import numpy as np

from .._jit import inline_kernel, kernel


@inline_kernel
def spread_bits(value):
    """Put a zero between the bits of a 32-bit number."""
    value = (value | (value << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value | (value << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value | (value << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    value = (value | (value << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (value | (value << np.uint64(1))) & np.uint64(0x5555555555555555)


@inline_kernel
def gather_bits(value):
    """Undo `spread_bits`."""
    value = value & np.uint64(0x5555555555555555)
    value = (value | (value >> np.uint64(1))) & np.uint64(0x3333333333333333)
    value = (value | (value >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    value = (value | (value >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value | (value >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return (value | (value >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF)


@inline_kernel
def slot(value, low, extent, n_slots, inverse):
    """Return the half-open slot that holds ``value``; the last one is closed.

    Edge i is ``low + extent * (i / n_slots)`` as rounded by float64, the very number that a cell's polygon shows; the
    guess by multiplication is put right against it.
    """
    index = np.int64((value - low) * inverse)
    if index >= n_slots:
        index = n_slots - 1
    index = max(index, 0)
    while index > 0 and value < low + extent * (index / n_slots):
        index -= 1
    while index + 1 < n_slots and value >= low + extent * ((index + 1) / n_slots):
        index += 1
    return index


@kernel
def encode(start, stop, coords, south, west, north, east, max_level, outside, codes):
    """Write the Morton code of each row of ``coords``: latitude's bits above longitude's."""
    n_slots = np.int64(1) << np.int64(max_level)
    height = north - south
    width = east - west
    inverse_height = n_slots / height
    inverse_width = n_slots / width
    for row in range(start, stop):
        latitude = coords[row, 0]
        longitude = coords[row, 1]
        if longitude < west:
            longitude += 360.0
        elif longitude - 360.0 >= west:
            longitude -= 360.0
        if not (south <= latitude <= north and west <= longitude <= east):
            codes[row] = outside
            continue
        i = slot(latitude, south, height, n_slots, inverse_height)
        j = slot(longitude, west, width, n_slots, inverse_width)
        codes[row] = (spread_bits(np.uint64(i)) << np.uint64(1)) | spread_bits(np.uint64(j))


@kernel
def decode(codes, rows, columns):
    """Write the row (latitude) and column (longitude) of each Morton code."""
    for index in range(codes.size):
        rows[index] = np.int64(gather_bits(codes[index] >> np.uint64(1)))
        columns[index] = np.int64(gather_bits(codes[index]))
