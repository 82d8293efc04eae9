"""Bottom-up cells: hot spots take their images, the most cohesive first."""

from __future__ import annotations

import heapq
import math
from typing import Literal, get_args

import numpy as np

from geocells._jit import inline_kernel, kernel
from geocells._types import IntArray
from geocells.constructions.bins import PrioritizedRanges
from geocells.constructions.heat_map import HeatMaps
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
    lanes[:] = 0.0
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
        share = counts[child] / (count + counts[child])
        squared = squared_distance(mean, other, lanes) if count > 0 else 0.0
        for column in range(mean.size):
            mean[column] = (
                mean[column] + share * (other[column] - mean[column])
                if count > 0
                else other[column]
            )
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
def score(members, rank_by, counts, means, m2, mean, lanes):
    """Score a window, lowest best: moments of its sub-bins, merged."""
    total = n_unclaimed(members, counts)
    if rank_by == BY_COUNT:
        return -float(total)
    mean[:] = 0.0
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
    if rank_by == BY_MEAN_WCSS:
        squares /= total
    return nine_digits(squares)


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
    mean = np.empty(means.shape[1])
    lanes = np.empty(LANES)
    # Windows are numbered finest level first, then by code: a tie goes to the lower number.
    heap = [(0.0, np.int64(0), np.int64(0)) for _ in range(0)]
    versions = np.zeros(high - low, dtype=np.int64)
    seen = np.full(high - low, -1, dtype=np.int64)
    winners = [np.int64(0) for _ in range(0)]
    touched = list(range(low, high))
    while True:
        # Score what is new or has changed.
        for window in touched:
            versions[window - low] += 1
            members = window_nodes[window]
            if n_unclaimed(members, counts) >= min_images:
                key = score(members, rank_by, counts, means, m2, mean, lanes)
                heapq.heappush(heap, (key, window, versions[window - low]))
        # The best one that is still as it was when it was scored.
        winner = np.int64(-1)
        while winner < 0 and len(heap) > 0:
            _, window, version = heapq.heappop(heap)
            if version == versions[window - low]:
                winner = window
        if winner < 0:
            break
        winners.append(winner)
        # Its nodes lose their images, and so do the nodes below.
        changed = [np.int64(0) for _ in range(0)]
        for node in window_nodes[winner]:
            if node >= 0 and counts[node] > 0:
                counts[node] = 0
                changed.append(node)
        if across_levels:
            front = changed.copy()
            place = 0
            while place < len(changed):
                node = changed[place]
                place += 1
                for child in range(children[node, 0], children[node, 1]):
                    if counts[child] > 0:
                        counts[child] = 0
                        changed.append(child)
            # The nodes above have fewer left, up to the top, level by level.
            while len(front) > 0:
                above = [np.int64(0) for _ in range(0)]
                for node in front:
                    parent = parents[node]
                    if parent >= 0 and parent not in above:
                        above.append(parent)
                for node in above:
                    refresh(node, children, own_counts, own_means, own_m2, counts, means, m2, lanes)
                    changed.append(node)
                front = above
        # Their windows are to be scored again, each once.
        touched.clear()
        for node in changed:
            for entry in range(node_edges[node], node_edges[node + 1]):
                window = node_windows[entry]
                if low <= window < high and seen[window - low] != winner:
                    seen[window - low] = winner
                    touched.append(window)
    return np.array(winners, dtype=np.int64)
