"""Partitions: the places that cells hold, and everything one asks of the cells."""

from geocells.cells._assign import OUTSIDE_CHOICES, nearest_cells
from geocells.cells._code_ranges import CodeRanges
from geocells.cells._geometry import cut_at_antimeridian
from geocells.cells._locations import LOCATION_CHOICES, Places
from geocells.cells._ranges import Ranges, rename_cells
from geocells.cells._regions import Regions, border_points, only_polygons
from geocells.cells._territory import Territory
from geocells.cells._voronoi import Voronoi
from geocells.cells.partition import CellPartition, load_cells, load_partitions, save_partitions

__all__ = [
    "LOCATION_CHOICES",
    "OUTSIDE_CHOICES",
    "CellPartition",
    "CodeRanges",
    "Places",
    "Ranges",
    "Regions",
    "Territory",
    "Voronoi",
    "border_points",
    "cut_at_antimeridian",
    "load_cells",
    "load_partitions",
    "nearest_cells",
    "only_polygons",
    "rename_cells",
    "save_partitions",
]
