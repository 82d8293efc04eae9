"""Grid over the earth that knows, for most places at once, which country they lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from scipy import ndimage

CELLS_PER_DEGREE = 8
MIXED = -2
OUTSIDE = -1
# A border this close to a cell counts as in it: thousands of times the rounding of a coordinate.
_MARGIN_DEGREES = 1e-9
_VERTICES_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class CountryGrid:
    """What lies in each cell of a grid: one country, none, or a border.

    Parameters
    ----------
    country_of_cell : ndarray (180 * CELLS_PER_DEGREE, 360 * CELLS_PER_DEGREE) int32
        Row of the country that holds the whole cell, ``OUTSIDE`` where none holds any of it,
        ``MIXED`` where a border is in it or near it. Rows from south to north.

    Notes
    -----
    Exact: a cell that no border touches lies wholly inside or wholly outside each polygon. Cells
    that touch each other and no border share one answer, so one point of each connected group
    of cells is looked up. Cost: one pass over the vertices and about a thousand look-ups.
    """

    country_of_cell: np.ndarray

    @classmethod
    def of(
        cls, parts: np.ndarray, country_of_points: Callable[[np.ndarray], np.ndarray]
    ) -> CountryGrid:
        """Grid of polygons.

        Parameters
        ----------
        parts : ndarray (n_parts,) of Polygon
            All polygons whose borders matter, longitude first, degrees.
        country_of_points : callable
            From (n, 2) latitude, longitude to the row of the country (n,), -1 outside.
        """
        mixed = _cells_with_borders(parts)
        label, _ = ndimage.label(~mixed)
        _, first = np.unique(label, return_index=True)
        row, column = np.unravel_index(first, label.shape)
        middles = np.column_stack(
            [(row + 0.5) / CELLS_PER_DEGREE - 90.0, (column + 0.5) / CELLS_PER_DEGREE - 180.0]
        )
        country_of_label = np.asarray(country_of_points(middles), dtype=np.int32)
        # Where a label is missing from the grid (0 when no cell is mixed), np.unique skips it too.
        lookup = np.full(int(label.max()) + 1, OUTSIDE, dtype=np.int32)
        lookup[label.ravel()[first]] = country_of_label
        country_of_cell = lookup[label]
        country_of_cell[mixed] = MIXED
        return cls(country_of_cell)

    def look_up(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        """Row of the country (n,) int32, ``OUTSIDE``, or ``MIXED`` where polygons must decide.

        Parameters
        ----------
        latitude, longitude : ndarray (n,) float64
            Degrees; longitude in [-180, 180). The seam at -180 is always ``MIXED``.
        """
        row = np.minimum(((latitude + 90.0) * CELLS_PER_DEGREE).astype(np.int32), _N_ROWS - 1)
        column = np.minimum(
            ((longitude + 180.0) * CELLS_PER_DEGREE).astype(np.int32), _N_COLUMNS - 1
        )
        found = self.country_of_cell[row, column]
        found[longitude == -180.0] = MIXED
        return found


_N_ROWS = 180 * CELLS_PER_DEGREE
_N_COLUMNS = 360 * CELLS_PER_DEGREE


def _cells_with_borders(parts: np.ndarray) -> np.ndarray:
    """Whether the box of some border segment touches each cell, (_N_ROWS, _N_COLUMNS) bool."""
    mixed = np.zeros((_N_ROWS, _N_COLUMNS), dtype=bool)
    n_vertices = np.cumsum(shapely.get_num_coordinates(parts))
    start = 0
    while start < len(parts):
        before = n_vertices[start - 1] if start else 0
        stop = int(np.searchsorted(n_vertices, before + _VERTICES_AT_A_TIME, side="right"))
        stop = max(stop, start + 1)
        _mark(mixed, parts[start:stop])
        start = stop
    return mixed


def _mark(mixed: np.ndarray, parts: np.ndarray) -> None:
    vertex, ring = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    joined = ring[1:] == ring[:-1]
    low = np.minimum(vertex[:-1], vertex[1:])[joined] - _MARGIN_DEGREES
    high = np.maximum(vertex[:-1], vertex[1:])[joined] + _MARGIN_DEGREES
    west, east = (_clipped(box[:, 0] + 180.0, _N_COLUMNS) for box in (low, high))
    south, north = (_clipped(box[:, 1] + 90.0, _N_ROWS) for box in (low, high))
    # Almost every segment is shorter than a cell, so its corners name all the cells it touches.
    for row in (south, north):
        for column in (west, east):
            mixed[row, column] = True
    (long,) = np.nonzero((east - west > 1) | (north - south > 1))
    for k in long:
        mixed[south[k] : north[k] + 1, west[k] : east[k] + 1] = True


def _clipped(degrees: np.ndarray, n_cells: int) -> np.ndarray:
    cells: np.ndarray = np.clip(np.floor(degrees * CELLS_PER_DEGREE), 0, n_cells - 1)
    return cells.astype(np.int64)
