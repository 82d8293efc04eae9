"""Bottom-up cells: hot spots take their images, the most cohesive first."""

from __future__ import annotations

import heapq
import math
from typing import Literal, get_args

import numpy as np

from geocells.array_types import IntArray
from geocells.constructions.bins import PrioritizedRanges
from geocells.constructions.heat_map import HeatMaps
from geocells.jit import inline_kernel, kernel
from geocells.moments import Moments, order_by_label

Competition = Literal["level", "all"]
Ranking = Literal["mean_wcss", "wcss", "count"]
BY_MEAN_WCSS, BY_WCSS, BY_COUNT = range(3)
LANES = 8


def bottom_up(
    maps: HeatMaps,
    moments: Moments,
    *,
    min_images: int,
    competition: Competition = "level",
    rank_by: Ranking = "mean_wcss",
) -> PrioritizedRanges:
    """Let hot spots take their images.

    Parameters
    ----------
    maps : HeatMaps
        Windows that could be hot.
    moments : Moments
        Of the images that each node owns (those in none of its children), a row a node; without features with
        ``rank_by="count"``. Used up: merged in place.
    min_images : int
        Images without a cell that make a window hot.
    competition : {"level", "all"}
        Hot spots of one level compete at a time, from the finest up; or those of all levels at once.
    rank_by : {"mean_wcss", "wcss", "count"}
        The lowest WCSS an image, the lowest WCSS, or the highest number of images comes first. Equal to nine digits:
        the finer level, then the lower code.

    Returns
    -------
    ranges : PrioritizedRanges
        Windows in the order in which they won, as Morton codes of leaves; each of a window's sub-bins is a range.

    Notes
    -----
    Windows wait in a heap. After one has won, only the windows that share a bin with it are scored again, each by
    merging the moments of its overlap^2 sub-bins: O(overlap^2 n_features).

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, bottom-up cells.
    """
    n_nodes = len(maps.node_level)
    means, m2 = moments.mean, moments.m2
    if competition == "all":
        # What a node owns stays apart from what it has together with its children.
        means, m2 = np.empty_like(means), np.empty_like(m2)
    tree = (
        maps.node_children,
        maps.own_counts,
        moments.mean,
        moments.m2,
        np.zeros(n_nodes, dtype=np.int64),
        means,
        m2,
    )
    edges, windows = windows_of_nodes(maps.window_nodes, n_nodes)
    nodes_of, windows_of = maps.level_nodes, maps.level_windows
    if competition == "all":
        nodes_of, windows_of = nodes_of[[0, -1]], windows_of[[0, -1]]
    winners = []
    for turn in range(len(nodes_of) - 1):
        gather_moments(nodes_of[turn], nodes_of[turn + 1], *tree)
        winners.append(
            compete(
                windows_of[turn],
                windows_of[turn + 1],
                competition == "all",
                get_args(Ranking).index(rank_by),
                min_images,
                maps.window_nodes,
                edges,
                windows,
                maps.node_parent,
                *tree,
            )
        )
    return maps.window_ranges(np.concatenate(winners))


def windows_of_nodes(window_nodes: IntArray, n_nodes: int) -> tuple[IntArray, IntArray]:
    """Windows that hold each node: (edges, windows)."""
    nodes = window_nodes.ravel()
    edges = np.cumsum(np.bincount(nodes + 1, minlength=n_nodes + 1))
    return edges - edges[0], order_by_label(nodes, n_nodes)[edges[0] :] // window_nodes.shape[1]


@inline_kernel
def squared_distance(left, right, lanes):
    """Return the squared distance of two vectors, in eight lanes added up in a fixed order."""
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
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )


@inline_kernel
def refresh(node, children, own_counts, own_means, own_m2, counts, means, m2, lanes):
    """Merge a node's moments anew, from its own images and those that its children have left."""
    count = own_counts[node]
    mean = means[node]
    for column in range(mean.size):
        mean[column] = own_means[node, column]
    m2[node] = own_m2[node]
    for child in range(children[node, 0], children[node, 1]):
        if counts[child] == 0:
            continue
        other = means[child]
        if count == 0:
            for column in range(mean.size):
                mean[column] = other[column]
            m2[node] += m2[child]
        else:
            share = counts[child] / (count + counts[child])
            squared = squared_distance(mean, other, lanes)
            for column in range(mean.size):
                mean[column] += share * (other[column] - mean[column])
            m2[node] += m2[child] + count * share * squared
        count += counts[child]
    counts[node] = count


@kernel
def gather_moments(low, high, children, own_counts, own_means, own_m2, counts, means, m2):
    """Give the nodes ``low:high`` their moments, children before parents."""
    lanes = np.empty(LANES)
    for node in range(low, high):
        refresh(node, children, own_counts, own_means, own_m2, counts, means, m2, lanes)


@inline_kernel
def nine_digits(value):
    """Round to nine significant digits, so that the order in which sums were formed does not show."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(math.floor(mantissa * 2.0**31 + 0.5), exponent - 31)


@inline_kernel
def n_unclaimed(members, counts):
    """Images that the sub-bins of a window have left."""
    total = np.int64(0)
    for node in members:
        if node >= 0:
            total += counts[node]
    return total


@inline_kernel
def score(members, total, rank_by, counts, means, m2, mean, lanes):
    """Score a window with so many images, lowest best: moments of its sub-bins, merged."""
    if rank_by == BY_COUNT:
        return -float(total)
    for column in range(mean.size):
        mean[column] = 0.0
    squares = 0.0
    for node in members:
        if node >= 0 and counts[node] > 0:
            share = counts[node] / total
            for column in range(mean.size):
                mean[column] += share * means[node, column]
            squares += m2[node]
    for node in members:
        if node >= 0 and 0 < counts[node] < total:
            squares += counts[node] * squared_distance(means[node], mean, lanes)
    return nine_digits(squares / total if rank_by == BY_MEAN_WCSS else squares)


@kernel
def compete(
    low, high, across_levels, rank_by, min_images, window_nodes, node_edges, node_windows, parents,
    children, own_counts, own_means, own_m2, counts, means, m2,
):  # fmt: skip
    """Let the windows ``low:high`` win, best first, until none is hot; return them in the order in which they won.

    A winner takes its nodes' images. Windows that share one of these nodes are scored again. With ``across_levels`` it
    also empties the nodes below and takes from those above, whose windows are scored again too; otherwise all windows
    are of one level, and nothing below or above is looked at before the next level.
    """
    mean, lanes = np.empty(means.shape[1]), np.empty(LANES)
    # Windows are numbered finest level first, then by code: a tie goes to the lower number.
    heap = [(0.0, np.int64(0)) for _ in range(0)]
    scores = np.empty(high - low)  # as they are now; NaN where a window is not hot
    seen, touched, winners = np.empty((3, high - low), dtype=np.int64)
    for window in range(low, high):
        seen[window - low], touched[window - low] = -1, window
    n_touched, n_winners = high - low, 0
    changed = np.empty(counts.size, dtype=np.int64)
    while True:
        # Score what is new or has changed.
        for place in range(n_touched):
            window = touched[place]
            members = window_nodes[window]
            total = n_unclaimed(members, counts)
            scores[window - low] = np.nan
            if total >= min_images:
                key = score(members, total, rank_by, counts, means, m2, mean, lanes)
                scores[window - low] = key
                heapq.heappush(heap, (key, window))
        # The best one that is still as it was when it was scored.
        winner = np.int64(-1)
        while winner < 0 and len(heap) > 0:
            key, window = heapq.heappop(heap)
            if key == scores[window - low]:
                winner = window
        if winner < 0:
            return winners[:n_winners]
        winners[n_winners] = winner
        n_winners += 1
        # Its nodes lose their images, and so do the nodes below.
        n_changed = 0
        for node in window_nodes[winner]:
            if node >= 0 and counts[node] > 0:
                counts[node] = 0
                changed[n_changed] = node
                n_changed += 1
        if across_levels:
            first, last = 0, n_changed
            for place in range(counts.size):
                if place == n_changed:
                    break
                node = changed[place]
                for child in range(children[node, 0], children[node, 1]):
                    if counts[child] > 0:
                        counts[child] = 0
                        changed[n_changed] = child
                        n_changed += 1
            # The nodes above have fewer left, up to the top, level by level.
            while first < last:
                n_before = n_changed
                for place in range(first, last):
                    parent = parents[changed[place]]
                    is_new = parent >= 0
                    for other in range(n_before, n_changed):
                        is_new &= changed[other] != parent
                    if is_new:
                        changed[n_changed] = parent
                        n_changed += 1
                for place in range(n_before, n_changed):
                    node = changed[place]
                    refresh(node, children, own_counts, own_means, own_m2, counts, means, m2, lanes)
                first, last = n_before, n_changed
        # Their windows are to be scored again, each once.
        n_touched = 0
        for place in range(n_changed):
            node = changed[place]
            for entry in range(node_edges[node], node_edges[node + 1]):
                window = node_windows[entry]
                if low <= window < high and seen[window - low] != winner:
                    seen[window - low] = winner
                    touched[n_touched] = window
                    n_touched += 1
