"""Thin counts of leaf codes: fold bins together that no construction can tell apart."""

from __future__ import annotations

import numpy as np

from geocells._types import CodeArray, IntArray
from geocells.constructions.bins import Bins
from geocells.grids import GroupedGrid
from geocells.grids.base import gather_bits, spread_bits


def thin(
    bins: Bins, grid: GroupedGrid, *, min_images: int, extra_levels: int, has_windows: bool
) -> Bins:
    """Bins from which a construction makes the same cells.

    Parameters
    ----------
    bins : Bins
        Of all images.
    grid : GroupedGrid
    min_images : int
        Images that a cell needs.
    extra_levels : int
        Levels of leaves below the deepest cells.
    has_windows : bool
        Whether hot spots are looked for in windows (bottom-up), rather than in quadtree cells alone.

    Returns
    -------
    thinned : Bins
        Every code is one of ``bins``, and stands for itself and some of those after it (in Morton order). None of
        them belongs to a cell that does not hold all of them.

    Notes
    -----
    A quadtree cell with fewer than ``min_images`` images is never split, so top-down and consolidated cells never look
    below it: its bins may become one. A window that hot spots are looked for in may reach over the border of a
    quadtree cell, by less than its own side; so for bottom-up cells a cell's bins are folded only where it has fewer
    than ``min_images`` images *together with its eight neighbours*, and only as far as wider windows can't see.
    O(n_bins) a level, of bins that become ever fewer.
    """
    codes, counts = [], []
    for group, root, leaf_level in grid.faces():
        low, high = bins.slice_of(root, root + 4**leaf_level)
        start = np.uint64(grid.group_start(group))
        morton = grid.grids[group].to_morton(bins.codes[low:high] - start) - (
            np.uint64(root) - start
        )
        order = np.argsort(morton, kind="stable")
        stays, images = _fold(
            morton[order],
            bins.counts[low:high][order],
            leaf_level,
            min_images,
            extra_levels,
            has_windows,
        )
        in_order = np.argsort(order[stays], kind="stable")
        codes.append(bins.codes[low:high][order[stays]][in_order])
        counts.append(images[in_order])
    return Bins.from_counts(np.concatenate(codes), np.concatenate(counts))


def _fold(
    codes: CodeArray,
    counts: IntArray,
    leaf_level: int,
    min_images: int,
    extra_levels: int,
    has_windows: bool,
) -> tuple[IntArray, IntArray]:
    """Positions of the sorted codes that stay, and the images each stands for.

    Let a block of level l, with its neighbours, be short of ``min_images``. No window of its size or finer that
    touches it can be hot, and wider ones are made of sub-bins of level ``l - 1 + extra_levels`` or coarser: its bins
    may be folded that far, and no farther than into the block itself. What was folded stays in its block, so that the
    windows of its neighbours, too, hold no more than they could before.
    """
    stays = np.arange(len(codes))
    above = max(0, extra_levels - 1)
    for n_levels in range(1, leaf_level - above + 1):
        if len(codes) < 2:
            break
        blocks = codes >> np.uint64(2 * (n_levels + above))
        first = np.flatnonzero(np.append(True, blocks[1:] != blocks[:-1]))
        images = np.add.reduceat(counts, first)
        quiet = images < min_images
        if has_windows and quiet.any():
            around = _with_neighbours(blocks[first], images, np.flatnonzero(quiet))
            quiet[quiet] = around < min_images
        if not quiet.any():
            break  # a wider block has no fewer images
        quiet_of_bin = np.repeat(quiet, np.diff(np.append(first, len(codes))))
        folds = codes >> np.uint64(2 * n_levels)
        is_first = np.append(True, ~quiet_of_bin[1:] | (folds[1:] != folds[:-1]))
        counts = np.add.reduceat(counts, np.flatnonzero(is_first))
        codes, stays = codes[is_first], stays[is_first]
    return stays, counts


def _with_neighbours(blocks: CodeArray, images: IntArray, chosen: IntArray) -> IntArray:
    """Images of some blocks together with their eight neighbours, by sorted Morton codes of one level."""
    rows = gather_bits(blocks[chosen] >> np.uint64(1)).astype(np.int64)
    columns = gather_bits(blocks[chosen]).astype(np.int64)
    total = images[chosen].copy()
    for row_step in (-1, 0, 1):
        for column_step in (-1, 0, 1):
            if row_step == column_step == 0:
                continue
            row, column = rows + row_step, columns + column_step
            # Beyond the face no code is found: negative numbers are passed over, large ones are no block's.
            inside = (row >= 0) & (column >= 0)
            row_bits, column_bits = (
                spread_bits(own[inside].astype(np.uint64)) for own in (row, column)
            )
            neighbours = (row_bits << np.uint64(1)) | column_bits
            places = np.minimum(np.searchsorted(blocks, neighbours), len(blocks) - 1)
            total[inside] += np.where(blocks[places] == neighbours, images[places], 0)
    return total
