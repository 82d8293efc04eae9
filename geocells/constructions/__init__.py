"""Constructions: from ordered leaf codes and their counts to claims.

Nothing here knows of latitudes, polygons or S2.
"""

from geocells.constructions.bins import Bins, bin_codes
from geocells.constructions.bottom_up import COMPETITIONS, RANKINGS, bottom_up
from geocells.constructions.heat_map import HeatMaps, heat_maps
from geocells.constructions.quadtree import consolidate, top_down

__all__ = [
    "COMPETITIONS",
    "RANKINGS",
    "Bins",
    "HeatMaps",
    "bin_codes",
    "bottom_up",
    "consolidate",
    "heat_maps",
    "top_down",
]
