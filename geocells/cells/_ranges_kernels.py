"""Compiled loops over ranges of leaf codes."""

import numpy as np

from geocells._jit import inline_kernel, kernel


@inline_kernel
def with_room(array, room):
    """Return a copy of an array with more room behind it."""
    larger = np.empty(room, dtype=array.dtype)
    for index in range(array.size):
        larger[index] = array[index]
    return larger


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
def build_pages(starts, stops, cells, root_shift, n_root, page_bits):
    """Build the page table of disjoint sorted ranges; see `look_up`.

    Level by level: an entry whose codes all belong to one cell (or to none) holds the answer, a mixed one the number of
    the page below.
    """
    n_ranges = starts.size
    page_size = 1 << page_bits
    entries = np.empty(n_root + 64 * page_size, dtype=np.int32)
    n_entries = n_root
    # Blocks of entries still to fill: where they lie, and the first code they stand for.
    block_at = np.zeros(1, dtype=np.int64)
    block_code = np.zeros(1, dtype=np.uint64)
    n_blocks = 1
    size = n_root
    shift = root_shift
    while n_blocks > 0:
        room = 64
        next_at = np.empty(room, dtype=np.int64)
        next_code = np.empty(room, dtype=np.uint64)
        n_next = 0
        span = np.uint64(1) << np.uint64(shift)
        for block in range(n_blocks):
            code = block_code[block]
            low = 0
            high = n_ranges
            while low < high:
                middle = (low + high) >> 1
                if stops[middle] <= code:
                    low = middle + 1
                else:
                    high = middle
            index = low
            entry = block_at[block]
            end = entry + size
            while entry < end:
                while index < n_ranges and stops[index] <= code:
                    index += 1
                # Entries from here on that lie in no range, or wholly in this one: filled in one go.
                n_alike = np.int64(0)
                answer = np.int32(-1)
                if index == n_ranges:
                    n_alike = end - entry
                elif starts[index] > code:
                    n_alike = min(np.int64((starts[index] - code) >> np.uint64(shift)), end - entry)
                else:
                    n_alike = min(np.int64((stops[index] - code) >> np.uint64(shift)), end - entry)
                    answer = np.int32(cells[index])
                if n_alike > 0:
                    for alike in range(entry, entry + n_alike):
                        entries[alike] = answer
                    entry += n_alike
                    code += np.uint64(n_alike) << np.uint64(shift)
                    continue
                if n_entries + page_size > entries.size:
                    entries = with_room(entries, 2 * entries.size)
                if n_next == room:
                    room *= 2
                    next_at = with_room(next_at, room)
                    next_code = with_room(next_code, room)
                next_at[n_next] = n_entries
                next_code[n_next] = code
                n_next += 1
                entries[entry] = -2 - np.int32((n_entries - n_root) >> page_bits)
                n_entries += page_size
                entry += 1
                code += span
        block_at = next_at
        block_code = next_code
        n_blocks = n_next
        size = page_size
        shift -= page_bits
    return entries[:n_entries].copy()


@kernel
def look_up(start, stop, codes, n_codes, entries, root_shift, n_root, page_bits, found):
    """Write the cell of each code, -1 where none claims it, by walking down the page table.

    The leading bits of a code name an entry of the root page. An entry of at least -1 is the answer; below that, it
    names the page in which the next ``page_bits`` bits name an entry, and so on.
    """
    bits = np.uint64(page_bits)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    end = np.uint64(n_codes)
    pages = np.uint64(n_root)
    own = codes[start:stop]
    out = found[start:stop]
    for k in range(own.size):
        code = np.uint64(own[k])
        if code >= end:
            out[k] = -1
            continue
        shift = np.uint64(root_shift)
        entry = entries[code >> shift]
        while entry < -1:
            shift -= bits
            page = np.uint64(-2 - np.int64(entry))
            entry = entries[pages + (page << bits) + ((code >> shift) & mask)]
        out[k] = entry


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
                codes = with_room(codes, room)
                levels = with_room(levels, room)
                owners = with_room(owners, room)
            codes[n_out] = code
            levels[n_out] = leaf_level - step
            owners[n_out] = index
            n_out += 1
            code += span
    return codes[:n_out].copy(), levels[:n_out].copy(), owners[:n_out].copy()
