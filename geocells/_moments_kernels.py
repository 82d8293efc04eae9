"""Compiled loops of moments: count, mean and within-group sum of squares."""

import numpy as np

from ._jit import inline_kernel, kernel

LANES = 8
"""Sums of squares run in eight lanes, added up in a fixed order: vector code, and the same bits on every machine."""


@inline_kernel
def added_up(lanes):
    """Return the sum of the eight lanes."""
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )


@inline_kernel
def squared_distance(left, right, lanes):
    """Return the squared distance of two vectors."""
    for lane in range(LANES):
        lanes[lane] = 0.0
    n_features = left.size
    whole = n_features - n_features % LANES
    for column in range(0, whole, LANES):
        for lane in range(LANES):
            delta = left[column + lane] - right[column + lane]
            lanes[lane] += delta * delta
    for column in range(whole, n_features):
        delta = left[column] - right[column]
        lanes[column - whole] += delta * delta
    return added_up(lanes)


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
def add_rows(feats, labels, weights, first, last, part, n_parts, counts, means, m2):
    """Add each row of a block to the moments of its label (-1: only looked at); return the first unsound row, or -1.

    One row at a time: ``m2 += w n / (n + w) ||x - mean||^2``, then the mean moves to ``x`` by ``w / (n + w)`` of the
    way. Only the columns ``first:last``. With ``n_parts`` > 1 only the labels of one part are handled, so that no two
    threads write to one label.
    """
    weighted = weights.size > 0
    lanes = np.empty(LANES)
    unsound = -1
    for row in range(labels.size):
        label = labels[row]
        if n_parts > 1 and (label if label >= 0 else row) % n_parts != part:
            continue
        x = feats[row, first:last]
        weight = weights[row] if weighted else np.int64(1)
        if label < 0 or weight == 0:
            squared = squared_distance(x, x, lanes)
        elif counts[label] == 0:
            squared = squared_distance(x, x, lanes)
            for column in range(x.size):
                means[label, first + column] = x[column]
            counts[label] = weight
        else:
            n_before = counts[label]
            share = weight / (n_before + weight)
            squared = move_towards(means[label, first:last], x, share, lanes)
            m2[label] += n_before * share * squared
            counts[label] = n_before + weight
        if not np.isfinite(squared) and unsound < 0:
            unsound = row
    return unsound


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
