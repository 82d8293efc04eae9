from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geocells.sphere import PolygonIndex

# Corners on the quarter degrees by which the index looks, and between them.
STEPS = st.integers(-8, 8)
BOXES = st.builds(
    lambda west, south, width, height, scale: shapely.box(
        west * scale, south * scale, (west + width) * scale, (south + height) * scale
    ),
    STEPS, STEPS, st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.25, 0.3, 10.0]),
)  # fmt: skip
POLYGONS = st.one_of(BOXES, st.lists(BOXES, min_size=2, max_size=3).map(shapely.union_all))
PLACES = st.tuples(STEPS, STEPS, st.sampled_from([0.25, 0.3, 10.0, 0.17]))


@given(st.lists(POLYGONS, min_size=1, max_size=6), st.lists(PLACES, max_size=30))
def test_a_place_is_of_the_first_polygon_that_covers_it(polygons, places):
    coords = [(y * scale, x * scale) for x, y, scale in places]
    expected = [
        next((k for k, p in enumerate(polygons) if p.covers(shapely.Point(x, y))), -1)
        for y, x in coords
    ]
    assert PolygonIndex(polygons).first(coords).tolist() == expected


def test_both_names_of_the_antimeridian_are_looked_for():
    index = PolygonIndex([shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 90)])
    places = [(0.5, 180.0), (0.5, -180.0), (90.0, -180.0), (90.0, 179.5), (0.5, 0.0)]
    assert index.first(places).tolist() == [0, 0, 1, 1, -1]


def test_rows_beyond_a_block_are_found(monkeypatch):
    monkeypatch.setattr("geocells.sphere.polygons.ROWS_AT_A_TIME", 3)
    coords = np.random.default_rng(0).uniform(0, 2, (20, 2))
    found = PolygonIndex([shapely.box(0, 0, 1, 2)]).first(coords)
    assert np.array_equal(found, np.where(coords[:, 1] <= 1, 0, -1))
