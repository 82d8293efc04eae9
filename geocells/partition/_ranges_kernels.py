"""Compiled loops over ranges of leaf codes."""

import numpy as np

from .._jit import kernel


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
    stack_stop = np.empty(n_claims + 1, dtype=np.uint64)
    stack_order = np.empty(n_claims + 1, dtype=np.int64)
    height = 0
    place = np.uint64(0)
    for index in range(n_claims + 1):
        # Close what ends before the next range starts.
        while height > 0 and (index == n_claims or stack_stop[height - 1] <= starts[index]):
            stop = stack_stop[height - 1]
            if place < stop:
                cell = cells[stack_order[height - 1]]
                if n_out > 0 and out_cells[n_out - 1] == cell and out_stops[n_out - 1] == place:
                    out_stops[n_out - 1] = stop
                else:
                    out_starts[n_out] = place
                    out_stops[n_out] = stop
                    out_cells[n_out] = cell
                    n_out += 1
                place = stop
            height -= 1
        if index == n_claims:
            break
        start = starts[index]
        if stops[index] <= start:
            continue
        if height > 0:
            if stack_order[height - 1] < orders[index]:
                continue
            if place < start:
                cell = cells[stack_order[height - 1]]
                if n_out > 0 and out_cells[n_out - 1] == cell and out_stops[n_out - 1] == place:
                    out_stops[n_out - 1] = start
                else:
                    out_starts[n_out] = place
                    out_stops[n_out] = start
                    out_cells[n_out] = cell
                    n_out += 1
        place = start
        stack_stop[height] = stops[index]
        stack_order[height] = orders[index]
        height += 1
    return out_starts[:n_out].copy(), out_stops[:n_out].copy(), out_cells[:n_out].copy()


@kernel
def look_up(start, stop, codes, starts, stops, cells, table, shift, found):
    """Write the cell of each code, -1 where no range holds it."""
    last = table.size - 2
    for row in range(start, stop):
        code = codes[row]
        prefix = np.int64(code >> shift)
        if prefix < 0 or prefix > last:
            found[row] = -1
            continue
        low = table[prefix]
        high = table[prefix + 1]
        while low < high:
            middle = (low + high) >> 1
            if starts[middle] <= code:
                low = middle + 1
            else:
                high = middle
        index = low - 1
        if index >= 0 and code < stops[index]:
            found[row] = cells[index]
        else:
            found[row] = -1


@kernel
def quadtree_cells(starts, stops, range_leaf_levels):
    """Cut each range into the fewest quadtree cells; return their codes, levels and ranges.

    Codes count from the start of the range's own group, of which the range is aligned like the root.
    """
    n_out = 0
    room = 64
    codes = np.empty(room, dtype=np.uint64)
    levels = np.empty(room, dtype=np.int64)
    owners = np.empty(room, dtype=np.int64)
    for index in range(starts.size):
        code = starts[index]
        leaf_level = range_leaf_levels[index]
        while code < stops[index]:
            step = 0
            span = np.uint64(1)
            while step < leaf_level:
                wider = span << np.uint64(2)
                if (code & (wider - np.uint64(1))) != 0 or wider > stops[index] - code:
                    break
                span = wider
                step += 1
            if n_out == room:
                room *= 2
                more_codes = np.empty(room, dtype=np.uint64)
                more_levels = np.empty(room, dtype=np.int64)
                more_owners = np.empty(room, dtype=np.int64)
                more_codes[:n_out] = codes
                more_levels[:n_out] = levels
                more_owners[:n_out] = owners
                codes = more_codes
                levels = more_levels
                owners = more_owners
            codes[n_out] = code
            levels[n_out] = leaf_level - step
            owners[n_out] = index
            n_out += 1
            code += span
    return codes[:n_out].copy(), levels[:n_out].copy(), owners[:n_out].copy()
