"""Compiled loops of moments: count, mean and within-group sum of squares."""

import numpy as np

from ._jit import inline_kernel, kernel

CHUNK = 256
"""Rows whose records are fetched together, so that the waits for memory overlap."""

LANES = 8
"""Sums of squares run in eight lanes, added up in a fixed order: vector code, and the same bits on every machine."""


@inline_kernel
def added_up(lanes):
    """Return the sum of the eight lanes."""
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )


@inline_kernel
def move_towards(mean, other, share, lanes):
    """Move ``mean`` by ``share`` of the way to ``other``; return the squared distance they had."""
    for lane in range(LANES):
        lanes[lane] = 0.0
    n_features = mean.size
    whole = n_features - n_features % LANES
    for column in range(0, whole, LANES):
        for lane in range(LANES):
            delta = other[column + lane] - mean[column + lane]
            mean[column + lane] += delta * share
            lanes[lane] += delta * delta
    for column in range(whole, n_features):
        delta = other[column] - mean[column]
        mean[column] += delta * share
        lanes[column - whole] += delta * delta
    return added_up(lanes)


@kernel
def add_rows(feats, labels, weights, first, last, counts, means, m2):
    """Add each row of a block to the moments of its label (-1: only looked at); return the first unsound row, or -1.

    One row at a time: ``m2 += w n / (n + w) ||x - mean||^2``, then the mean moves to ``x`` by ``w / (n + w)`` of the
    way. Only the columns ``first:last``.
    """
    weighted = weights.size > 0
    lanes = np.empty(LANES)
    unsound = -1
    for row in range(labels.size):
        label = labels[row]
        weight = weights[row] if weighted else np.int64(1)
        n_before = counts[label] if label >= 0 else np.int64(0)
        squared = 0.0
        if label < 0 or weight == 0:
            for column in range(first, last):
                squared += feats[row, column] - feats[row, column]
        elif n_before == 0:
            for column in range(first, last):
                squared += feats[row, column] - feats[row, column]
                means[label, column] = feats[row, column]
            counts[label] = weight
        else:
            share = weight / (n_before + weight)
            squared = move_towards(means[label, first:last], feats[row, first:last], share, lanes)
            m2[label] += n_before * share * squared
            counts[label] = n_before + weight
        if not np.isfinite(squared) and unsound < 0:
            unsound = row
    return unsound


@kernel
def add_short_rows(feats, labels, weights, part, last_part, records):
    """Do as `add_rows` for features of a few columns, in records (n_labels, 2 + columns or more): count, m2, mean.

    Only labels of which the low bits are ``part`` (``last_part`` is all ones) are handled. A label's record is one line
    of memory, and those of a chunk of rows are fetched before they are worked on.
    """
    n_features = feats.shape[1]
    weighted = weights.size > 0
    own = np.empty(CHUNK, dtype=np.int64)
    unsound = -1
    fetched = 0.0
    for start in range(0, labels.size, CHUNK):
        stop = min(start + CHUNK, labels.size)
        n_own = 0
        for row in range(start, stop):
            own[n_own] = row
            n_own += 1 if labels[row] & last_part == part else 0
        for k in range(n_own):
            label = labels[own[k]]
            fetched += records[label if label >= 0 else 0, 0]
        for k in range(n_own):
            row = own[k]
            label = labels[row]
            weight = float(weights[row]) if weighted else 1.0
            squared = 0.0
            if label < 0 or weight == 0.0:
                for column in range(n_features):
                    squared += feats[row, column] - feats[row, column]
            elif records[label, 0] == 0.0:
                for column in range(n_features):
                    squared += feats[row, column] - feats[row, column]
                    records[label, 2 + column] = feats[row, column]
                records[label, 0] = weight
            else:
                n_before = records[label, 0]
                share = weight / (n_before + weight)
                for column in range(n_features):
                    delta = feats[row, column] - records[label, 2 + column]
                    records[label, 2 + column] += delta * share
                    squared += delta * delta
                records[label, 0] = n_before + weight
                records[label, 1] += n_before * share * squared
            if not np.isfinite(squared) and unsound < 0:
                unsound = row
    # What was fetched is handed out, so that the compiler cannot leave the fetching out.
    return unsound, fetched


@kernel
def merge_into(counts, means, m2, targets, out_counts, out_means, out_m2):
    """Merge the moments of group i into group ``targets[i]`` (-1: dropped), in order."""
    lanes = np.empty(LANES)
    for group in range(counts.size):
        target = targets[group]
        if target < 0 or counts[group] == 0:
            continue
        if out_counts[target] == 0:
            for column in range(means.shape[1]):
                out_means[target, column] = means[group, column]
            out_m2[target] = m2[group]
            out_counts[target] = counts[group]
            continue
        n_before = out_counts[target]
        share = counts[group] / (n_before + counts[group])
        squared = move_towards(out_means[target], means[group], share, lanes)
        out_m2[target] += m2[group] + n_before * share * squared
        out_counts[target] = n_before + counts[group]
