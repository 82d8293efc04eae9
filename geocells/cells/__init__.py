"""Partitions of the earth into cells, and the index that finds a coordinate's cell."""

from geocells.cells.index import CellIndex, CodeRangeIndex, VoronoiIndex, nearest_points
from geocells.cells.io import OUTSIDE_CHOICES
from geocells.cells.partition import CellPartition, load_cells, load_partitions, save_partitions
from geocells.cells.ranges import Ranges
from geocells.cells.region_index import RegionIndex
from geocells.cells.representative_points import (
    LOCATION_CHOICES,
    RepresentativePoints,
    TrainingImages,
)

__all__ = [
    "LOCATION_CHOICES",
    "OUTSIDE_CHOICES",
    "CellIndex",
    "CellPartition",
    "CodeRangeIndex",
    "Ranges",
    "RegionIndex",
    "RepresentativePoints",
    "TrainingImages",
    "VoronoiIndex",
    "load_cells",
    "load_partitions",
    "nearest_points",
    "save_partitions",
]
