"""Grids: from a coordinate to a leaf code, and from a cell back to its polygon."""

from typing import Any, cast

from geocells.grids.base import OUTSIDE, Grid, n_codes, outside_code
from geocells.grids.grouped import GroupedGrid, common_grid, refined
from geocells.grids.healpix import HealpixGrid
from geocells.grids.latlon import LatLonGrid
from geocells.grids.s2 import S2Grid

__all__ = [
    "OUTSIDE",
    "Grid",
    "GroupedGrid",
    "HealpixGrid",
    "LatLonGrid",
    "S2Grid",
    "common_grid",
    "grid_from_dict",
    "n_codes",
    "outside_code",
    "refined",
]


def grid_from_dict(values: dict[str, Any]) -> Grid:
    """Rebuild a grid from the plain values of its ``to_dict``.

    Raises
    ------
    ValueError
        When the values describe no known grid.
    """
    kinds: dict[Any, Any] = {"latlon": LatLonGrid, "s2": S2Grid, "healpix": HealpixGrid}
    kind = kinds.get(values.get("type"))
    if kind is None:
        raise ValueError(
            f"Unknown grid type {values.get('type')!r}; this version knows 'latlon', 's2' and 'healpix'."
        )
    edges = values["bounds"] if kind is LatLonGrid else ()
    return cast("Grid", kind(*edges, max_level=values["max_level"]))
