"""Partitions: the places that cells hold, and everything one asks of the cells."""

from ._assign import OUTSIDE_CHOICES, nearest_cells
from ._code_ranges import CodeRanges
from ._geometry import cut_at_antimeridian
from ._locations import LOCATION_CHOICES, Places
from ._ranges import Ranges, rename_cells
from ._regions import Regions, border_points, only_polygons
from ._territory import Territory
from ._voronoi import Voronoi
from .cells import CellPartition, load_cells, load_partitions, save_partitions

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
