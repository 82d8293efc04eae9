"""Few S2 cells that together cover a polygon, or a union of many S2 cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely

from geocells.array_types import CodeArray, IntArray, ObjectArray
from geocells.grids._s2_outlines import outlines
from geocells.grids.s2 import AVERAGE_EDGE, DEEPEST, S2Grid

STRAY = 1e-4
"""How far a side is drawn from the true one at most, in average edges of its level."""

S2Cells = tuple[CodeArray, IntArray, IntArray]
"""First leaf code (of level 30), level and owner of each S2 cell, (n,) each."""


def meeting_cells(polygons: ObjectArray, max_cells: int) -> S2Cells:
    """S2 cells that meet each of (n,) polygons, finer and finer until there are more than ``max_cells``.

    Polygons are in (longitude, latitude) degrees, cut at the antimeridian. No cell is missing; one that only comes near
    may be among them.
    """
    shapely.prepare(polygons)
    leaves = np.tile(np.arange(6, dtype=np.uint64) << np.uint64(2 * DEEPEST), len(polygons))
    owners = np.repeat(np.arange(len(polygons)), 6)
    n_kept = np.zeros(len(polygons), dtype=np.int64)
    kept = []
    for level in range(DEEPEST + 1):
        distinct, number = np.unique(leaves, return_inverse=True)
        drawn, blur = _drawn(distinct, level)
        meets = shapely.dwithin(polygons[owners], drawn[number], blur[number])
        leaves, owners, number = leaves[meets], owners[meets], number[meets]
        is_enough = n_kept + np.bincount(owners, minlength=len(polygons)) > max_cells
        is_kept = is_enough[owners] | (level == DEEPEST)
        is_kept |= shapely.contains_properly(polygons[owners], drawn[number])
        kept.append((leaves[is_kept], np.full(is_kept.sum(), level), owners[is_kept]))
        n_kept += np.bincount(owners[is_kept], minlength=len(polygons))
        children = np.arange(4, dtype=np.uint64) << np.uint64(max(0, 2 * (DEEPEST - level - 1)))
        leaves = np.add.outer(leaves[~is_kept], children).ravel()
        owners = np.repeat(owners[~is_kept], 4)
        if not len(leaves):
            break
    leaves, levels, owners = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return leaves, levels, owners


def _drawn(leaves: CodeArray, level: int) -> tuple[ObjectArray, Any]:
    """S2 cells of a level on the map, and the degrees by which their sides may be off there."""
    edge = math.radians(AVERAGE_EDGE) / 2**level
    squares = S2Grid().squares(leaves, np.full(len(leaves), level))
    drawn = outlines(*squares, np.arange(len(leaves)), len(leaves), finest=STRAY * edge)
    _, south, _, north = shapely.bounds(drawn).T
    # No side but meridians, which are exact, comes nearer to a pole than half an edge or so.
    shrink = np.cos(np.radians(np.maximum(north, -south)))
    return drawn, np.degrees(2 * STRAY * edge / np.maximum(shrink, edge / 4))


def coarsened(cells: S2Cells, max_cells: int) -> S2Cells:
    """Replace the finest cells of each owner by their parents, level by level, until it has at most ``max_cells``."""
    leaves, levels, owners = cells
    for level in range(int(levels.max(initial=0)), 0, -1):
        rises = (levels == level) & (np.bincount(owners)[owners] > max_cells)
        span = np.uint64(1) << np.uint64(2 * (DEEPEST - level + 1))
        leaves = np.where(rises, leaves & ~(span - np.uint64(1)), leaves)
        levels = levels - rises
        rows = np.stack([owners, leaves.astype(np.int64), levels])
        owners, first, levels = np.unique(rows, axis=1)
        leaves = first.astype(np.uint64)
    return leaves, levels, owners
