"""Constructions: from ordered leaf codes and their counts to ranges in order of priority, a cell each.

Nothing here knows of latitudes, polygons or S2.
"""

from geocells.constructions.bins import Bins, PrioritizedRanges, bin_codes
from geocells.constructions.bottom_up import Competition, Ranking, bottom_up
from geocells.constructions.heat_map import HeatMaps, heat_maps
from geocells.constructions.optimal import optimal
from geocells.constructions.quadtree import consolidate, top_down

__all__ = [
    "Bins",
    "Competition",
    "HeatMaps",
    "PrioritizedRanges",
    "Ranking",
    "bin_codes",
    "bottom_up",
    "consolidate",
    "heat_maps",
    "optimal",
    "top_down",
]
