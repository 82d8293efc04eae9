"""Compiled walks down the quadtree of one root cell.

Both walks see the root's occupied leaf codes in order and running totals of their images, and find a cell's children by
binary search among its own bins.
"""

import numpy as np

from geocells._jit import inline_kernel, kernel


@inline_kernel
def first_at_or_above(codes, low, high, code):
    """Position of the first of ``codes[low:high]`` that is at least ``code``."""
    while low < high:
        middle = (low + high) >> 1
        if codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low


@inline_kernel
def child_edges(codes, low, high, start, child_span, edges):
    """Write the positions at which the bins of the four children begin, and the end."""
    edges[0] = low
    edges[4] = high
    edges[2] = first_at_or_above(codes, low, high, start + np.uint64(2) * child_span)
    edges[1] = first_at_or_above(codes, low, edges[2], start + child_span)
    edges[3] = first_at_or_above(codes, edges[2], high, start + np.uint64(3) * child_span)


@inline_kernel
def grown(array):
    """Return a copy with twice the room."""
    larger = np.empty(2 * array.size, dtype=array.dtype)
    for index in range(array.size):
        larger[index] = array[index]
    return larger


@kernel
def top_down(codes, totals, low, high, root, leaf_level, deepest, min_images, max_images):
    """Split from the root; return the start and level of every non-empty leaf, by code.

    ``max_images`` < 0: split while any child holds at least ``min_images``; else while a cell holds more than
    ``max_images``.
    """
    starts = np.empty(64, dtype=np.uint64)
    levels = np.empty(64, dtype=np.int64)
    n_leaves = 0
    stack_start = np.empty(4 * leaf_level + 4, dtype=np.uint64)
    stack_bins = np.empty((4 * leaf_level + 4, 2), dtype=np.int64)
    stack_level = np.empty(4 * leaf_level + 4, dtype=np.int64)
    edges = np.empty(5, dtype=np.int64)
    height = 0
    if high > low:
        stack_start[0] = root
        stack_bins[0, 0] = low
        stack_bins[0, 1] = high
        stack_level[0] = 0
        height = 1
    while height > 0:
        height -= 1
        start = stack_start[height]
        first = stack_bins[height, 0]
        last = stack_bins[height, 1]
        level = stack_level[height]
        split = False
        child_span = np.uint64(0)
        if level < deepest:
            child_span = np.uint64(1) << np.uint64(2 * (leaf_level - level - 1))
            child_edges(codes, first, last, start, child_span, edges)
            if max_images >= 0:
                split = totals[last] - totals[first] > max_images
            else:
                for child in range(4):
                    if totals[edges[child + 1]] - totals[edges[child]] >= min_images:
                        split = True
        if split:
            for child in range(3, -1, -1):
                if edges[child + 1] > edges[child]:
                    stack_start[height] = start + np.uint64(child) * child_span
                    stack_bins[height, 0] = edges[child]
                    stack_bins[height, 1] = edges[child + 1]
                    stack_level[height] = level + 1
                    height += 1
        else:
            if n_leaves == starts.size:
                starts = grown(starts)
                levels = grown(levels)
            starts[n_leaves] = start
            levels[n_leaves] = level
            n_leaves += 1
    return starts[:n_leaves], levels[:n_leaves]


@kernel
def consolidate(codes, totals, low, high, root, leaf_level, deepest, min_images):
    """Hand images up until a cell has enough; return start and level of every cell, children before parents.

    One walk in post-order. A cell with fewer than ``min_images`` images is never entered: whatever lies in it, all of
    it is handed up.
    """
    starts = np.empty(64, dtype=np.uint64)
    levels = np.empty(64, dtype=np.int64)
    n_cells = 0
    start_at = np.empty(deepest + 1, dtype=np.uint64)
    edges_at = np.empty((deepest + 1, 5), dtype=np.int64)
    child_at = np.empty(deepest + 1, dtype=np.int64)
    handed_at = np.empty(deepest + 1, dtype=np.int64)
    level = -1
    if totals[high] - totals[low] >= min_images:
        level = 0
        start_at[0] = root
        child_at[0] = 0
        handed_at[0] = 0
        edges_at[0, 0] = low
        edges_at[0, 4] = high
        if deepest > 0:
            span = np.uint64(1) << np.uint64(2 * (leaf_level - 1))
            child_edges(codes, low, high, root, span, edges_at[0])
    while level >= 0:
        if level == deepest:
            handed_at[level] = totals[edges_at[level, 4]] - totals[edges_at[level, 0]]
            child_at[level] = 4
        if child_at[level] < 4:
            child = child_at[level]
            child_at[level] += 1
            first = edges_at[level, child]
            last = edges_at[level, child + 1]
            n_images = totals[last] - totals[first]
            if n_images < min_images:
                handed_at[level] += n_images
                continue
            child_span = np.uint64(1) << np.uint64(2 * (leaf_level - level - 1))
            start = start_at[level] + np.uint64(child) * child_span
            level += 1
            start_at[level] = start
            child_at[level] = 0
            handed_at[level] = 0
            edges_at[level, 0] = first
            edges_at[level, 4] = last
            if level < deepest:
                child_edges(codes, first, last, start, child_span >> np.uint64(2), edges_at[level])
        else:
            if handed_at[level] >= min_images:
                if n_cells == starts.size:
                    starts = grown(starts)
                    levels = grown(levels)
                starts[n_cells] = start_at[level]
                levels[n_cells] = level
                n_cells += 1
            elif level > 0:
                handed_at[level - 1] += handed_at[level]
            level -= 1
    return starts[:n_cells], levels[:n_cells]
