"""Search structures that tell the country of many coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from tqdm import tqdm

from geoloc_models.countries.grid import MIXED, CountryGrid

_KM_PER_DEGREE = 6371.0088 * np.pi / 180
_CHUNK_ROWS = 100_000
_CHUNK_ROWS_NEAREST = 2_000
_SEGMENTS_OF_A_RUN = 8  # a box for each segment would take gigabytes for GADM's borders
_GRID_PAYS_FROM = 200_000  # making the grid takes as long as looking up so many points


@dataclass(frozen=True)
class CountryIndex:
    """Search trees over the parts of the countries' polygons, and over their borders."""

    codes: tuple[str, ...]
    parts: np.ndarray  # (n_parts,) polygons
    country_of_part: np.ndarray  # (n_parts,) int64, row of the country

    @classmethod
    def of(cls, countries: gpd.GeoDataFrame) -> CountryIndex:
        """Index the polygons of countries, in any CRS."""
        if countries.crs is not None and not countries.crs.equals("EPSG:4326"):
            countries = countries.to_crs("EPSG:4326")
        parts, country = shapely.get_parts(
            np.asarray(countries.geometry.array, dtype=object), return_index=True
        )
        shapely.prepare(parts)
        codes = tuple(str(code) for code in countries.index)
        return cls(codes, parts, country.astype(np.int64))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.parts)

    @cached_property
    def _segments(self) -> tuple[shapely.STRtree, np.ndarray, np.ndarray, np.ndarray]:
        """Border segments, and a tree of the boxes of short runs of them.

        Returns
        -------
        tree : STRtree
            Boxes of the runs.
        start : ndarray (n_runs + 1,)
            First segment of each run; the last one ends before the last number.
        ends : ndarray (n, 4)
            Segments as x1, y1, x2, y2.
        country : ndarray (n,)
            Row of the country whose border a segment is.
        """
        rings, part = shapely.get_rings(self.parts, return_index=True)
        vertex, ring = shapely.get_coordinates(rings, return_index=True)
        joined = ring[1:] == ring[:-1]
        ends = np.hstack([vertex[:-1], vertex[1:]])[joined]
        ring = ring[:-1][joined]
        first_of_ring = np.searchsorted(ring, ring)
        (start,) = np.nonzero((np.arange(len(ring)) - first_of_ring) % _SEGMENTS_OF_A_RUN == 0)
        boxes = shapely.box(
            np.minimum.reduceat(np.minimum(ends[:, 0], ends[:, 2]), start),
            np.minimum.reduceat(np.minimum(ends[:, 1], ends[:, 3]), start),
            np.maximum.reduceat(np.maximum(ends[:, 0], ends[:, 2]), start),
            np.maximum.reduceat(np.maximum(ends[:, 1], ends[:, 3]), start),
        )
        country = self.country_of_part[part][ring].astype(np.int32)
        return shapely.STRtree(boxes), np.append(start, len(ring)), ends, country

    @cached_property
    def _grid(self) -> CountryGrid:
        return CountryGrid.of(self.parts, self._containing_by_polygons)

    def prepare_for_many(self) -> None:
        """Make the grid that answers for most points; it pays from about 200 000 points on."""
        _ = self._grid

    def find(
        self, points: np.ndarray, tolerance_km: float, *, progress: bool = False
    ) -> np.ndarray:
        """Row of the country of each point, or of the nearest one within the tolerance, else -1.

        Parameters
        ----------
        points : ndarray (n, 2) float64
            Latitude, any longitude, degrees.
        tolerance_km : float
            0 for the polygons alone.
        progress : bool
            Show a bar after two seconds.
        """
        if len(points) >= _GRID_PAYS_FROM:
            self.prepare_for_many()
        row = np.full(len(points), -1, dtype=np.int64)
        with _bar(len(points), "Countries", progress) as bar:
            for start in range(0, len(points), _CHUNK_ROWS):
                chunk = points[start : start + _CHUNK_ROWS]
                row[start : start + _CHUNK_ROWS] = self.containing(chunk)
                bar.update(len(chunk))
        if tolerance_km > 0:
            (outside,) = np.nonzero(row < 0)
            with _bar(len(outside), "Nearest countries", progress) as bar:
                for start in range(0, len(outside), _CHUNK_ROWS_NEAREST):
                    rows = outside[start : start + _CHUNK_ROWS_NEAREST]
                    row[rows] = self.nearest(points[rows], tolerance_km)
                    bar.update(len(rows))
        return row

    def containing(self, points: np.ndarray) -> np.ndarray:
        """Row of the first country whose polygon holds each point, -1 where none does."""
        if "_grid" not in self.__dict__:
            return self._containing_by_polygons(points)
        found = self._grid.look_up(points[:, 0], _wrapped(points[:, 1])).astype(np.int64)
        (mixed,) = np.nonzero(found == MIXED)
        found[mixed] = self._containing_by_polygons(points[mixed])
        return found

    def _containing_by_polygons(self, points: np.ndarray) -> np.ndarray:
        latitude = points[:, 0]
        longitude = _wrapped(points[:, 1])
        found = np.full(len(points), len(self.codes), dtype=np.int64)
        # +180 and -180 are one meridian: a point on it is looked for on both sides.
        (seam,) = np.nonzero(longitude == -180.0)
        x = np.concatenate([longitude, np.full(len(seam), 180.0)])
        y = np.concatenate([latitude, latitude[seam]])
        row = np.concatenate([np.arange(len(points)), seam])
        candidate, part = self._tree.query(shapely.points(x, y))
        # By part, so that one prepared polygon answers for all its points in turn.
        order = np.argsort(part, kind="stable")
        candidate, part = candidate[order], part[order]
        inside = shapely.intersects_xy(self.parts[part], x[candidate], y[candidate])
        np.minimum.at(found, row[candidate[inside]], self.country_of_part[part[inside]])
        found[found == len(self.codes)] = -1
        return found

    def nearest(self, points: np.ndarray, tolerance_km: float) -> np.ndarray:
        """Row of the country with the nearest border within the tolerance, -1 where none is."""
        tree, start, ends, country = self._segments
        latitude, longitude = points[:, 0], _wrapped(points[:, 1])
        reach = tolerance_km / _KM_PER_DEGREE
        # The box must reach as far at its edge nearest the pole as in its middle.
        edge = np.minimum(np.abs(latitude) + reach, 89.9)
        reach_longitude = np.minimum(reach / np.cos(np.radians(edge)), 180.0)
        row, segment, turn = [], [], []
        for shift in (-360.0, 0.0, 360.0):
            x = longitude + shift
            (near,) = np.nonzero((x + reach_longitude >= -180) & (x - reach_longitude <= 180))
            boxes = shapely.box(
                (x - reach_longitude)[near],
                (latitude - reach)[near],
                (x + reach_longitude)[near],
                (latitude + reach)[near],
            )
            query, run = tree.query(boxes)
            n_segments = start[run + 1] - start[run]
            query, hit = np.repeat(query, n_segments), _ranges(start[run], n_segments)
            row.append(near[query])
            segment.append(hit)
            turn.append(np.full(len(hit), shift))
        rows, segments = np.concatenate(row), np.concatenate(segment)
        distance_km = _distance_to_segment_km(
            latitude[rows], longitude[rows] + np.concatenate(turn), ends[segments]
        )
        found = np.full(len(points), -1, dtype=np.int64)
        order = np.lexsort([country[segments], distance_km, rows])
        order = order[distance_km[order] <= tolerance_km]
        first_of_row, first = np.unique(rows[order], return_index=True)
        found[first_of_row] = country[segments[order[first]]]
        return found


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ..., start + count - 1 of each pair, one after the other."""
    before = np.cumsum(count) - count
    numbers: np.ndarray = np.arange(count.sum()) + np.repeat(start - before, count)
    return numbers


def _bar(total: int, title: str, shown: bool) -> tqdm[Any]:
    return tqdm(
        total=total,
        desc=title,
        unit=" rows",
        delay=2,
        leave=False,
        unit_scale=True,
        disable=not shown,
    )


def _wrapped(longitude: np.ndarray) -> np.ndarray:
    """Longitude in [-180, 180); one that is already there stays as it is, to the last bit."""
    inside = (longitude >= -180) & (longitude < 180)
    return np.where(inside, longitude, (longitude + 180.0) % 360.0 - 180.0)


def _distance_to_segment_km(
    latitude: np.ndarray, longitude: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Distance of points to segments, in the plane that touches the sphere at each point."""
    stretch = np.cos(np.radians(latitude))
    x1, x2 = ((ends[:, k] - longitude) * stretch for k in (0, 2))
    y1, y2 = (ends[:, k] - latitude for k in (1, 3))
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy
    along = np.where(length > 0, -(x1 * dx + y1 * dy) / np.where(length > 0, length, 1.0), 0.0)
    along = np.clip(along, 0.0, 1.0)
    distance_km: np.ndarray = _KM_PER_DEGREE * np.hypot(x1 + along * dx, y1 + along * dy)
    return distance_km
