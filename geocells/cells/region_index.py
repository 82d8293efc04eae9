"""The index of region cells: polygons, merged into blocks, blocks cut by half-open boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import shapely

from geocells.array_types import FloatArray, IntArray, ObjectArray
from geocells.cells.index import NO_CELL
from geocells.sphere import PolygonIndex, to_unit_vectors
from geocells.sphere.polygons import border_points, only_polygons

EDGES = ("south", "west", "north", "east")
GLOBE = np.array([-90.0, -180.0, 90.0, 180.0])


@dataclass(frozen=True, eq=False)
class RegionIndex:
    """Regions of the map in order, a cell being the part of a block of them inside a box; see `CellIndex`.

    Attributes
    ----------
    outlines : (n_regions,) object
        Valid shapely Polygons or MultiPolygons in (longitude, latitude) degrees. A place on a shared border, or in
        several regions, belongs to the first of them.
    block_of_region : (n_regions,) int64
        Regions of one block form a cell, or several.
    boxes : (n_cells, 4) float64
        South, west, north, east in degrees, infinite where nothing is cut: the southern and western edges belong to the
        box. Boxes of one block cover the plane and don't overlap.
    block_of_cell : (n_cells,) int64
        In order.
    group_of_region : (n_regions,) int64 or None
    """

    outlines: ObjectArray
    block_of_region: IntArray
    boxes: FloatArray
    block_of_cell: IntArray
    group_of_region: IntArray | None = None
    _indices: dict[int, Any] = field(default_factory=dict, repr=False)
    _trees: dict[int, Any] = field(default_factory=dict, repr=False)
    kind: ClassVar[str] = "regions"

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        arrays = (self.outlines, self.block_of_region, self.boxes, self.block_of_cell)
        return arrays if self.group_of_region is None else (*arrays, self.group_of_region)

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray | None = None
    ) -> IntArray:
        """Cell of the first region (of the row's group) that covers the place."""
        if group_of_row is None:
            return self._cells_of(self._first(coords, NO_CELL), coords)
        first = np.full(len(coords), NO_CELL, dtype=np.int64)
        for group in np.intersect1d(group_of_row, self.groups).tolist():
            rows = np.flatnonzero(group_of_row == group)
            first[rows] = self._first(coords[rows], group)
        return self._cells_of(first, coords)

    def _first(self, coords: FloatArray, group: int) -> IntArray:
        """First region of a group, of all for -1, that covers each of (n, 2) coordinates; -1 where none does."""
        if group not in self._indices:
            regions = self._regions_of(group)
            self._indices[group] = PolygonIndex(self.outlines[regions]), np.append(regions, NO_CELL)
        index, numbers = self._indices[group]
        first: IntArray = numbers[index.first(coords)]
        return first

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray | None = None,
        group_of_cell: IntArray | None = None,
    ) -> IntArray:
        """Cell of the region (of the row's group, where that has one) with the nearest of points of its border.

        Points are taken every 0.05 degrees.
        """
        groups = np.full(len(coords), NO_CELL)
        if group_of_row is not None:
            # Rows of groups without regions are answered from all.
            groups = np.where(np.isin(group_of_row, self.groups), group_of_row, NO_CELL)
        nearest = np.empty(len(coords), dtype=np.int64)
        for group in np.unique(groups).tolist():
            rows = np.flatnonzero(groups == group)
            nearest[rows] = self._nearest(coords[rows], group)
        return self._cells_of(nearest, coords)

    def _nearest(self, coords: FloatArray, group: int) -> IntArray:
        """Region of a group, of all for -1, nearest to each of (n, 2) coordinates."""
        from scipy.spatial import cKDTree

        if group not in self._trees:
            regions = self._regions_of(group)
            points, owners = border_points(self.outlines[regions])
            self._trees[group] = cKDTree(points), regions[owners]
        tree, region_of_point = self._trees[group]
        n_near = min(8, len(region_of_point))
        chords, points_near = tree.query(to_unit_vectors(coords), k=np.arange(1, n_near + 1))
        # Regions share the points of their common border: the first of the nearest ones.
        tied = np.where(chords == chords[:, :1], region_of_point[points_near], len(self.outlines))
        nearest: IntArray = tied.min(axis=1)
        return nearest

    def _regions_of(self, group: int) -> IntArray:
        return np.flatnonzero((self.groups == group) | (group == NO_CELL))

    @property
    def groups(self) -> IntArray:
        """Group of each region, (n_regions,) int64; 0 where there are none."""
        if self.group_of_region is None:
            return np.zeros(len(self.outlines), dtype=np.int64)
        return self.group_of_region

    def _cells_of(self, regions: IntArray, coords: FloatArray) -> IntArray:
        """Cell of each place in a region: that of its block, and of its box where the block is cut."""
        cells = np.full(len(coords), NO_CELL, dtype=np.int64)
        held = np.flatnonzero(regions >= 0)
        held = held[np.argsort(self.block_of_region[regions[held]], kind="stable")]
        blocks = self.block_of_region[regions[held]]
        first_cells = np.searchsorted(self.block_of_cell, blocks)
        cells[held] = first_cells
        is_cut = np.bincount(self.block_of_cell)[self.block_of_cell] > 1
        for cell in np.flatnonzero(is_cut):
            low, high = np.searchsorted(blocks, self.block_of_cell[cell] + np.array([0, 1]))
            rows = held[low:high]
            latitudes = coords[rows, 0]
            longitudes = np.where(coords[rows, 1] == 180.0, -180.0, coords[rows, 1])
            south, west, north, east = self.boxes[cell]
            in_latitude = (south <= latitudes) & (latitudes < north)
            cells[rows[in_latitude & (west <= longitudes) & (longitudes < east)]] = cell
        return cells

    def polygons(self, n_cells: int) -> ObjectArray:
        """Union of the regions of each cell's block, cut by the cell's box."""
        polygons = np.empty(n_cells, dtype=object)
        block, whole = -1, None
        for cell in range(n_cells):
            if self.block_of_cell[cell] != block:
                block = int(self.block_of_cell[cell])
                whole = shapely.union_all(self.outlines[self.block_of_region == block])
            polygons[cell] = whole
            is_open = np.isinf(self.boxes[cell])
            if not is_open.all():
                south, west, north, east = np.where(is_open, GLOBE, self.boxes[cell])
                box = shapely.box(west, south, east, north)
                polygons[cell] = only_polygons(shapely.intersection(whole, box))
        return polygons

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Boxes, and with each block's first cell the regions of the block: their numbers and outlines."""
        import pyarrow as pa

        numbers: list[list[int]] = [[] for _ in range(n_cells)]
        outlines: list[list[bytes]] = [[] for _ in range(n_cells)]
        blocks, first_cells = np.unique(self.block_of_cell, return_index=True)
        for block, cell in zip(blocks, first_cells, strict=True):
            regions = np.flatnonzero(self.block_of_region == block)
            numbers[cell] = regions.tolist()
            outlines[cell] = list(shapely.to_wkb(self.outlines[regions]))
        return {}, {
            "region": pa.array(numbers, type=pa.list_(pa.int64())),
            "region_outline": pa.array(outlines, type=pa.list_(pa.binary())),
            **{f"cut_{edge}": pa.array(self.boxes[:, k]) for k, edge in enumerate(EDGES)},
        }

    @classmethod
    def from_file(
        cls, metadata: dict[str, Any], table: Any, group_of_cell: IntArray | None
    ) -> RegionIndex:
        """Rebuild, refusing regions that are missing or no polygons."""
        numbers = table["region"].to_pylist()
        outlines_of_cell = table["region_outline"].to_pylist()
        n_regions = [len(regions) for regions in numbers]
        if n_regions != [len(outlines) for outlines in outlines_of_cell]:
            raise ValueError("its regions have numbers without outlines")
        boxes = np.column_stack([table[f"cut_{edge}"].to_numpy() for edge in EDGES])
        boxes = boxes.astype(np.float64).reshape(-1, 4)
        if np.isnan(boxes).any():
            raise ValueError("its cuts miss numbers")
        if n_regions and not n_regions[0]:
            raise ValueError("its first cell has no regions")
        regions = np.array([number for of_cell in numbers for number in of_cell], dtype=np.int64)
        if not np.array_equal(np.sort(regions), np.arange(len(regions))):
            raise ValueError("its regions are not numbered from 0")
        try:
            outlines = shapely.from_wkb([wkb for of_cell in outlines_of_cell for wkb in of_cell])
        except shapely.errors.ShapelyError as error:
            raise ValueError(f"its regions are damaged ({error})") from error
        if not np.isin(shapely.get_type_id(outlines), (3, 6)).all():
            raise ValueError("its regions are not all polygons")
        order = np.argsort(regions)
        cell_of_region = np.repeat(np.arange(len(numbers)), n_regions)[order]
        block_of_cell = np.cumsum(np.array(n_regions) > 0, dtype=np.int64) - 1
        return cls(
            outlines[order],
            block_of_cell[cell_of_region],
            boxes,
            block_of_cell,
            None if group_of_cell is None else group_of_cell[cell_of_region],
        )
