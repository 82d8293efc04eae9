from __future__ import annotations

import numpy as np
import pyproj
import pytest
from hypothesis import given
from strategies import coordinates

from geocells.sphere import equal_earth

SPHERE = pyproj.Transformer.from_crs(
    "+proj=longlat +R=1 +no_defs", "+proj=eqearth +R=1 +no_defs", always_xy=True
)


@given(coordinates())
def test_projection_equals_proj(coords):
    x, y = SPHERE.transform(coords[:, 1], coords[:, 0])
    ours = equal_earth(coords)
    # PROJ calls the pole's arcsine slightly differently; both sides are float64 formulas of order 1. At +-180 PROJ may
    # answer with the other name of the meridian.
    same_side = np.abs(coords[:, 1]) < 180.0
    assert np.abs(np.abs(ours[:, 0]) - np.abs(x)).max() <= 1e-9
    assert np.abs(ours[same_side, 0] - x[same_side]).max(initial=0.0) <= 1e-9
    assert np.abs(ours[:, 1] - y).max() <= 1e-9


def test_the_middle_is_the_origin_and_the_ranges_are_the_printed_ones():
    assert equal_earth([(0.0, 0.0)]).tolist() == [[0.0, 0.0]]
    assert equal_earth([(0.0, 180.0)])[0] == pytest.approx((2.7066, 0.0), abs=5e-5)
    assert equal_earth([(90.0, 0.0)])[0] == pytest.approx((0.0, 1.3174), abs=5e-5)


def test_opposite_coordinates_have_opposite_places():
    coords = np.array([(33.0, 44.0), (-80.0, 170.0), (90.0, -180.0)])
    assert np.array_equal(equal_earth(-coords), -equal_earth(coords))


def test_areas_are_kept():
    # A cell from latitude a to b and one degree wide has area (sin b - sin a) * pi / 180 on the unit sphere.
    for south in (0.0, 40.0, 80.0):
        edge = np.linspace(south, south + 5.0, 2001)
        ring = np.concatenate(
            [
                np.column_stack([edge, np.zeros_like(edge)]),
                np.column_stack([edge, np.ones_like(edge)])[::-1],
            ]
        )
        x, y = equal_earth(ring).T
        area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        true_area = np.diff(np.sin(np.radians([south, south + 5.0])))[0] * np.pi / 180.0
        # The ring's 2001 chords cut its curved edges; the top and bottom edges are straight in this projection. The
        # polynomial's printed coefficients make the map equal-area to about 1e-6.
        assert area == pytest.approx(true_area, rel=1e-5)
