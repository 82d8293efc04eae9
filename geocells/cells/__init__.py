"""Partitions: the places that cells hold, and everything one asks of the cells."""

from geocells.cells._assign import OUTSIDE_CHOICES, nearest_cells
from geocells.cells._code_ranges import CodeRangeIndex
from geocells.cells._geometry import cut_at_antimeridian
from geocells.cells._locations import LOCATION_CHOICES, RepresentativePoints
from geocells.cells._ranges import Ranges
from geocells.cells._regions import RegionIndex, border_points, only_polygons
from geocells.cells._voronoi import VoronoiIndex
from geocells.cells.index import CellIndex
from geocells.cells.partition import CellPartition, load_cells, load_partitions, save_partitions

__all__ = [
    "LOCATION_CHOICES",
    "OUTSIDE_CHOICES",
    "CellIndex",
    "CellPartition",
    "CodeRangeIndex",
    "Ranges",
    "RegionIndex",
    "RepresentativePoints",
    "VoronoiIndex",
    "border_points",
    "cut_at_antimeridian",
    "load_cells",
    "load_partitions",
    "nearest_cells",
    "only_polygons",
    "save_partitions",
]
