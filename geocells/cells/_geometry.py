"""Polygons of cells: the union of the quadtree cells that their ranges cut into."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import affinity

from geocells._types import IntArray, ObjectArray
from geocells.cells import _ranges_kernels
from geocells.cells._ranges import Ranges
from geocells.grids import CurvedGrid, GroupedGrid


def cell_polygons(grid: GroupedGrid, ranges: Ranges, n_cells: int) -> ObjectArray:
    """Polygon of each cell, (n_cells,) of shapely Polygon or MultiPolygon in (longitude, latitude) degrees.

    Holes are holes. A cell over the antimeridian is cut there into parts, as GeoJSON has it.

    Notes
    -----
    On a grid of latitude and longitude every edge is the very float64 number that encoding compares against, so
    neighbours share their edges exactly. A curved grid joins its cells itself, where they are squares.
    """
    leaf_levels = grid.max_level_of_code(ranges.starts)
    codes, levels, owners = _ranges_kernels.quadtree_cells(ranges.starts, ranges.stops, leaf_levels)
    cell_of_piece = ranges.cells[owners]
    group_of_piece = grid.group_of_code(codes)
    is_curved = np.array([isinstance(own, CurvedGrid) for own in grid.grids])[group_of_piece]
    if not is_curved.any():
        return _unions_of_boxes(grid.polygons(codes, levels), cell_of_piece, n_cells)
    boxes = np.flatnonzero(~is_curved)
    polygons = _unions_of_boxes(
        grid.polygons(codes[boxes], levels[boxes]), cell_of_piece[boxes], n_cells
    )
    for group in np.unique(group_of_piece[is_curved]):
        rows = np.flatnonzero(group_of_piece == group)
        own_grid = grid.grids[group]
        if not isinstance(own_grid, CurvedGrid):
            continue
        cells, owner_of_row = np.unique(cell_of_piece[rows], return_inverse=True)
        unions = own_grid.union_polygons(
            codes[rows] - np.uint64(grid.group_start(int(group))),
            levels[rows],
            owner_of_row,
            len(cells),
        )
        empty = shapely.is_empty(polygons[cells])
        polygons[cells[empty]] = unions[empty]
        polygons[cells[~empty]] = shapely.union(polygons[cells[~empty]], unions[~empty])
    return polygons


def _unions_of_boxes(pieces: ObjectArray, cell_of_piece: IntArray, n_cells: int) -> ObjectArray:
    order = np.argsort(cell_of_piece, kind="stable")
    edges = np.searchsorted(cell_of_piece[order], np.arange(n_cells + 1))
    polygons = np.empty(n_cells, dtype=object)
    for cell in range(n_cells):
        own = pieces[order[edges[cell] : edges[cell + 1]]]
        polygons[cell] = own[0] if len(own) == 1 else shapely.union_all(own)
    return cut_at_antimeridian(polygons)


def cut_at_antimeridian(polygons: ObjectArray) -> ObjectArray:
    """Bring what lies east of 180 degrees back to the west, in place; polygons become MultiPolygons where it cuts."""
    east = shapely.bounds(polygons)[:, 2]
    for cell in np.flatnonzero(east > 180.0):
        polygon = polygons[cell]
        near = shapely.intersection(polygon, shapely.box(-180.0, -90.0, 180.0, 90.0))
        far = shapely.intersection(polygon, shapely.box(180.0, -90.0, 540.0, 90.0))
        parts = [
            part
            for part in shapely.get_parts([near, affinity.translate(far, xoff=-360.0)])
            if part.geom_type == "Polygon" and not part.is_empty
        ]
        polygons[cell] = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return polygons
