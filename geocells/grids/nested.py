"""One space of codes for grids that differ in the level of their leaves only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from geocells._types import CodeArray, IntArray
from geocells.grids.base import Grid, outside_code
from geocells.grids.grouped import GroupedGrid


def common_grid(grids: Sequence[GroupedGrid]) -> GroupedGrid:
    """Grid with the same roots and the deepest leaves of all.

    Raises
    ------
    ValueError
        When the grids have not the same roots, group by group.
    """
    n_groups = {len(grid.grids) for grid in grids}
    if len(n_groups) != 1:
        raise ValueError(
            f"Partitions must have the same groups; they have {sorted(n_groups)} of them."
        )
    common = []
    for group, own in enumerate(zip(*(grid.grids for grid in grids), strict=True)):
        deepest = max(each.max_level for each in own)
        deepened = [_with_leaves(each, deepest) for each in own]
        other = next((each for each in deepened if each != deepened[0]), None)
        if other is not None:
            of_group = f" of group {group}" if len(grids[0].grids) > 1 else ""
            raise ValueError(
                f"Partitions must share their root box{of_group}, so that cells of one are made of the leaves of "
                f"another; got {deepened[0]} and {other}. Give all of them the same grid, bounds and min_cell_size."
            )
        common.append(deepened[0])
    return GroupedGrid(tuple(common))


def _with_leaves(grid: Grid, level: int) -> Grid:
    if grid.max_level == level or not dataclasses.is_dataclass(grid) or isinstance(grid, type):
        return grid
    deepened: Grid = dataclasses.replace(grid, max_level=level)
    return deepened


def _levels_between(fine: GroupedGrid, coarse: GroupedGrid) -> IntArray:
    return np.array(
        [
            2 * (one.max_level - other.max_level)
            for one, other in zip(fine.grids, coarse.grids, strict=True)
        ]
    )


def coarsened(codes: CodeArray, fine: GroupedGrid, coarse: GroupedGrid) -> CodeArray:
    """Leaf codes on ``coarse`` from those on ``fine``, (n,) of ``coarse.code_type``; "outside" stays outside.

    Equal to encoding the coordinates on ``coarse``: a leaf is made of whole leaves of the finer grid.
    """
    outside = codes == np.iinfo(codes.dtype).max
    bits = _levels_between(fine, coarse)
    if len(bits) == 1:
        own = codes >> codes.dtype.type(bits[0])
    else:
        wide = codes.astype(np.uint64)
        group = np.where(outside, 0, wide >> np.uint64(fine.bits)).astype(np.int64)
        inner = wide & np.uint64((1 << fine.bits) - 1)
        own = (inner >> bits[group].astype(np.uint64)) + (
            group.astype(np.uint64) << np.uint64(coarse.bits)
        )
    out: CodeArray = own.astype(coarse.code_type)
    out[outside] = outside_code(coarse.code_type)
    return out


def refined(
    starts: CodeArray, stops: CodeArray, coarse: GroupedGrid, fine: GroupedGrid
) -> tuple[CodeArray, CodeArray]:
    """Half-open ranges of leaf codes on ``fine`` from those on ``coarse``, (n,) uint64."""
    bits = _levels_between(fine, coarse)
    group = coarse.group_of_code(starts)
    shift = bits[group].astype(np.uint64)
    above = group.astype(np.uint64) << np.uint64(fine.bits)
    below = group.astype(np.uint64) << np.uint64(coarse.bits)
    return ((starts - below) << shift) + above, ((stops - below) << shift) + above
