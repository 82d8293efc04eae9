"""From coordinates to the cells that hold them."""

from __future__ import annotations

import numpy as np

from geocells._types import CodeArray, FloatArray, IntArray
from geocells.cells._ranges import Ranges
from geocells.grids import OUTSIDE, GroupedGrid
from geocells.sphere import haversine, to_unit_vectors

NO_CELL = -1
OUTSIDE_CHOICES = ("nearest", "noise", "raise")
"""What may be answered where no cell holds a coordinate."""


def cells_that_hold(
    grid: GroupedGrid,
    ranges: Ranges,
    coords: FloatArray,
    group_of_row: IntArray | None,
    centroids: FloatArray,
) -> IntArray:
    """Cell that claims each coordinate, (n,) int64; -1 where none does.

    Where there are groups and the rows' own are not given, cells of several groups may claim one place; then the one
    whose centroid is nearest answers.
    """
    if group_of_row is not None or len(grid.grids) == 1:
        return ranges.cell_of_codes(grid.encode(coords, group_of_row))
    cells = np.full(len(coords), NO_CELL, dtype=np.int64)
    nearest_km = np.full(len(coords), np.inf)
    for group, own in enumerate(grid.grids):
        codes: CodeArray = own.encode(coords)
        rows = np.flatnonzero(codes != OUTSIDE)
        found = ranges.cell_of_codes(codes[rows] + np.uint64(grid.group_start(group)))
        rows, found = rows[found >= 0], found[found >= 0]
        km = haversine(coords[rows], centroids[found])
        nearer = km < nearest_km[rows]
        cells[rows[nearer]] = found[nearer]
        nearest_km[rows[nearer]] = km[nearer]
    return cells


def nearest_cells(
    coords: FloatArray,
    centroids: FloatArray,
    group_of_row: IntArray | None = None,
    group_of_cell: IntArray | None = None,
) -> IntArray:
    """Cell with the centroid nearest to each coordinate on the sphere, among those of its group where one is given.

    A row of an unknown group, or of one without cells, is answered from all cells.
    """
    vectors = to_unit_vectors(coords)
    targets = to_unit_vectors(centroids)
    nearest = np.empty(len(coords), dtype=np.int64)
    if group_of_row is None or group_of_cell is None:
        return _query(targets, vectors)
    has_cells = np.isin(group_of_row, group_of_cell)
    for group in np.unique(group_of_row[has_cells]):
        rows = np.flatnonzero(group_of_row == group)
        own = np.flatnonzero(group_of_cell == group)
        nearest[rows] = own[_query(targets[own], vectors[rows])]
    if not has_cells.all():
        nearest[~has_cells] = _query(targets, vectors[~has_cells])
    return nearest


def _query(targets: FloatArray, vectors: FloatArray) -> IntArray:
    """Index of the nearest target; the lowest one when several are equally near."""
    if len(targets) == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    from scipy.spatial import cKDTree

    distances, found = cKDTree(targets).query(vectors, k=2, workers=1)
    tied = distances[:, 0] == distances[:, 1]
    nearest: IntArray = np.where(tied, found.min(axis=1), found[:, 0]).astype(np.int64)
    return nearest
