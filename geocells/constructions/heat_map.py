"""Heat maps: at every level the windows that could be hot spots, from the coordinates alone.

The level-l heat map counts images in windows of one level-l cell's size, placed at every 1/overlap of its side. A
window is made of overlap x overlap *sub-bins*, quadtree cells log2(overlap) levels below it. Claims only ever take
images away, so the windows that hold enough images at the outset are the only ones that can ever be hot, and their
sub-bins are the only bins whose features matter. These are known before any feature is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geocells._types import CodeArray, IntArray
from geocells.claims import Claims
from geocells.constructions import _heat_map_kernels
from geocells.constructions.bins import Bins


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

    @property
    def n_nodes(self) -> int:
        """Number of sub-bins that matter."""
        return len(self.node_level)

    @property
    def n_windows(self) -> int:
        """Number of windows that could be hot."""
        return len(self.window_level)

    def node_claims(self) -> Claims:
        """Every node as a cell of its own, the finest first: the first claim on a code is the node that owns it."""
        shift = (2 * (self.leaf_level - self.node_level)).astype(np.uint64)
        starts = self.node_code << shift
        return Claims.one_range_a_cell(starts, starts + (np.uint64(1) << shift), self.node_level)

    def window_claims(self, windows: IntArray) -> Claims:
        """Claims of windows in this order, each with all its sub-bins, as Morton codes of leaves."""
        sub_bins = _heat_map_kernels.window_cells(self.window_anchor[windows], self.overlap)
        levels = self.window_level[windows]
        depth = self.overlap.bit_length() - 1
        shift = np.repeat(2 * (self.leaf_level - levels - depth), self.overlap**2).astype(np.uint64)
        starts = sub_bins.ravel() << shift
        return Claims(
            starts,
            starts + (np.uint64(1) << shift),
            np.repeat(np.arange(len(windows), dtype=np.int64), self.overlap**2),
            levels,
        )


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
    codes, counts = bins.codes, bins.counts
    for _ in range(leaf_level - deepest - depth):
        codes, counts = _heat_map_kernels.coarsen(codes, counts)
    parts: list[tuple[IntArray, CodeArray, IntArray, IntArray, IntArray]] = []
    windows: list[tuple[IntArray, CodeArray, IntArray]] = []
    n_nodes = 0
    finer_codes = np.empty(0, dtype=np.uint64)
    finer_counts = np.empty(0, dtype=np.int64)
    for level in range(deepest, -1, -1):
        anchors, members = _heat_map_kernels.find_windows(
            codes, counts, level + depth, overlap, min_images
        )
        order = np.argsort(anchors, kind="stable")
        anchors, members = anchors[order], members[order]
        needed = np.zeros(len(codes) + 1, dtype=bool)
        needed[members.ravel()] = True
        needed = needed[:-1]
        number = np.full(len(codes) + 1, -1, dtype=np.int64)
        number[:-1][needed] = n_nodes + np.arange(int(needed.sum()))
        own_codes, own_counts = codes[needed], counts[needed]
        edges = np.searchsorted(finer_codes >> np.uint64(2), own_codes)
        ends = np.searchsorted(finer_codes >> np.uint64(2), own_codes, side="right")
        held = np.concatenate([[0], np.cumsum(finer_counts)])
        first_finer = n_nodes - len(finer_codes)
        parts.append(
            (
                np.full(len(own_codes), level + depth, dtype=np.int64),
                own_codes,
                first_finer + np.column_stack([edges, ends]),
                own_counts - (held[ends] - held[edges]),
                np.repeat(n_nodes + np.arange(len(own_codes)), ends - edges),
            )
        )
        windows.append((np.full(len(anchors), level, dtype=np.int64), anchors, number[members]))
        n_nodes += len(own_codes)
        finer_codes, finer_counts = own_codes, own_counts
        codes, counts = _heat_map_kernels.coarsen(codes, counts)
    # Parents come one level later than the nodes they belong to.
    parents = [part[4] for part in parts[1:]] + [np.full(len(finer_codes), -1, dtype=np.int64)]
    return HeatMaps(
        overlap=overlap,
        leaf_level=leaf_level,
        node_level=np.concatenate([part[0] for part in parts]),
        node_code=np.concatenate([part[1] for part in parts]),
        node_parent=np.concatenate(parents),
        node_children=np.concatenate([part[2] for part in parts]),
        own_counts=np.concatenate([part[3] for part in parts]),
        window_level=np.concatenate([window[0] for window in windows]),
        window_anchor=np.concatenate([window[1] for window in windows]),
        window_nodes=np.concatenate([window[2] for window in windows]),
        level_nodes=np.cumsum([0] + [len(part[0]) for part in parts]),
        level_windows=np.cumsum([0] + [len(window[0]) for window in windows]),
    )
