from __future__ import annotations

import numpy as np
import shapely

from geocells import S2Grid
from geocells.grids.s2_covering import coarsened, meeting_cells

BOXES = [(47.0, 8.0, 48.0, 9.0), (-20.1, -70.2, -20.0, -70.1), (88.0, -180.0, 90.0, 180.0)]


def held(cells, owner, leaves):
    """Which leaves each S2 cell of a polygon holds."""
    first, levels, owners = cells
    own = owners == owner
    span = np.uint64(4) ** (30 - levels[own]).astype(np.uint64)
    return leaves // span[:, None] == (first[own] // span)[:, None]


def test_cells_that_meet_a_polygon_hold_it_and_are_refined_until_there_are_enough():
    polygons = np.array([shapely.box(w, s, e, n) for s, w, n, e in BOXES])
    meeting = meeting_cells(polygons, 6)
    fewer = coarsened(meeting, 6)
    for owner, (south, west, north, east) in enumerate(BOXES):
        places = np.meshgrid(np.linspace(south, north, 16), np.linspace(west, east, 16))
        leaves = S2Grid().encode(np.column_stack([axis.ravel() for axis in places]))
        for cells in (meeting, fewer):
            holds = held(cells, owner, leaves)
            assert (holds.sum(axis=0) == 1).all()
            # Cells are wider than the places are apart, but for the tips of those at a pole.
            assert holds.any(axis=1).all() or north == 90.0
        assert 6 < len(held(meeting, owner, leaves)) <= 4 * 6
        assert 1 < len(held(fewer, owner, leaves)) <= 6
