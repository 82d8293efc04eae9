"""Top-down and consolidated cells of one root cell, level by level."""

from __future__ import annotations

import numpy as np

from geocells.array_types import BoolArray, CodeArray
from geocells.constructions.bins import Bins, PrioritizedRanges


def top_down(
    bins: Bins,
    leaf_level: int,
    deepest: int,
    *,
    min_images: int,
    max_images: int | None = None,
) -> PrioritizedRanges:
    """Split a root cell while a child would have enough images.

    Parameters
    ----------
    bins : Bins
        Occupied leaves of the root, by code from 0, and their images.
    leaf_level : int
        Level of the leaf codes: the root spans ``4**leaf_level`` of them.
    deepest : int
        Cells of this level are not split, ``deepest <= leaf_level``.
    min_images : int
        Split while any child holds at least this many images.
    max_images : int, optional
        Given, split while the cell holds more than this many images instead, and keep no leaf that holds fewer than
        ``min_images``: the adaptive partition of [2]_ and [3]_, which drop such leaves.

    Returns
    -------
    ranges : PrioritizedRanges
        One range for every non-empty leaf. Without ``max_images`` a leaf may hold fewer than ``min_images``.

    Notes
    -----
    O(n_cells * log n_bins).

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, top-down cells.
    .. [2] Weyand, Kostrikov, Philbin (2016), PlaNet.
    .. [3] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos (ISN).
    """
    n_images = bins.totals[-1:]
    cells = np.zeros(1, dtype=np.uint64)[n_images > 0]
    n_images = n_images[n_images > 0]
    least = 1 if max_images is None else min_images
    leaves, levels = [], []
    for level in range(deepest + 1):
        is_split: BoolArray = np.zeros(len(cells), dtype=bool)
        children: CodeArray = np.add(cells[:, None] << np.uint64(2), np.arange(5, dtype=np.uint64))
        if level < deepest:
            edges = np.searchsorted(bins.codes, children << np.uint64(2 * (leaf_level - level - 1)))
            held = np.diff(bins.totals[edges], axis=1)
            has_full_child: BoolArray = np.any(held >= min_images, axis=1)
            is_split = has_full_child if max_images is None else n_images > max_images
        leaves.append(cells[~is_split & (n_images >= least)])
        levels.append(np.full(len(leaves[-1]), level, dtype=np.int64))
        if not is_split.any():
            break
        held = held[is_split]
        cells, n_images = children[is_split, :4][held > 0], held[held > 0]
    return PrioritizedRanges.from_cells(np.concatenate(leaves), np.concatenate(levels), leaf_level)


def consolidate(bins: Bins, leaf_level: int, deepest: int, *, min_images: int) -> PrioritizedRanges:
    """Cells of :func:`top_down`, those short of images handed up to their parent.

    A parent that is handed enough becomes a cell, with its children's cells as holes in it; otherwise it hands on. What
    reaches the root short stays without a cell.

    Parameters
    ----------
    bins, leaf_level, deepest, min_images
        As in :func:`top_down`.

    Returns
    -------
    ranges : PrioritizedRanges
        One range a cell, children before their parents. Every cell gets at least ``min_images`` images.

    Notes
    -----
    The result depends on the grid, ``min_images`` and ``deepest`` alone, so one upward walk gives it: O(n_bins) at
    first, less with every level.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, consolidated cells.
    """
    bins = bins.coarsened(leaf_level - deepest)
    cells, levels = [], []
    for level in range(deepest, -1, -1):
        counts = bins.counts
        is_cell = counts >= min_images
        cells.append(bins.codes[is_cell])
        levels.append(np.full(len(cells[-1]), level, dtype=np.int64))
        bins = Bins.from_counts(bins.codes[~is_cell], counts[~is_cell]).coarsened(1)
    return PrioritizedRanges.from_cells(np.concatenate(cells), np.concatenate(levels), leaf_level)
