"""The territory of clustered cells: every place belongs to the nearest site on the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.cells import _assign
from geocells.cells._voronoi_outlines import voronoi_polygons


@dataclass(frozen=True, eq=False)
class VoronoiIndex:
    """Voronoi cells of sites, a cell each; see `CellIndex`.

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
        self, coords: FloatArray, group_of_row: IntArray | None, centroids: FloatArray
    ) -> IntArray:
        """Cell of the nearest site (of the row's group): all places are held, but not those of unknown groups."""
        if not len(self.sites):
            return np.full(len(coords), _assign.NO_CELL, dtype=np.int64)
        cells = self._nearest_sites(coords, group_of_row)
        if group_of_row is not None:
            cells[~np.isin(group_of_row, self._groups())] = _assign.NO_CELL
        return cells

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray,
        group_of_cell: IntArray | None,
    ) -> IntArray:
        """Cell of the nearest site."""
        return self._nearest_sites(coords, group_of_row)

    def _groups(self) -> IntArray:
        if self.group_of_site is None:
            return np.zeros(1, dtype=np.int64)
        return np.unique(self.group_of_site)

    def _nearest_sites(self, coords: FloatArray, group_of_row: IntArray | None) -> IntArray:
        # +180 and -180 name one meridian, and one vector.
        longitudes = np.where(coords[:, 1] == 180.0, -180.0, coords[:, 1])
        named_once = np.column_stack([coords[:, 0], longitudes])
        return _assign.nearest_cells(named_once, self.sites, group_of_row, self.group_of_site)

    def polygons(self, n_cells: int) -> ObjectArray:
        """Spherical Voronoi cells, group by group; their sides are great circles."""
        if self.group_of_site is None:
            return voronoi_polygons(self.sites)
        polygons = np.empty(n_cells, dtype=object)
        for group in self._groups():
            own = np.flatnonzero(self.group_of_site == group)
            polygons[own] = voronoi_polygons(self.sites[own])
        return polygons

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns of the sites' latitude and longitude; groups are the cells' own."""
        import pyarrow as pa

        return {}, {
            "site_latitude": pa.array(self.sites[:, 0]),
            "site_longitude": pa.array(self.sites[:, 1]),
        }

    @classmethod
    def from_file(cls, metadata: dict[str, Any], table: Any) -> VoronoiIndex:
        """Rebuild, refusing sites that are not on the globe."""
        sites = np.column_stack(
            [
                table[name].to_numpy().astype(np.float64)
                for name in ("site_latitude", "site_longitude")
            ]
        )
        if not (np.abs(sites) <= (90.0, 180.0)).all():
            raise ValueError("its sites are not on the globe")
        if metadata["group_names"] is None:
            return cls(sites)
        number_of = {name: number for number, name in enumerate(metadata["group_names"])}
        groups = [number_of[name] for name in table["group"].to_pylist()]
        return cls(sites, np.array(groups, dtype=np.int64))
