"""Optimal cells: of all choices of quadtree cells, the one whose images are most alike."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np

from geocells.array_types import BoolArray, FloatArray
from geocells.constructions.bins import PrioritizedRanges
from geocells.constructions.bottom_up import gather_moments
from geocells.constructions.heat_map import HeatMaps
from geocells.jit import inline_kernel, kernel
from geocells.moments import Moments

MOST_TURNS = 100


def optimal(maps: HeatMaps, moments: Moments, *, min_images: int) -> PrioritizedRanges:
    """Choose cells of little within-cell sum of squares (WCSS) among all quadtree cells.

    Every image goes to the smallest chosen quadtree cell that holds it, or else to the root. Every chosen cell gets at
    least ``min_images``; where the root gets fewer, these are left over.

    Parameters
    ----------
    maps : HeatMaps
        With an overlap of 1: its nodes are the quadtree cells with at least ``min_images``.
    moments : Moments
        Of the images that each node owns (those in none of its children), a row a node.
    min_images : int

    Returns
    -------
    ranges : PrioritizedRanges
        One range a cell, children before their parents.

    Notes
    -----
    Choice and means are improved in turn, as in k-means, until the choice stays: :func:`cheapest` finds the choice of
    which the images are nearest to the means of their cells, and the means become those of what each cell got. It
    begins with the consolidated cells, so the WCSS is never above theirs.
    """
    n_nodes = len(maps.node_level)
    if not n_nodes:
        return maps.window_ranges(np.empty(0, dtype=np.int64))
    node_moments = maps.own_counts, moments.mean, moments.m2
    counts, m2 = np.zeros(n_nodes, dtype=np.int64), np.empty(n_nodes)
    centres = np.empty_like(moments.mean)
    gather_moments(0, n_nodes, maps.node_children, *node_moments, counts, centres, m2)
    held = maps.own_counts.copy()  # by the consolidated cells
    for low, high in pairwise(maps.level_nodes[:-1]):
        short = low + np.flatnonzero(held[low:high] < min_images)
        np.add.at(held, maps.node_parent[short], held[short])
    is_chosen: BoolArray = held >= min_images
    for _ in range(MOST_TURNS):
        above = np.where(maps.node_parent < 0, n_nodes - 1, maps.node_parent)
        owner = np.where(is_chosen, np.arange(n_nodes), above)
        for _ in range(5):  # 32 levels
            owner = owner[owner]
        merged = moments.merged(owner, n_nodes)
        centres = np.where(merged.count[:, None] > 0, merged.mean, centres)
        before = is_chosen
        is_chosen = cheapest(
            maps.node_level,
            maps.node_children,
            maps.own_counts,
            prices(maps, moments, centres),
            min_images,
        )
        if np.array_equal(is_chosen, before):
            break
    return maps.window_ranges(
        np.flatnonzero(is_chosen)
    )  # a window is a node; the finest come first


def prices(maps: HeatMaps, moments: Moments, centres: FloatArray) -> FloatArray:
    """Sum of squared distances of each node's own images to the centre of the cell above it of each level.

    Rounded to nine digits, so that the order in which sums were formed does not show.
    """
    above = np.arange(len(centres))
    sums = np.zeros((len(centres), maps.node_level.max() + 1))
    while (rows := np.flatnonzero(above >= 0)).size:
        apart = ((moments.mean[rows] - centres[above[rows]]) ** 2).sum(axis=1)
        sums[rows, maps.node_level[above[rows]]] = moments.m2[rows] + maps.own_counts[rows] * apart
        above[rows] = maps.node_parent[above[rows]]
    mantissas, exponents = np.frexp(sums)
    rounded: FloatArray = np.ldexp(np.floor(mantissas * 2.0**31 + 0.5), exponents - 31)
    return rounded


@inline_kernel
def add_front(low, high, choice, start, stop, images, costs, lefts, rights, min_images):
    """Append the pairs of the entries ``low:high`` and of a child's, its choice and its front, that no other beats."""
    heap = [(0.0, np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    for left in range(low, high):
        for right in (choice, start):
            heapq.heappush(
                heap, (costs[left] + costs[right], -images[left] - images[right], left, right)
            )
    most = np.int64(-1)
    while len(heap) > 0 and most < min_images:
        cost, negated, left, right = heapq.heappop(heap)
        if -negated > most:
            most = min(-negated, min_images)
            images.append(most)
            costs.append(cost)
            lefts.append(left)
            rights.append(right)
        right += 1
        if start < right < stop:
            heapq.heappush(
                heap, (costs[left] + costs[right], -images[left] - images[right], left, right)
            )


@kernel
def cheapest(levels, children, own_counts, prices, min_images):
    """Whether each node is chosen, so that prices add up to the least; children come before their parents.

    ``prices`` (n_nodes, n_levels) is what the images that a node owns cost in the cell above it (or itself) of each
    level.

    Dynamic programming from the leaves up. For a node and each cell above it that may take what the node hands up, its
    *front* holds the cheapest choice below it for every number of images handed up that is worth its price; numbers of
    ``min_images`` and more are one. Fronts of neighbours are added pair by pair. The choice is the best there is, to
    rounding: O(n_nodes n_levels f^2 log f), with f entries a front, ``min_images`` at most.
    """
    n_nodes = levels.size
    # Entries of fronts: images handed up, cost, and the entries they are made of. One without them is what a node owns;
    # one without a right side is that of a node that is chosen: the last of the front of what it gets.
    images = [np.int64(0) for _ in range(0)]
    costs = [0.0 for _ in range(0)]
    lefts = [np.int64(0) for _ in range(0)]
    rights = [np.int64(0) for _ in range(0)]
    fronts = np.zeros((n_nodes, prices.shape[1], 2), dtype=np.int64)
    choices = np.empty(n_nodes, dtype=np.int64)
    for node in range(n_nodes):
        for level in range(levels[node], -1, -1):
            low = len(images)
            images.append(min(own_counts[node], min_images))
            costs.append(prices[node, level])
            lefts.append(-1)
            rights.append(-1)
            high = len(images)
            for child in range(children[node, 0], children[node, 1]):
                front = fronts[child, level]
                add_front(
                    low,
                    high,
                    choices[child],
                    front[0],
                    front[1],
                    images,
                    costs,
                    lefts,
                    rights,
                    min_images,
                )
                low, high = high, len(images)
            fronts[node, level] = low, high
            if level == levels[node]:
                choices[node] = high
                images.append(0)
                costs.append(costs[high - 1])
                lefts.append(high - 1)
                rights.append(-2 - node)
    is_chosen = np.zeros(n_nodes, dtype=np.bool_)
    first = fronts[n_nodes - 1, 0, 0]
    is_chosen[n_nodes - 1] = images[first] == min_images  # the root may be left with few
    waiting = [first]
    while len(waiting) > 0:
        entry = waiting.pop()
        if lefts[entry] >= 0:
            waiting.append(lefts[entry])
        if rights[entry] >= 0:
            waiting.append(rights[entry])
        if rights[entry] < -1:
            is_chosen[-2 - rights[entry]] = True
    return is_chosen
