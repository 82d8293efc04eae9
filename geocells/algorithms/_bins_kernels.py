"""Compiled loops of the ordering of leaf codes."""

import numpy as np

from .._jit import kernel


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
def run_lengths(ordered):
    """Distinct codes of a sorted array, and running totals of how often each occurs."""
    n_rows = ordered.size
    n_runs = 0
    for row in range(n_rows):
        if row == 0 or ordered[row] != ordered[row - 1]:
            n_runs += 1
    codes = np.empty(n_runs, dtype=np.uint64)
    totals = np.empty(n_runs + 1, dtype=np.int64)
    run = 0
    for row in range(n_rows):
        if row == 0 or ordered[row] != ordered[row - 1]:
            codes[run] = ordered[row]
            totals[run] = row
            run += 1
    totals[n_runs] = n_rows
    return codes, totals


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
