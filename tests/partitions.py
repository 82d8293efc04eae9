"""Partitions for the tests, and when two of them are the same cells."""

from typing import Any

import numpy as np

from geocells import CellBuilder, CellPartition, LatLonGrid
from geocells.grids.base import rows_and_columns


def consolidated(min_images: int, **options: object) -> CellBuilder:
    """Build by consolidation, whatever the default method is."""
    return CellBuilder(min_images, method="consolidated", **options)


def assert_same_cells(one: CellPartition, other: CellPartition) -> None:
    """Grid, ranges, groups and numbers of every cell agree to the last bit."""
    assert one.grid == other.grid
    for name in ("starts", "stops", "cells"):
        assert np.array_equal(getattr(one.ranges, name), getattr(other.ranges, name)), name
    for name in ("centroids", "locations", "counts", "levels"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert np.array_equal(ours, theirs), name
        assert ours.dtype == theirs.dtype, name
    assert (one.groups is None) == (other.groups is None)
    if one.groups is not None and other.groups is not None:
        assert one.groups.tolist() == other.groups.tolist()
        assert one.group_names.tolist() == other.group_names.tolist()
    assert one.outside == other.outside


def uniform_on_sphere(n: int, seed: int) -> np.ndarray:
    """Coordinates that are as dense everywhere on earth, (n, 2) degrees."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [np.degrees(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(-180, 180, n)]
    )


def cell_boxes(grid: LatLonGrid, codes: Any, level: int) -> np.ndarray:
    """South, west, north, east of cells by first leaf code, as drawn, (n, 4) degrees; longitudes run on past 180."""
    places = np.stack(rows_and_columns(np.asarray(codes, dtype=np.uint64)))
    low, high = grid._degrees(*places), grid._degrees(*places + 2 ** (grid.max_level - level))
    return np.stack([*low, *high], axis=1)


def drawn_cells(grid: Any, codes: Any, level: int) -> np.ndarray:
    """Polygon of each cell of a level, by its first leaf code."""
    codes = np.asarray(codes, dtype=np.uint64)
    n = len(codes)
    polygons: np.ndarray = grid.union_polygons(codes, np.full(n, level), np.arange(n), n)
    return polygons
