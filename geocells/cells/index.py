"""What a partition asks of the places that its cells hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from geocells._types import FloatArray, IntArray, ObjectArray


class CellIndex(Protocol):
    """The places that cells hold: code ranges on a grid, Voronoi cells of sites, or regions.

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

        Rows with a group ask the cells of that group only (-1: a group that is not known, which no cell holds).
        """
        ...

    def nearest_cells(
        self,
        coords: FloatArray,
        group_of_row: IntArray | None,
        centroids: FloatArray,
        group_of_cell: IntArray | None,
    ) -> IntArray:
        """Cell that answers, (n,) int64, for coordinates that none holds."""
        ...

    def polygons(self, n_cells: int) -> ObjectArray:
        """Polygon of each cell in (longitude, latitude) degrees, cut at the antimeridian."""
        ...

    def to_file(self, n_cells: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Plain values for a file's metadata, and columns (pyarrow arrays) with a row a cell."""
        ...

    @classmethod
    def from_file(cls, metadata: dict[str, Any], table: Any) -> CellIndex:
        """Rebuild the territory from a file's metadata and table (pyarrow), checked."""
        ...
