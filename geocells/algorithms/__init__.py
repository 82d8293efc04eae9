"""Constructions: from ordered leaf codes and their counts to claims.

Nothing here knows of latitudes, polygons or S2.
"""

from .bins import Bins, bin_codes
from .bottom_up import COMPETITIONS, SCORES, bottom_up
from .heat_map import HeatMaps, heat_maps
from .quadtree import consolidate, top_down

__all__ = [
    "COMPETITIONS",
    "SCORES",
    "Bins",
    "HeatMaps",
    "bin_codes",
    "bottom_up",
    "consolidate",
    "heat_maps",
    "top_down",
]
