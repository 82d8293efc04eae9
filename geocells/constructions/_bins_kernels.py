"""Compiled loops of the ordering of leaf codes."""

import numpy as np

from geocells._jit import kernel

SMALL_BUCKET = 64
"""Codes; below this a sort is cheaper than a walk through the table."""


@kernel
def count_digits(start, stop, codes, shift, mask, counts):
    """Count how often each digit occurs in the block."""
    for row in range(start, stop):
        counts[(codes[row] >> shift) & mask] += 1


@kernel
def scatter_by_digit(start, stop, codes, shift, mask, places, target):
    """Move the block's codes to the places of their digits, keeping their order."""
    for row in range(start, stop):
        code = codes[row]
        digit = (code >> shift) & mask
        target[places[digit]] = code
        places[digit] += 1


@kernel
def count_runs(start, stop, ordered):
    """Count the rows of the block that differ from the row before."""
    n_runs = 0
    for row in range(max(start, 1), stop):
        n_runs += ordered[row] != ordered[row - 1]
    return n_runs + (1 if start == 0 and stop > 0 else 0)


@kernel
def write_runs(start, stop, ordered, run, codes, totals):
    """Write code and first row of each run that begins in the block, from place ``run`` on."""
    for row in range(start, stop):
        if row == 0 or ordered[row] != ordered[row - 1]:
            codes[run] = ordered[row]
            totals[run] = row
            run += 1


@kernel
def weighted_run_lengths(ordered, weights):
    """Distinct codes of a sorted array, and running totals of their weights."""
    n_rows = ordered.size
    n_runs = 0
    for row in range(n_rows):
        if row == 0 or ordered[row] != ordered[row - 1]:
            n_runs += 1
    codes = np.empty(n_runs, dtype=np.uint64)
    totals = np.zeros(n_runs + 1, dtype=np.int64)
    run = -1
    for row in range(n_rows):
        if row == 0 or ordered[row] != ordered[row - 1]:
            run += 1
            codes[run] = ordered[row]
            totals[run + 1] = totals[run]
        totals[run + 1] += weights[row]
    return codes, totals


@kernel
def count_in_buckets(first, last, edges, codes, low_bits, out_codes, out_counts):
    """Write the distinct codes of the buckets ``first:last`` in order, and how often each occurs; return how many.

    The codes of one bucket agree in all but their ``low_bits`` low bits. A large bucket is counted in a table with a
    place for each of its codes, a small one
    is sorted by insertion.
    """
    mask = np.uint64((1 << low_bits) - 1)
    table = np.zeros(1 << low_bits, dtype=np.int64)
    n_words = max(1, (1 << low_bits) >> 6)
    seen = np.zeros(n_words, dtype=np.uint8)
    n_out = 0
    for bucket in range(first, last):
        own = codes[edges[bucket] : edges[bucket + 1]]
        if own.size == 0:
            continue
        if own.size < SMALL_BUCKET:
            first_out = n_out
            for k in range(own.size):
                place = n_out
                while place > first_out and out_codes[place - 1] > own[k]:
                    place -= 1
                if place > first_out and out_codes[place - 1] == own[k]:
                    out_counts[place - 1] += 1
                    continue
                for later in range(n_out, place, -1):
                    out_codes[later] = out_codes[later - 1]
                    out_counts[later] = out_counts[later - 1]
                out_codes[place] = own[k]
                out_counts[place] = 1
                n_out += 1
            continue
        high = np.uint64(own[0]) & ~mask
        for k in range(own.size):
            low = np.uint64(own[k]) & mask
            table[low] += 1
            seen[low >> np.uint64(6)] = 1
        for word in range(n_words):
            if seen[word] == 0:
                continue
            seen[word] = 0
            for low in range(word << 6, min((word + 1) << 6, table.size)):
                if table[low] > 0:
                    out_codes[n_out] = high | np.uint64(low)
                    out_counts[n_out] = table[low]
                    table[low] = 0
                    n_out += 1
    return n_out
