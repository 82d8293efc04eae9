"""geocells: partition the earth into cells that a classifier can learn.

>>> from geocells import CellBuilder, CellPartition, LatLonGrid, S2Grid, decoding, load_cells, sphere
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from geocells._errors import GeocellsWarning

__version__ = "0.1.0"

if TYPE_CHECKING:
    from geocells import decoding, sphere
    from geocells.builder import CellBuilder
    from geocells.cells import CellPartition, load_cells
    from geocells.clustered import ClusteredCells
    from geocells.grids import LatLonGrid, S2Grid
    from geocells.hierarchy import CellHierarchy, CellIntersections
    from geocells.regions import RegionCells

# Loaded when first asked for: scikit-learn and GeoPandas take a second that a worker process may not need.
_HOMES = {
    "CellBuilder": ".builder",
    "CellHierarchy": ".hierarchy",
    "CellIntersections": ".hierarchy",
    "CellPartition": ".cells",
    "ClusteredCells": ".clustered",
    "LatLonGrid": ".grids",
    "RegionCells": ".regions",
    "S2Grid": ".grids",
    "decoding": "",
    "load_cells": ".cells",
    "sphere": "",
}

__all__ = [
    "CellBuilder",
    "CellHierarchy",
    "CellIntersections",
    "CellPartition",
    "ClusteredCells",
    "GeocellsWarning",
    "LatLonGrid",
    "RegionCells",
    "S2Grid",
    "__version__",
    "decoding",
    "load_cells",
    "sphere",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOMES[name]:
        return importlib.import_module(f".{name}", __name__)
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
