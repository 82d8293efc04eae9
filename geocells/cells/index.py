"""The index of a partition: which cell holds a coordinate. Of code ranges on a grid, or of the Voronoi cells of sites.

Regions have an index of their own, in `geocells.cells.region_index`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from geocells.array_types import CodeArray, FloatArray, IntArray, ObjectArray
from geocells.cells.ranges import Ranges, quadtree_cells
from geocells.grids import OUTSIDE, GroupedGrid, grid_from_dict, n_codes
from geocells.sphere import haversine, to_unit_vectors

NO_CELL = -1


class CellIndex(Protocol):
    """Which cell holds a coordinate, and which is the nearest where none does.

    Attributes
    ----------
    kind : str
        Its name in files.
    """

    kind: ClassVar[str]

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        ...

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray
    ) -> IntArray:
        """Cell that holds each of (n, 2) coordinates, (n,) int64; -1 where none does.

        Rows with a group ask the cells of that group only (-1: a group that is not known, which no cell holds). Indices
        that need no ``centroids`` may be asked without them, here and below.
        """
        ...

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray,
        group_of_cell: IntArray | None,
    ) -> IntArray:
        """Cell that answers, (n,) int64, for coordinates that none holds: that with the nearest centroid."""
        return nearest_points(coords, centroids, group_of_row, group_of_cell)

    def polygons(self, n_cells: int) -> ObjectArray:
        """Polygon of each cell in (longitude, latitude) degrees, cut at the antimeridian."""
        ...

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Plain values for a file's metadata, and columns (pyarrow arrays) with a row a cell."""
        ...

    @classmethod
    def from_file(
        cls, metadata: dict[str, Any], table: Any, group_of_cell: IntArray | None
    ) -> CellIndex:
        """Rebuild the index from a file's metadata and table (pyarrow), checked."""
        ...


@dataclass(frozen=True)
class CodeRangeIndex(CellIndex):
    """Disjoint ranges of leaf codes, a cell each; see `CellIndex`.

    Attributes
    ----------
    grid : GroupedGrid
        From coordinates to leaf codes.
    ranges : Ranges
        Disjoint, sorted.
    """

    grid: GroupedGrid
    ranges: Ranges
    kind: ClassVar[str] = "code_ranges"

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        return self.ranges.starts, self.ranges.stops, self.ranges.cells

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray
    ) -> IntArray:
        """Encode, then one search among the ranges.

        Without groups, cells of several groups may hold one place; then the one with the nearest centroid answers.
        """
        if group_of_row is not None or len(self.grid.grids) == 1:
            return self.ranges.cell_of_codes(self.grid.encode(coords, group_of_row))
        cells = np.full(len(coords), NO_CELL, dtype=np.int64)
        nearest_km = np.full(len(coords), np.inf)
        for group, grid in enumerate(self.grid.grids):
            codes = grid.encode(coords)
            rows = np.flatnonzero(codes != OUTSIDE)
            held = self.ranges.cell_of_codes(codes[rows] + np.uint64(self.grid.group_start(group)))
            rows, held = rows[held >= 0], held[held >= 0]
            km = haversine(coords[rows], centroids[held])
            nearer = km < nearest_km[rows]
            cells[rows[nearer]] = held[nearer]
            nearest_km[rows[nearer]] = km[nearer]
        return cells

    def polygons(self, n_cells: int) -> ObjectArray:
        """Union of the quadtree cells that the ranges cut into; holes are holes."""
        return self.grid.union_polygons(*self.quadtree_cells(), n_cells)

    def quadtree_cells(self) -> tuple[CodeArray, IntArray, IntArray]:
        """First code, level and owner of the fewest quadtree cells that the ranges cut into."""
        starts, stops = self.ranges.starts, self.ranges.stops
        bounds = starts, stops, self.grid.max_level_of_code(starts)
        n = quadtree_cells(*bounds, *_quadtree_columns(0))
        codes, levels, owners = columns = _quadtree_columns(n)
        quadtree_cells(*bounds, *columns)
        return codes, levels, self.ranges.cells[owners]

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Grids as plain values; a list of codes a cell."""
        import pyarrow as pa

        order = np.argsort(self.ranges.cells, kind="stable")
        edges = np.searchsorted(self.ranges.cells[order], np.arange(n_cells + 1))
        offsets = pa.array(edges, type=pa.int32())
        return {"grids": [grid.to_dict() for grid in self.grid.grids]}, {
            name: pa.ListArray.from_arrays(offsets, pa.array(codes[order], type=pa.uint64()))
            for name, codes in (
                ("code_start", self.ranges.starts),
                ("code_stop", self.ranges.stops),
            )
        }

    @classmethod
    def from_file(
        cls, metadata: dict[str, Any], table: Any, group_of_cell: IntArray | None
    ) -> CodeRangeIndex:
        """Rebuild, refusing ranges that overlap, are empty or run off the grid."""
        grid = GroupedGrid(tuple(grid_from_dict(values) for values in metadata["grids"]))
        lengths, starts = _code_lists(table, "code_start")
        stop_lengths, stops = _code_lists(table, "code_stop")
        if not np.array_equal(lengths, stop_lengths):
            raise ValueError("its code ranges have starts without stops")
        if not lengths.all():
            raise ValueError(f"its cell {int(np.flatnonzero(lengths == 0)[0])} has no code ranges")
        cells = np.repeat(np.arange(table.num_rows, dtype=np.int64), lengths)
        ranges = Ranges.from_disjoint(starts, stops, cells)
        end = grid.group_start(len(grid.grids) - 1) + n_codes(grid.grids[-1])
        if len(ranges) and int(ranges.stops[-1]) > end:
            raise ValueError("its code ranges run off its grid")
        return cls(grid, ranges)


def _quadtree_columns(n: int) -> tuple[CodeArray, IntArray, IntArray]:
    return np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)


def _code_lists(table: Any, name: str) -> tuple[IntArray, CodeArray]:
    """Length of each cell's list of codes, and the codes one list after the other."""
    import pyarrow as pa

    from geocells.tables import as_numpy

    lists = table[name].combine_chunks()
    if not (pa.types.is_list(lists.type) and pa.types.is_integer(lists.type.value_type)):
        raise ValueError(f"its {name} holds {lists.type}, not lists of codes")
    codes = lists.flatten()
    if lists.null_count or codes.null_count:
        raise ValueError(f"its {name} has missing codes")
    lengths = as_numpy(lists.value_lengths())
    return lengths.astype(np.int64), as_numpy(codes).astype(np.uint64)


@dataclass(frozen=True, eq=False)
class VoronoiIndex:
    """Voronoi cells of sites, a cell each: every place belongs to the nearest site on the sphere; see `CellIndex`.

    Attributes
    ----------
    sites : (n_cells, 2) float64
        Latitude, longitude in degrees. Where sites are equally near, the lower cell number wins.
    group_of_site : (n_cells,) int64 or None
        Where there are groups, each has Voronoi cells of its own.
    """

    sites: FloatArray
    group_of_site: IntArray | None = None
    kind: ClassVar[str] = "voronoi"

    def arrays(self) -> Sequence[np.ndarray]:
        """Arrays to freeze."""
        return (self.sites,) if self.group_of_site is None else (self.sites, self.group_of_site)

    def cells_that_hold(
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray | None = None
    ) -> IntArray:
        """Cell of the nearest site (of the row's group): all places are held, but not those of unknown groups."""
        if not len(self.sites):
            return np.full(len(coords), NO_CELL, dtype=np.int64)
        cells = self.nearest_cells(coords, group_of_row)
        if group_of_row is not None:
            groups = [0] if self.group_of_site is None else self.group_of_site
            cells[~np.isin(group_of_row, groups)] = NO_CELL
        return cells

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray | None = None,
        group_of_cell: IntArray | None = None,
    ) -> IntArray:
        """Cell of the nearest site."""
        # +180 and -180 name one meridian, and one vector.
        longitudes = np.where(coords[:, 1] == 180.0, -180.0, coords[:, 1])
        named_once = np.column_stack([coords[:, 0], longitudes])
        return nearest_points(named_once, self.sites, group_of_row, self.group_of_site)

    def polygons(self, n_cells: int) -> ObjectArray:
        """Spherical Voronoi cells, group by group; their sides are great circles."""
        from geocells.cells.voronoi import voronoi_polygons

        if self.group_of_site is None:
            return voronoi_polygons(self.sites)
        polygons = np.empty(n_cells, dtype=object)
        for group in np.unique(self.group_of_site):
            cells = np.flatnonzero(self.group_of_site == group)
            polygons[cells] = voronoi_polygons(self.sites[cells])
        return polygons

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns of the sites' latitude and longitude; groups are the cells' own."""
        return {}, {"site_latitude": self.sites[:, 0], "site_longitude": self.sites[:, 1]}

    @classmethod
    def from_file(
        cls, metadata: dict[str, Any], table: Any, group_of_cell: IntArray | None
    ) -> VoronoiIndex:
        """Rebuild, refusing sites that are not on the globe."""
        return cls(points_of(table, "site_", "sites"), group_of_cell)


def points_of(table: Any, prefix: str, name: str) -> FloatArray:
    """Columns ``{prefix}latitude`` and ``{prefix}longitude`` of a pyarrow table as (n_cells, 2) float64, checked."""
    from geocells.tables import as_numpy

    columns = [as_numpy(table[f"{prefix}{axis}"]) for axis in ("latitude", "longitude")]
    points = np.column_stack(columns).astype(np.float64)
    if not (np.abs(points) <= (90.0, 180.0)).all():
        raise ValueError(f"its {name} are not on the globe")
    return points


def nearest_points(
    coords: FloatArray,
    points: FloatArray,
    group_of_row: IntArray | None = None,
    group_of_point: IntArray | None = None,
) -> IntArray:
    """Point nearest to each coordinate on the sphere, among those of its group where one is given.

    The lowest one when several are equally near. A row of an unknown group, or of one without points, is answered from
    all points.
    """
    vectors, targets = to_unit_vectors(coords), to_unit_vectors(points)
    if group_of_row is None or group_of_point is None:
        return _nearest(targets, vectors)
    nearest = np.empty(len(coords), dtype=np.int64)
    is_known = np.isin(group_of_row, group_of_point)
    if not is_known.all():
        nearest[~is_known] = _nearest(targets, vectors[~is_known])
    for group in np.unique(group_of_row[is_known]):
        rows = np.flatnonzero(group_of_row == group)
        same_group = np.flatnonzero(group_of_point == group)
        nearest[rows] = same_group[_nearest(targets[same_group], vectors[rows])]
    return nearest


def _nearest(targets: FloatArray, vectors: FloatArray) -> IntArray:
    if len(targets) == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    from scipy.spatial import cKDTree

    distances, rows = cKDTree(targets).query(vectors, k=2, workers=1)
    tied = distances[:, 0] == distances[:, 1]
    nearest: IntArray = np.where(tied, rows.min(axis=1), rows[:, 0]).astype(np.int64)
    return nearest
