"""Compiled loops that find hot spots: windows of k x k sub-bins with enough images.

Sub-bins are given by sorted Morton codes at their own level; row and column are the bits above and below.
"""

import numpy as np

from geocells._jit import inline_kernel, kernel


@inline_kernel
def spread(value):
    """Put a zero between the bits of a 32-bit number."""
    value = np.uint64(value)
    value = (value | (value << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value | (value << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value | (value << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    value = (value | (value << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (value | (value << np.uint64(1))) & np.uint64(0x5555555555555555)


@inline_kernel
def gather(value):
    """Undo `spread`."""
    value = value & np.uint64(0x5555555555555555)
    value = (value | (value >> np.uint64(1))) & np.uint64(0x3333333333333333)
    value = (value | (value >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    value = (value | (value >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value | (value >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return np.int64((value | (value >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF))


@inline_kernel
def find_near(codes, index, target):
    """Position of ``target`` in sorted ``codes``, -1 if absent, looking first around ``index``."""
    low = index
    high = index
    step = 1
    if target >= codes[index]:
        while high < codes.size and codes[high] < target:
            low = high
            high = min(codes.size, high + step)
            step *= 2
    else:
        while low > 0 and codes[low] > target:
            high = low
            low = max(0, low - step)
            step *= 2
    high = min(codes.size, high + 1)
    while low < high:
        middle = (low + high) >> 1
        if codes[middle] < target:
            low = middle + 1
        else:
            high = middle
    if low < codes.size and codes[low] == target:
        return low
    return -1


@inline_kernel
def with_room(array, room):
    """Return a copy of an array with more room behind it."""
    larger = np.empty(room, dtype=array.dtype)
    for index in range(array.size):
        larger[index] = array[index]
    return larger


@kernel
def coarsen(codes, counts):
    """Sub-bins one level up: sorted parents and their images."""
    n_out = 0
    out_codes = np.empty(codes.size, dtype=np.uint64)
    out_counts = np.empty(codes.size, dtype=np.int64)
    for index in range(codes.size):
        parent = codes[index] >> np.uint64(2)
        if n_out == 0 or out_codes[n_out - 1] != parent:
            out_codes[n_out] = parent
            out_counts[n_out] = 0
            n_out += 1
        out_counts[n_out - 1] += counts[index]
    return out_codes[:n_out].copy(), out_counts[:n_out].copy()


@kernel
def find_windows(codes, counts, level, overlap, min_images):
    """Windows of ``overlap`` x ``overlap`` sub-bins with at least ``min_images`` images.

    Returns the Morton code of each window's lowest sub-bin, and the positions in ``codes`` of all its sub-bins, row by
    row (-1: no images). A window with enough images has a sub-bin with at least its share of ``min_images``; the
    windows of each such sub-bin are looked at, each at the first of its sub-bins that is one.
    """
    n_members = overlap * overlap
    share = -(-min_images // n_members)
    n_slots = np.int64(1) << np.int64(level)
    reach = overlap - 1
    breadth = 2 * overlap - 1
    near = np.empty((breadth, breadth), dtype=np.int64)
    members = np.empty(n_members, dtype=np.int64)
    room = 256
    anchors = np.empty(room, dtype=np.uint64)
    windows = np.empty(room * n_members, dtype=np.int64)
    n_windows = 0
    for seed in range(codes.size):
        if counts[seed] < share:
            continue
        row = gather(codes[seed] >> np.uint64(1))
        column = gather(codes[seed])
        for i in range(-reach, overlap):
            for j in range(-reach, overlap):
                if i == 0 and j == 0:
                    near[i + reach, j + reach] = seed
                elif 0 <= row + i < n_slots and 0 <= column + j < n_slots:
                    code = (spread(row + i) << np.uint64(1)) | spread(column + j)
                    near[i + reach, j + reach] = find_near(codes, seed, code)
                else:
                    near[i + reach, j + reach] = -1
        # The seed is sub-bin (up, left) of the window.
        for up in range(overlap):
            for left in range(overlap):
                if row < up or column < left:
                    continue
                if row - up + overlap > n_slots or column - left + overlap > n_slots:
                    continue
                n_images = np.int64(0)
                first = True
                for member in range(n_members):
                    i = member // overlap - up
                    j = member % overlap - left
                    index = near[i + reach, j + reach]
                    members[member] = index
                    if index >= 0:
                        n_images += counts[index]
                        if member < up * overlap + left and counts[index] >= share:
                            first = False
                if not first or n_images < min_images:
                    continue
                if n_windows == room:
                    anchors = with_room(anchors, 2 * room)
                    windows = with_room(windows, 2 * room * n_members)
                    room *= 2
                anchors[n_windows] = (spread(row - up) << np.uint64(1)) | spread(column - left)
                for member in range(n_members):
                    windows[n_windows * n_members + member] = members[member]
                n_windows += 1
    return anchors[:n_windows], windows[: n_windows * n_members].reshape(n_windows, n_members)


@kernel
def window_cells(anchors, overlap):
    """Morton codes of all sub-bins of each window, those without images included, row by row."""
    out = np.empty((anchors.size, overlap * overlap), dtype=np.uint64)
    for window in range(anchors.size):
        row = gather(anchors[window] >> np.uint64(1))
        column = gather(anchors[window])
        for member in range(overlap * overlap):
            out[window, member] = (spread(row + member // overlap) << np.uint64(1)) | spread(
                column + member % overlap
            )
    return out
