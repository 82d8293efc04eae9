"""Compiled loops over ranges of leaf codes."""

import numpy as np

from geocells._jit import inline_kernel, kernel


@inline_kernel
def append_range(starts, stops, cells, n, start, stop, cell):
    """Write a range behind the first ``n``, or lengthen the last one of the same cell; return their new number."""
    if n > 0 and cells[n - 1] == cell and stops[n - 1] == start:
        stops[n - 1] = stop
        return n
    starts[n], stops[n], cells[n] = start, stop, cell
    return n + 1


@kernel
def flatten(starts, stops, orders, cells):
    """Sweep nested ranges, sorted by start and then longest first; the lowest order wins each code.

    The stack holds the ranges around the sweep's place, each with a lower order than the one below it: a range inside
    an earlier claim has nothing left to claim.
    """
    n_claims = starts.size
    out_starts = np.empty(2 * n_claims + 1, dtype=np.uint64)
    out_stops = np.empty(2 * n_claims + 1, dtype=np.uint64)
    out_cells = np.empty(2 * n_claims + 1, dtype=np.int64)
    n_out = 0
    stack = np.empty(n_claims + 1, dtype=np.int64)
    height = 0
    place = np.uint64(0)
    for index in range(n_claims + 1):
        # Close what ends before the next range starts.
        while height > 0 and (index == n_claims or stops[stack[height - 1]] <= starts[index]):
            height -= 1
            top = stack[height]
            if place < stops[top]:
                n_out = append_range(
                    out_starts, out_stops, out_cells, n_out, place, stops[top], cells[orders[top]]
                )
                place = stops[top]
        if index == n_claims:
            break
        if stops[index] <= starts[index]:
            continue
        if height > 0:
            top = stack[height - 1]
            if orders[top] < orders[index]:
                continue
            if place < starts[index]:
                n_out = append_range(
                    out_starts,
                    out_stops,
                    out_cells,
                    n_out,
                    place,
                    starts[index],
                    cells[orders[top]],
                )
        place = starts[index]
        stack[height] = index
        height += 1
    return out_starts[:n_out].copy(), out_stops[:n_out].copy(), out_cells[:n_out].copy()


@kernel
def look_up(start, stop, codes, starts, stops, cells, first_ranges, shift, cell_of_code):
    """Write the cell of each code that a range holds.

    The first range that ends past a code with prefix ``p = code >> shift`` is one of ``first_ranges[p]`` to
    ``first_ranges[p + 1]``.
    """
    n_prefixes = np.uint64(first_ranges.size - 1)
    for row in range(start, stop):
        code = np.uint64(codes[row])
        prefix = code >> np.uint64(shift)
        if prefix >= n_prefixes:
            continue
        low, high = first_ranges[prefix], first_ranges[prefix + np.uint64(1)]
        while low < high:
            middle = (low + high) >> 1
            if stops[middle] <= code:
                low = middle + 1
            else:
                high = middle
        if low < starts.size and starts[low] <= code:
            cell_of_code[row] = cells[low]


@kernel
def quadtree_cells(starts, stops, leaf_levels, codes, levels, owners):
    """Cut each range into the fewest quadtree cells; return their number.

    Their codes, levels and ranges are written where the last three arrays have room: call once with empty ones to
    learn how much they need. Codes count from the start of the range's own group, which is aligned like a root.
    """
    n = 0
    for index in range(starts.size):
        code = starts[index]
        while code < stops[index]:
            level = leaf_levels[index]
            span = np.uint64(1)
            while level > 0:
                wider = span << np.uint64(2)
                if (code & (wider - np.uint64(1))) != 0 or wider > stops[index] - code:
                    break
                span = wider
                level -= 1
            if n < codes.size:
                codes[n], levels[n], owners[n] = code, level, index
            n += 1
            code += span
    return n
