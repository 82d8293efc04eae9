"""Compiled loops of the competition between hot spots.

A node's moments lie in row ``rows[node]`` of ``means`` and ``m2``; ``counts[node]``, the number of its unclaimed
images, is also the count of those moments.
"""

import numpy as np

from geocells._jit import inline_kernel, kernel

BY_MEAN_WCSS = 0
BY_WCSS = 1
BY_COUNT = 2
LANES = 8


@inline_kernel
def added_up(lanes):
    """Return the sum of the eight lanes, in a fixed order."""
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )


@inline_kernel
def squared_distance(left, right, lanes):
    """Return the squared distance of two vectors."""
    for lane in range(LANES):
        lanes[lane] = 0.0
    whole = left.size - left.size % LANES
    for column in range(0, whole, LANES):
        for lane in range(LANES):
            delta = left[column + lane] - right[column + lane]
            lanes[lane] += delta * delta
    for column in range(whole, left.size):
        delta = left[column] - right[column]
        lanes[column - whole] += delta * delta
    return added_up(lanes)


@inline_kernel
def merge_rows(target, n_target, other, n_other, means, m2, lanes):
    """Merge row ``other`` into row ``target``, which stand for so many images."""
    share = n_other / (n_target + n_other)
    squared = squared_distance(means[target], means[other], lanes)
    into = means[target]
    source = means[other]
    for column in range(into.size):
        into[column] += share * (source[column] - into[column])
    m2[target] += m2[other] + n_target * share * squared


@inline_kernel
def pushed(array, size, value):
    """Put a value at the end of an array; return the array, twice as large where it was full."""
    if size == array.size:
        more = np.empty(2 * array.size, dtype=array.dtype)
        for index in range(size):
            more[index] = array[index]
        array = more
    array[size] = value
    return array


@kernel
def gather_level(low, high, children, own_counts, own_rows, counts, rows, means, m2):
    """Give the nodes ``low:high`` what their children have left, merged in place into one of their rows."""
    lanes = np.empty(LANES)
    for node in range(low, high):
        count = own_counts[node]
        row = own_rows[node] if count > 0 else np.int64(-1)
        for child in range(children[node, 0], children[node, 1]):
            if counts[child] == 0:
                continue
            if rows[child] >= 0:
                if row < 0:
                    row = rows[child]
                else:
                    merge_rows(row, count, rows[child], counts[child], means, m2, lanes)
            count += counts[child]
        counts[node] = count
        rows[node] = row


@inline_kernel
def copy_row(target, source, means, m2):
    """Copy a row of moments."""
    for column in range(means.shape[1]):
        means[target, column] = means[source, column]
    m2[target] = m2[source]


@inline_kernel
def refresh(node, children, own_counts, own_rows, counts, rows, means, m2, lanes):
    """Merge a node's moments anew into its own row, from its own images and its children."""
    row = rows[node]
    count = own_counts[node]
    if row >= 0:
        if count > 0:
            copy_row(row, own_rows[node], means, m2)
        else:
            m2[row] = 0.0
    for child in range(children[node, 0], children[node, 1]):
        if counts[child] == 0:
            continue
        if row >= 0:
            if count == 0:
                copy_row(row, rows[child], means, m2)
            else:
                merge_rows(row, count, rows[child], counts[child], means, m2, lanes)
        count += counts[child]
    counts[node] = count


@kernel
def gather_all(children, own_counts, own_rows, counts, rows, means, m2):
    """Give every node its moments, each in a row of its own; children come before parents."""
    lanes = np.empty(LANES)
    for node in range(own_counts.size):
        refresh(node, children, own_counts, own_rows, counts, rows, means, m2, lanes)


@inline_kernel
def nine_digits(value, scratch):
    """Round to nine significant digits, so that the order in which sums were formed does not show."""
    scratch[0] = value
    bits = scratch.view(np.int64)
    bits[0] = (bits[0] + (np.int64(1) << 21)) & ~((np.int64(1) << 22) - 1)
    return scratch[0]


@inline_kernel
def score(members, rank_by, counts, rows, means, m2, mean, lanes, scratch):
    """Score a window, lowest best: moments of its sub-bins, merged."""
    total = np.int64(0)
    for node in members:
        if node >= 0:
            total += counts[node]
    if rank_by == BY_COUNT:
        return -float(total)
    for column in range(mean.size):
        mean[column] = 0.0
    squares = 0.0
    n_parts = 0
    for node in members:
        if node >= 0 and counts[node] > 0:
            part = means[rows[node]]
            share = counts[node] / total
            for column in range(mean.size):
                mean[column] += share * part[column]
            squares += m2[rows[node]]
            n_parts += 1
    if n_parts > 1:
        for node in members:
            if node >= 0 and counts[node] > 0:
                squares += counts[node] * squared_distance(means[rows[node]], mean, lanes)
    if rank_by == BY_MEAN_WCSS:
        squares /= total
    return nine_digits(squares, scratch)


@inline_kernel
def earlier(keys, windows, a, b):
    """Is heap entry a to be claimed before b? Windows are numbered finest level first, then by code."""
    if keys[a] != keys[b]:
        return keys[a] < keys[b]
    return windows[a] < windows[b]


@inline_kernel
def swap(keys, windows, versions, a, b):
    """Exchange two heap entries."""
    keys[a], keys[b] = keys[b], keys[a]
    windows[a], windows[b] = windows[b], windows[a]
    versions[a], versions[b] = versions[b], versions[a]


@inline_kernel
def sift_up(keys, windows, versions, place):
    """Restore the heap after an entry was put at its end."""
    while place > 0:
        above = (place - 1) >> 1
        if not earlier(keys, windows, place, above):
            return
        swap(keys, windows, versions, place, above)
        place = above


@inline_kernel
def sift_down(keys, windows, versions, size):
    """Restore the heap after its first entry was replaced."""
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            return
        if below + 1 < size and earlier(keys, windows, below + 1, below):
            below += 1
        if not earlier(keys, windows, below, place):
            return
        swap(keys, windows, versions, place, below)
        place = below


@kernel
def windows_of_nodes(window_nodes, n_nodes):
    """Windows that hold each node: (edges, windows)."""
    edges = np.zeros(n_nodes + 1, dtype=np.int64)
    for window in range(window_nodes.shape[0]):
        for node in window_nodes[window]:
            if node >= 0:
                edges[node + 1] += 1
    for node in range(n_nodes):
        edges[node + 1] += edges[node]
    out = np.empty(edges[n_nodes], dtype=np.int64)
    place = edges[:-1].copy()
    for window in range(window_nodes.shape[0]):
        for node in window_nodes[window]:
            if node >= 0:
                out[place[node]] = window
                place[node] += 1
    return edges, out


@kernel
def compete(
    low, high, across_levels, rank_by, min_images, window_nodes, node_edges, node_windows,
    children, parents, own_counts, own_rows, counts, rows, means, m2,
):  # fmt: skip
    """Let the windows ``low:high`` claim, best first, until none is hot; return them in the order of their claims.

    A claim takes its nodes' images. Windows that share one of these nodes are scored again. With ``across_levels`` a
    claim also empties the nodes below and takes from those above, whose windows are scored again too; otherwise all
    windows are of one level, and nothing below or above is looked at before the next level.
    """
    n_windows = high - low
    room = max(64, 2 * n_windows)
    keys = np.empty(room, dtype=np.float64)
    windows = np.empty(room, dtype=np.int64)
    heap_versions = np.empty(room, dtype=np.int64)
    size = 0
    versions = np.zeros(n_windows, dtype=np.int64)
    mean = np.empty(means.shape[1])
    lanes = np.empty(LANES)
    scratch = np.empty(1)
    claimed = np.empty(n_windows, dtype=np.int64)
    n_claimed = 0
    touched_nodes = np.empty(64, dtype=np.int64)
    seen = np.full(n_windows, -1, dtype=np.int64)

    n_touched = n_windows
    touched = np.empty(max(256, n_windows), dtype=np.int64)
    for window in range(n_windows):
        touched[window] = low + window
    while True:
        # Score what is new or has changed.
        for place in range(n_touched):
            window = touched[place]
            versions[window - low] += 1
            total = np.int64(0)
            for node in window_nodes[window]:
                if node >= 0:
                    total += counts[node]
            if total < min_images:
                continue
            key = score(
                window_nodes[window], rank_by, counts, rows, means, m2, mean, lanes, scratch
            )
            keys = pushed(keys, size, key)
            windows = pushed(windows, size, window)
            heap_versions = pushed(heap_versions, size, versions[window - low])
            sift_up(keys, windows, heap_versions, size)
            size += 1
        # The best one that is still as it was when it was scored.
        best = np.int64(-1)
        while size > 0:
            window = windows[0]
            fresh = heap_versions[0] == versions[window - low]
            size -= 1
            keys[0] = keys[size]
            windows[0] = windows[size]
            heap_versions[0] = heap_versions[size]
            sift_down(keys, windows, heap_versions, size)
            if fresh:
                best = window
                break
        if best < 0:
            break
        claimed[n_claimed] = best
        n_claimed += 1
        # Its nodes lose their images, and so do the nodes below.
        n_nodes_touched = 0
        for node in window_nodes[best]:
            if node >= 0 and counts[node] > 0:
                counts[node] = 0
                touched_nodes = pushed(touched_nodes, n_nodes_touched, node)
                n_nodes_touched += 1
        n_direct = n_nodes_touched
        if across_levels:
            place = 0
            while place < n_nodes_touched:
                node = touched_nodes[place]
                place += 1
                for child in range(children[node, 0], children[node, 1]):
                    if counts[child] > 0:
                        counts[child] = 0
                        touched_nodes = pushed(touched_nodes, n_nodes_touched, child)
                        n_nodes_touched += 1
            # What was taken from is alive, and so is all above it, up to the top, level by level.
            first = n_nodes_touched
            for place in range(n_direct):
                parent = parents[touched_nodes[place]]
                if parent < 0:
                    continue
                known = False
                for other in range(first, n_nodes_touched):
                    known = known or touched_nodes[other] == parent
                if not known:
                    touched_nodes = pushed(touched_nodes, n_nodes_touched, parent)
                    n_nodes_touched += 1
            while first < n_nodes_touched:
                last = n_nodes_touched
                for place_above in range(first, last):
                    node = touched_nodes[place_above]
                    refresh(node, children, own_counts, own_rows, counts, rows, means, m2, lanes)
                    parent = parents[node]
                    if parent < 0:
                        continue
                    known = False
                    for other in range(last, n_nodes_touched):
                        known = known or touched_nodes[other] == parent
                    if not known:
                        touched_nodes = pushed(touched_nodes, n_nodes_touched, parent)
                        n_nodes_touched += 1
                first = last
        # Their windows are to be scored again, each once.
        n_touched = 0
        for place in range(n_nodes_touched):
            node = touched_nodes[place]
            for entry in range(node_edges[node], node_edges[node + 1]):
                window = node_windows[entry]
                if window < low or window >= high or seen[window - low] == n_claimed:
                    continue
                seen[window - low] = n_claimed
                touched = pushed(touched, n_touched, window)
                n_touched += 1
    return claimed[:n_claimed]
