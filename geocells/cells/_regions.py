"""The territory of region cells: polygons, merged into blocks, blocks cut by half-open boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import shapely

from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.cells._assign import NO_CELL
from geocells.sphere import to_unit_vectors

BORDER_STEP = 0.05
"""Degrees between the points of a border by which the region nearest to a place is found."""

ROWS_AT_A_TIME = 1_000_000


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
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)
    kind: ClassVar[str] = "regions"

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        own = (self.outlines, self.block_of_region, self.boxes, self.block_of_cell)
        return own if self.group_of_region is None else (*own, self.group_of_region)

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray
    ) -> IntArray:
        """Cell of the first region (of the row's group) that covers the place."""
        return self._cells_of(self.first_regions(coords, group_of_row), coords)

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray,
        group_of_cell: IntArray | None,
    ) -> IntArray:
        """Cell of the nearest region (of the row's group, where that has one)."""
        return self._cells_of(self.nearest_regions(coords, group_of_row), coords)

    def first_regions(self, coords: FloatArray, group_of_row: IntArray | None) -> IntArray:
        """First region that covers each of (n, 2) coordinates, (n,) int64; -1 where none does."""
        found = np.full(len(coords), len(self.outlines), dtype=np.int64)
        shapely.prepare(self.outlines)
        for start in range(0, len(coords), ROWS_AT_A_TIME):
            stop = min(start + ROWS_AT_A_TIME, len(coords))
            self._search(coords[start:stop], start, group_of_row, found)
        found[found == len(self.outlines)] = NO_CELL
        return found

    def _search(
        self, coords: FloatArray, first_row: int, group_of_row: IntArray | None, found: IntArray
    ) -> None:
        # +180 and -180 name one meridian: a place there is looked for under both names.
        twice = np.flatnonzero(np.abs(coords[:, 1]) == 180.0)
        rows = first_row + np.concatenate([np.arange(len(coords)), twice])
        x = np.concatenate([coords[:, 1], -coords[twice, 1]])
        y = np.concatenate([coords[:, 0], coords[twice, 0]])
        points: Any = shapely.points(x, y)
        tree = shapely.STRtree(points)
        regions, places = tree.query(self.outlines, predicate="intersects")
        rows = rows[places]
        if group_of_row is not None:
            own = self._groups()[regions] == group_of_row[rows]
            regions, rows = regions[own], rows[own]
        np.minimum.at(found, rows, regions)

    def nearest_regions(self, coords: FloatArray, group_of_row: IntArray | None) -> IntArray:
        """Region with the point of its border nearest to each place on the sphere, borders taken every 0.05 degrees."""
        nearest = np.empty(len(coords), dtype=np.int64)
        groups = self._groups()
        if group_of_row is None:
            known = np.zeros(len(coords), dtype=bool)
        else:
            known = np.isin(group_of_row, groups)
            for group in np.unique(group_of_row[known]):
                rows = np.flatnonzero(group_of_row == group)
                nearest[rows] = self._nearest(coords[rows], np.flatnonzero(groups == group))
        if not known.all():
            nearest[~known] = self._nearest(coords[~known], np.arange(len(groups)))
        return nearest

    def _nearest(self, coords: FloatArray, regions: IntArray) -> IntArray:
        from scipy.spatial import cKDTree

        key = regions.tobytes().hex()
        if key not in self._cache:
            points, owners = border_points(self.outlines[regions])
            self._cache[key] = cKDTree(points), regions[owners]
        tree, region_of_point = self._cache[key]
        km, found = tree.query(to_unit_vectors(coords), k=min(8, len(region_of_point)))
        km, found = km.reshape(len(coords), -1), found.reshape(len(coords), -1)
        # Regions share the points of their common border: the first of the nearest ones.
        regions_found = np.where(km == km[:, :1], region_of_point[found], len(self.outlines))
        nearest: IntArray = regions_found.min(axis=1)
        return nearest

    def _groups(self) -> IntArray:
        if self.group_of_region is None:
            return np.zeros(len(self.outlines), dtype=np.int64)
        return self.group_of_region

    def _cells_of(self, regions: IntArray, coords: FloatArray) -> IntArray:
        """Cell of each place in a region: that of its block, and of its box where the block is cut."""
        cells = np.full(len(coords), NO_CELL, dtype=np.int64)
        held = np.flatnonzero(regions >= 0)
        blocks = self.block_of_region[regions[held]]
        n_blocks = int(self.block_of_cell[-1]) + 1 if len(self.block_of_cell) else 0
        edges = np.searchsorted(self.block_of_cell, np.arange(n_blocks + 1))
        cells[held] = edges[blocks]
        order = np.argsort(blocks, kind="stable")
        ends = np.searchsorted(blocks[order], np.arange(n_blocks + 1))
        for block in np.flatnonzero(np.diff(edges) > 1):
            rows = held[order[ends[block] : ends[block + 1]]]
            latitudes = coords[rows, 0]
            longitudes = np.where(coords[rows, 1] == 180.0, -180.0, coords[rows, 1])
            for cell in range(edges[block], edges[block + 1]):
                south, west, north, east = self.boxes[cell]
                inside = (
                    (south <= latitudes)
                    & (latitudes < north)
                    & (west <= longitudes)
                    & (longitudes < east)
                )
                cells[rows[inside]] = cell
        return cells

    def polygons(self, n_cells: int) -> ObjectArray:
        """Union of the regions of each cell's block, cut by the cell's box."""
        polygons = np.empty(n_cells, dtype=object)
        globe = np.array([-90.0, -180.0, 90.0, 180.0])
        block, whole = -1, None
        for cell in range(n_cells):
            if self.block_of_cell[cell] != block:
                block = int(self.block_of_cell[cell])
                whole = shapely.union_all(self.outlines[self.block_of_region == block])
            if np.isinf(self.boxes[cell]).all():
                polygons[cell] = whole
                continue
            south, west, north, east = np.where(np.isinf(self.boxes[cell]), globe, self.boxes[cell])
            polygons[cell] = only_polygons(
                shapely.intersection(whole, shapely.box(west, south, east, north))
            )
        return polygons

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Boxes, and with each block's first cell the regions of the block: their numbers and outlines."""
        import pyarrow as pa

        first = np.ones(n_cells, dtype=bool)
        first[1:] = self.block_of_cell[1:] != self.block_of_cell[:-1]
        numbers: list[list[int]] = [[] for _ in range(n_cells)]
        outlines: list[list[bytes]] = [[] for _ in range(n_cells)]
        for cell in np.flatnonzero(first):
            own = np.flatnonzero(self.block_of_region == self.block_of_cell[cell])
            numbers[cell] = own.tolist()
            outlines[cell] = list(shapely.to_wkb(self.outlines[own]))
        columns = {
            "region": pa.array(numbers, type=pa.list_(pa.int64())),
            "region_outline": pa.array(outlines, type=pa.list_(pa.binary())),
        }
        for k, name in enumerate(("south", "west", "north", "east")):
            columns[f"cut_{name}"] = pa.array(self.boxes[:, k])
        return {}, columns

    @classmethod
    def from_file(cls, metadata: dict[str, Any], table: Any) -> RegionIndex:
        """Rebuild, refusing regions that are missing or no polygons."""
        numbers = table["region"].to_pylist()
        parts = table["region_outline"].to_pylist()
        if [len(own) for own in numbers] != [len(own) for own in parts]:
            raise ValueError("its regions have numbers without outlines")
        boxes = np.column_stack(
            [
                table[f"cut_{name}"].to_numpy().astype(np.float64)
                for name in ("south", "west", "north", "east")
            ]
        ).reshape(-1, 4)
        if np.isnan(boxes).any():
            raise ValueError("its cuts miss numbers")
        if numbers and not numbers[0]:
            raise ValueError("its first cell has no regions")
        block_of_cell = np.cumsum([len(own) > 0 for own in numbers], dtype=np.int64) - 1
        region = np.array([number for own in numbers for number in own], dtype=np.int64)
        cell_of_region = np.repeat(np.arange(len(numbers)), [len(own) for own in numbers])
        if not np.array_equal(np.sort(region), np.arange(len(region))):
            raise ValueError("its regions are not numbered from 0")
        try:
            outlines = shapely.from_wkb([outline for own in parts for outline in own])
        except shapely.errors.ShapelyError as error:
            raise ValueError(f"its regions are damaged ({error})") from error
        if not np.isin(shapely.get_type_id(outlines), (3, 6)).all():
            raise ValueError("its regions are not all polygons")
        order = np.argsort(region)
        group_of_region = None
        if metadata["group_names"] is not None:
            number_of = {name: number for number, name in enumerate(metadata["group_names"])}
            groups = np.array(
                [number_of[name] for name in table["group"].to_pylist()], dtype=np.int64
            )
            group_of_region = groups[cell_of_region[order]]
        return cls(
            outlines[order],
            block_of_cell[cell_of_region[order]],
            boxes,
            block_of_cell,
            group_of_region,
        )


def border_points(outlines: ObjectArray) -> tuple[FloatArray, IntArray]:
    """Points of borders as unit vectors (n, 3), every 0.05 degrees at least, and the outline of each."""
    dense = shapely.segmentize(outlines, BORDER_STEP)
    points, owners = shapely.get_coordinates(dense, return_index=True)
    return to_unit_vectors(points[:, ::-1]), owners


def only_polygons(geometry: Any) -> Any:
    """Drop the points and lines in which a polygon merely touches another."""
    parts = shapely.get_parts(geometry)
    nested = shapely.get_parts(parts)
    kept = [part for part in nested if part.geom_type == "Polygon" and not part.is_empty]
    return kept[0] if len(kept) == 1 else shapely.MultiPolygon(kept)
