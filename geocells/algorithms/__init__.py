"""Constructions: from ordered leaf codes and their counts to claims.

Nothing here knows of latitudes, polygons or S2.
"""

from .bins import Bins, bin_codes
from .quadtree import consolidate, top_down

__all__ = ["Bins", "bin_codes", "consolidate", "top_down"]
