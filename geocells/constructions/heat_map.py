"""Heat maps: at every level the windows that could be hot spots, from the coordinates alone.

The level-l heat map counts images in windows of one level-l cell's size, placed at every 1/overlap of its side. A
window is made of overlap x overlap *sub-bins*, quadtree cells log2(overlap) levels below it. Images only ever leave the
heat maps, so the windows that hold enough images at the outset are the only ones that can ever be hot, and their
sub-bins are the only bins whose features matter. These are known before any feature is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocells.array_types import CodeArray, IntArray
from geocells.constructions.bins import Bins, PrioritizedRanges
from geocells.grids.base import morton, rows_and_columns


@dataclass(frozen=True)
class HeatMaps:
    """All windows of one root cell that could be hot, and the tree of their sub-bins, finest level first.

    Attributes
    ----------
    overlap : int
        Windows a cell side.
    leaf_level : int
        Level of the leaf codes below this root.
    node_level, node_code : (n_nodes,) int64, uint64
        Level and Morton code, at that level, of each sub-bin that some window needs; children before parents.
    node_parent : (n_nodes,) int64
        -1 at the top.
    node_children : (n_nodes, 2) int64
        First child and end of the children, which are neighbours.
    own_counts : (n_nodes,) int64
        Images of a node that lie in none of its children.
    window_level : (n_windows,) int64
        Level of the cells whose size the window has.
    window_anchor : (n_windows,) uint64
        Morton code of its lowest sub-bin.
    window_nodes : (n_windows, overlap**2) int64
        Its sub-bins, -1 for those without images.
    level_nodes, level_windows : (deepest + 2,) int64
        Where the nodes and windows of level ``deepest - i`` begin, at place i.
    """

    overlap: int
    leaf_level: int
    node_level: IntArray
    node_code: CodeArray
    node_parent: IntArray
    node_children: IntArray
    own_counts: IntArray
    window_level: IntArray
    window_anchor: CodeArray
    window_nodes: IntArray
    level_nodes: IntArray
    level_windows: IntArray

    def node_ranges(self) -> PrioritizedRanges:
        """Every node as a cell of its own, the finest first: a code belongs to the finest node that holds it."""
        return PrioritizedRanges.from_cells(self.node_code, self.node_level, self.leaf_level)

    def window_ranges(self, windows: IntArray) -> PrioritizedRanges:
        """Windows as cells, in this order of priority, each with all its sub-bins."""
        sub_bins = window_cells(self.window_anchor[windows], self.overlap)
        levels = self.window_level[windows]
        n_sub_bins = self.overlap**2
        ranges = PrioritizedRanges.from_cells(
            sub_bins.ravel(),
            np.repeat(levels + self.overlap.bit_length() - 1, n_sub_bins),
            self.leaf_level,
        )
        return PrioritizedRanges(ranges.starts, ranges.stops, ranges.cells // n_sub_bins, levels)


def heat_maps(
    bins: Bins, leaf_level: int, deepest: int, *, overlap: int, min_images: int
) -> HeatMaps:
    """Find the windows of one root cell that could be hot.

    Parameters
    ----------
    bins : Bins
        Occupied leaves of the root by Morton code, from 0.
    leaf_level : int
        Level of the leaves; at least ``deepest + log2(overlap)``.
    deepest : int
        Finest level of windows.
    overlap : int
        Windows a cell side, a power of two; 1 is the plain nested grid.
    min_images : int
        Images that make a window hot.

    Returns
    -------
    maps : HeatMaps

    Notes
    -----
    O(n_bins) a level to merge bins upwards, and O(overlap^4) for each sub-bin with at least ``min_images / overlap^2``
    images.
    """
    depth = overlap.bit_length() - 1
    bins = bins.coarsened(leaf_level - deepest - depth)
    finer = Bins.from_counts(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))
    levels = np.arange(deepest, -1, -1)
    codes, children, own_counts, parents, anchors, window_nodes = [], [], [], [], [], []
    n_nodes = 0
    for level in levels:
        window_codes, members = find_windows(
            bins.codes, bins.counts, int(level) + depth, overlap, min_images
        )
        order = np.argsort(window_codes, kind="stable")
        anchors.append(window_codes[order])
        is_needed = np.zeros(len(bins.codes) + 1, dtype=bool)  # the last one is what -1 names
        is_needed[members] = True
        needed = np.flatnonzero(is_needed[:-1])
        numbers = np.full(len(bins.codes) + 1, -1, dtype=np.int64)
        numbers[needed] = n_nodes + np.arange(len(needed))
        window_nodes.append(numbers[members[order]])
        nodes = Bins.from_counts(bins.codes[needed], bins.counts[needed])
        edges = np.searchsorted(
            finer.codes, np.stack([nodes.codes, nodes.codes + np.uint64(1)], axis=1) << np.uint64(2)
        )
        codes.append(nodes.codes)
        children.append(n_nodes - len(finer.codes) + edges)
        own_counts.append(nodes.counts - np.diff(finer.totals[edges], axis=1)[:, 0])
        # Of the nodes one level down: whatever makes a window hot makes the one around it hot too.
        parents.append(np.repeat(numbers[needed], np.diff(edges, axis=1)[:, 0]))
        n_nodes += len(needed)
        finer, bins = nodes, bins.coarsened(1)
    parents.append(np.full(len(finer.codes), -1, dtype=np.int64))
    n_nodes_of_level = [len(part) for part in codes]
    n_windows_of_level = [len(part) for part in anchors]
    return HeatMaps(
        overlap=overlap,
        leaf_level=leaf_level,
        node_level=np.repeat(levels + depth, n_nodes_of_level),
        node_code=np.concatenate(codes),
        node_parent=np.concatenate(parents),
        node_children=np.concatenate(children),
        own_counts=np.concatenate(own_counts),
        window_level=np.repeat(levels, n_windows_of_level),
        window_anchor=np.concatenate(anchors),
        window_nodes=np.concatenate(window_nodes),
        level_nodes=np.cumsum([0, *n_nodes_of_level]),
        level_windows=np.cumsum([0, *n_windows_of_level]),
    )


def find_windows(
    codes: CodeArray, counts: IntArray, level: int, overlap: int, min_images: int
) -> tuple[CodeArray, IntArray]:
    """Windows of ``overlap`` x ``overlap`` sub-bins with at least ``min_images`` images.

    Returns the Morton code of each window's lowest sub-bin, and the positions in ``codes`` of all its sub-bins, row by
    row (-1: no images). A window with enough images has a sub-bin with at least its share of ``min_images``; the
    windows of each such sub-bin are looked at, each at the first of its sub-bins that is one.
    """
    share, n_slots, reach = -(-min_images // overlap**2), 1 << level, overlap - 1
    seeds = np.flatnonzero(counts >= share)
    if len(seeds) == 0:  # most levels of most small roots
        return np.empty(0, dtype=np.uint64), np.empty((0, overlap**2), dtype=np.int64)
    rows, columns = rows_and_columns(codes[seeds])
    around = range(-reach, overlap)
    near = np.full((len(around), len(around), len(seeds)), -1)
    for i in around:
        for j in around:
            row, column = rows + i, columns + j
            codes_there = morton(row, column)
            places = np.minimum(np.searchsorted(codes, codes_there), len(codes) - 1)
            on_face = (np.minimum(row, column) >= 0) & (np.maximum(row, column) < n_slots)
            near[i + reach, j + reach] = np.where(
                on_face & (codes[places] == codes_there), places, -1
            )
    held = np.append(counts, 0)  # the last is what -1 names
    anchors, windows = [], []
    for up in range(overlap):
        for left in range(overlap):
            # The seed is sub-bin (up, left) of the window.
            row, column = rows - up, columns - left
            members = near[reach - up :, reach - left :][:overlap, :overlap]
            members = members.reshape(overlap**2, -1)
            images = held[members]
            is_window = images.sum(axis=0) >= min_images
            is_window &= ~(images[: up * overlap + left] >= share).any(axis=0)
            is_window &= np.minimum(row, column) >= 0
            is_window &= np.maximum(row, column) + overlap <= n_slots
            anchors.append(morton(row[is_window], column[is_window]))
            windows.append(members[:, is_window].T)
    return np.concatenate(anchors), np.concatenate(windows)


def window_cells(anchors: CodeArray, overlap: int) -> CodeArray:
    """Morton codes of all sub-bins of each window, those without images included, row by row."""
    rows, columns = rows_and_columns(anchors[:, None])
    up, left = divmod(np.arange(overlap**2), overlap)
    codes: CodeArray = morton(rows + up, columns + left)
    return codes
