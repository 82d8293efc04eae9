"""Thin counts of leaf codes: fold bins together that no construction can tell apart.

A quadtree cell with fewer than ``min_images`` images is never split, so top-down and consolidated cells never look
below it: its bins may become one. A window that hot spots are looked for in may reach over the border of a quadtree
cell, by less than its own side; so for bottom-up cells a cell's bins are folded only where it has fewer than
``min_images`` images *together with its eight neighbours*, and only as far as windows wider than it can't see.
"""

from __future__ import annotations

import numpy as np

from geocells._types import CodeArray, IntArray
from geocells.constructions import Bins
from geocells.fitting import Options
from geocells.grids import GroupedGrid


def thin(bins: Bins, options: Options, grid: GroupedGrid) -> Bins:
    """Bins from which a construction makes the same claims.

    Parameters
    ----------
    bins : Bins
        Of all images.
    options : Options
    grid : GroupedGrid

    Returns
    -------
    thinned : Bins
        Every code is one of ``bins``, and stands for itself and some of those after it (in Morton order). None of
        them belongs to a claim that does not hold all of them.

    Notes
    -----
    O(n_bins) a level, of bins that become ever fewer.
    """
    codes, counts = bins.codes, bins.counts
    parts_codes, parts_counts = [], []
    for group, root, leaf_level in grid.faces():
        low, high = bins.slice_of(root, root + 4**leaf_level)
        own_codes, own_counts = codes[low:high], counts[low:high]
        if options.method == "bottom_up":
            start = np.uint64(grid.group_start(group))
            place = np.uint64(root - grid.group_start(group))
            morton = grid.grids[group].to_morton(own_codes - start) - place
            order = np.argsort(morton, kind="stable")
            kept, folded = _fold(
                morton[order],
                own_counts[order],
                leaf_level,
                options.min_images,
                options.extra_levels,
                with_neighbours=True,
            )
            kept = order[kept]
            order = np.argsort(kept, kind="stable")
            kept, folded = kept[order], folded[order]
        else:
            first = own_codes - np.uint64(root)
            kept, folded = _fold(
                first, own_counts, leaf_level, options.min_images, 1, with_neighbours=False
            )
        parts_codes.append(own_codes[kept])
        parts_counts.append(folded)
    return Bins(
        np.concatenate(parts_codes), np.concatenate([[0], np.cumsum(np.concatenate(parts_counts))])
    )


def _fold(
    codes: CodeArray,
    counts: IntArray,
    leaf_level: int,
    min_images: int,
    depth: int,
    *,
    with_neighbours: bool,
) -> tuple[IntArray, IntArray]:
    """Positions of the codes that stay, and the images each stands for.

    Parameters
    ----------
    codes : (n,) uint64
        Sorted, from 0.
    depth : int
        Sub-bins lie so many levels below their window.

    Notes
    -----
    Let a block of level l, with its neighbours, be short of ``min_images``. No window of its size or finer that
    touches it can be hot, and wider ones are made of sub-bins of level ``l - 1 + depth`` or coarser: its bins may be
    folded that far, and no farther than into the block itself. What was folded stays in its block, so that the windows
    of its neighbours, too, hold no more than they could before.
    """
    kept = np.arange(len(codes))
    above = max(0, depth - 1)
    for folded_levels in range(1, leaf_level - above + 1):
        if len(codes) < 2:
            break
        blocks = codes >> np.uint64(2 * (folded_levels + above))
        first = np.flatnonzero(np.append(True, blocks[1:] != blocks[:-1]))
        images = np.add.reduceat(counts, first)
        quiet = images < min_images
        if with_neighbours and quiet.any():
            quiet[quiet] = _around(blocks[first], images, np.flatnonzero(quiet)) < min_images
        if not quiet.any():
            # A wider block has no fewer images.
            break
        quiet_of_bin = np.repeat(quiet, np.diff(np.append(first, len(codes))))
        folds = codes >> np.uint64(2 * folded_levels)
        stays = np.append(True, ~quiet_of_bin[1:] | (folds[1:] != folds[:-1]))
        counts = np.add.reduceat(counts, np.flatnonzero(stays))
        codes, kept = codes[stays], kept[stays]
    return kept, counts


def _around(blocks: CodeArray, images: IntArray, asked: IntArray) -> IntArray:
    """Images of some blocks together with their eight neighbours, by sorted Morton codes of one level."""
    rows, columns = _gather(blocks[asked] >> np.uint64(1)), _gather(blocks[asked])
    total = images[asked].copy()
    for row_step in (-1, 0, 1):
        for column_step in (-1, 0, 1):
            if row_step == column_step == 0:
                continue
            row, column = rows + row_step, columns + column_step
            # Beyond the face no code is found: negative numbers are passed over, large ones are no block's.
            inside = (row >= 0) & (column >= 0)
            neighbours = (_spread(row[inside]) << np.uint64(1)) | _spread(column[inside])
            places = np.minimum(np.searchsorted(blocks, neighbours), len(blocks) - 1)
            total[inside] += np.where(blocks[places] == neighbours, images[places], 0)
    return total


def _gather(codes: CodeArray) -> IntArray:
    """Every other bit of Morton codes, from the lowest: column numbers."""
    values = codes & np.uint64(0x5555555555555555)
    values = (values | (values >> np.uint64(1))) & np.uint64(0x3333333333333333)
    values = (values | (values >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    values = (values | (values >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF)
    return values.astype(np.int64)


def _spread(numbers: IntArray) -> CodeArray:
    """Undo `_gather`."""
    values = numbers.astype(np.uint64)
    values = (values | (values << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    values = (values | (values << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values | (values << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    values = (values | (values << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (values | (values << np.uint64(1))) & np.uint64(0x5555555555555555)
