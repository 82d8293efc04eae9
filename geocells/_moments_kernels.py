"""Compiled loops of moments: count, mean and within-group sum of squares."""

import numpy as np

from geocells._jit import inline_kernel, kernel

CHUNK = 256
"""Rows whose records are fetched together, so that the waits for memory overlap."""


@inline_kernel
def sum_of_squares(values, n_values):
    """Return the sum of the squares, in eight lanes added up in a fixed order: the same bits on every machine."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = n_values - n_values % 8
    for k in range(0, whole, 8):
        s0 += values[k] * values[k]
        s1 += values[k + 1] * values[k + 1]
        s2 += values[k + 2] * values[k + 2]
        s3 += values[k + 3] * values[k + 3]
        s4 += values[k + 4] * values[k + 4]
        s5 += values[k + 5] * values[k + 5]
        s6 += values[k + 6] * values[k + 6]
        s7 += values[k + 7] * values[k + 7]
    for k in range(whole, n_values):
        s0 += values[k] * values[k]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@inline_kernel
def move_towards(mean, other, share, deltas):
    """Move ``mean`` by ``share`` of the way to ``other``; return the squared distance they had."""
    for column in range(mean.size):
        delta = np.float64(other[column]) - mean[column]
        mean[column] += delta * share
        deltas[column] = delta
    return sum_of_squares(deltas, mean.size)


@kernel
def order_by_label(labels, n_labels):
    """Rows of a block by label (-1 first), equal labels in their old order: a counting sort."""
    place = np.zeros(n_labels + 2, dtype=np.int64)
    for label in labels:
        place[label + 2] += 1
    for label in range(n_labels + 1):
        place[label + 1] += place[label]
    order = np.empty(labels.size, dtype=np.int64)
    for row in range(labels.size):
        order[place[labels[row] + 1]] = row
        place[labels[row] + 1] += 1
    return order


@kernel
def add_rows(feats, labels, weights, order, first, last, counts, means, m2):
    """Add each row of a block to the moments of its label (-1: only looked at); return the first unsound row, or -1.

    One row at a time: ``m2 += w n / (n + w) ||x - mean||^2``, then the mean moves to ``x`` by ``w / (n + w)`` of the
    way. Only the columns ``first:last``, and the rows in this ``order``.
    """
    weighted = weights.size > 0
    deltas = np.empty(last - first)
    unsound = -1
    for row in order:
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
            squared = move_towards(means[label, first:last], feats[row, first:last], share, deltas)
            m2[label] += n_before * share * squared
            counts[label] = n_before + weight
        if not np.isfinite(squared) and (unsound < 0 or row < unsound):
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
    deltas = np.empty(means.shape[1])
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
        squared = move_towards(out_means[target], means[group], share, deltas)
        out_m2[target] += m2[group] + n_before * share * squared
        out_counts[target] = n_before + counts[group]
