"""Bottom-up cells: hot spots claim their images, the most cohesive first."""

from __future__ import annotations

import numpy as np

from geocells._types import IntArray
from geocells.claims import Claims
from geocells.constructions import _bottom_up_kernels
from geocells.constructions.heat_map import HeatMaps
from geocells.moments import Moments

RANKINGS = {
    "mean_wcss": _bottom_up_kernels.BY_MEAN_WCSS,
    "wcss": _bottom_up_kernels.BY_WCSS,
    "count": _bottom_up_kernels.BY_COUNT,
}
COMPETITIONS = ("level", "all")


def bottom_up(
    maps: HeatMaps,
    moments: Moments | None,
    *,
    min_images: int,
    competition: str = "level",
    rank_by: str = "mean_wcss",
) -> Claims:
    """Let hot spots claim their images.

    Parameters
    ----------
    maps : HeatMaps
        Windows that could be hot.
    moments : Moments or None
        Of the images that each node owns (those in none of its children), for the nodes that own any, in order; not
        needed with ``rank_by="count"``. Used up: merged in place.
    min_images : int
        Unclaimed images that make a window hot.
    competition : {"level", "all"}
        Hot spots of one level compete at a time, from the finest up; or those of all levels at once.
    rank_by : {"mean_wcss", "wcss", "count"}
        The lowest WCSS an image, the lowest WCSS, or the highest number of images claims first. Equal to nine digits:
        the finer level, then the lower code.

    Returns
    -------
    claims : Claims
        In the order in which they were made, as Morton codes of leaves; each of a window's sub-bins is a range.

    Notes
    -----
    Windows wait in a heap. After a claim only the windows that share a bin with it are scored again, each by merging
    the moments of its overlap^2 sub-bins: O(overlap^2 n_features).

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, bottom-up cells.
    """
    n_nodes = maps.n_nodes
    own = np.flatnonzero(maps.own_counts > 0)
    rows_of_own = np.full(n_nodes, -1, dtype=np.int64)
    if moments is None:
        rank_by = "count"
        means, m2 = np.zeros((0, 0)), np.zeros(0)
    else:
        rows_of_own[own] = np.arange(len(own))
        means, m2 = moments.mean, moments.m2
    counts = np.zeros(n_nodes, dtype=np.int64)
    edges, windows = _bottom_up_kernels.windows_of_nodes(maps.window_nodes, n_nodes)
    if competition == "all":
        rows = np.full(n_nodes, -1, dtype=np.int64)
        if moments is not None:
            # What a node owns stays apart from what it has together with its children.
            rows = len(own) + np.arange(n_nodes)
            means = np.concatenate([means, np.zeros((n_nodes, means.shape[1]))])
            m2 = np.concatenate([m2, np.zeros(n_nodes)])
        tree = (maps.node_children, maps.own_counts, rows_of_own, counts, rows, means, m2)
        _bottom_up_kernels.gather_all(*tree)
        claimed = _compete(maps, edges, windows, 0, maps.n_windows, True, rank_by, min_images, tree)
        return maps.window_claims(claimed)
    rows = np.full(n_nodes, -1, dtype=np.int64)
    tree = (maps.node_children, maps.own_counts, rows_of_own, counts, rows, means, m2)
    claimed_by_level = []
    for place in range(len(maps.level_nodes) - 1):
        low, high = maps.level_nodes[place : place + 2]
        _bottom_up_kernels.gather_level(low, high, *tree)
        low, high = maps.level_windows[place : place + 2]
        claimed_by_level.append(
            _compete(maps, edges, windows, low, high, False, rank_by, min_images, tree)
        )
    return maps.window_claims(np.concatenate(claimed_by_level))


def _compete(
    maps: HeatMaps,
    edges: IntArray,
    windows: IntArray,
    low: int,
    high: int,
    across_levels: bool,
    rank_by: str,
    min_images: int,
    tree: tuple[np.ndarray, ...],
) -> IntArray:
    children, *others = tree
    claimed: IntArray = _bottom_up_kernels.compete(
        low,
        high,
        across_levels,
        RANKINGS[rank_by],
        min_images,
        maps.window_nodes,
        edges,
        windows,
        children,
        maps.node_parent,
        *others,
    )
    return claimed
