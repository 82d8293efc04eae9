"""Partitions: disjoint ranges of leaf codes, and everything one asks of the cells they make."""

from ._assign import OUTSIDE_CHOICES, nearest_cells
from ._ranges import Ranges, rename_cells
from .cells import CellPartition, load_cells

__all__ = [
    "OUTSIDE_CHOICES",
    "CellPartition",
    "Ranges",
    "load_cells",
    "nearest_cells",
    "rename_cells",
]
