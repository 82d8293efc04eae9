from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geocells.grids._square_unions import union_squares


def quadtree_squares(rng: np.random.Generator, x: int, y: int, side: int) -> list[tuple[int, ...]]:
    """Squares (x, y, side) of a random quadtree."""
    if side == 1 or rng.random() < 0.3:
        return [(x, y, side)]
    half = side // 2
    return [
        square
        for dx in (0, half)
        for dy in (0, half)
        for square in quadtree_squares(rng, x + dx, y + dy, half)
    ]


def assert_unions(squares: np.ndarray, owners: np.ndarray, n_owners: int) -> None:
    """Hold the unions against shapely's own."""
    x, y, sides = squares.T
    boxes = shapely.box(x, y, x + sides, y + sides)
    draw = lambda rings: (rings.corners.astype(float), rings.ring)  # noqa: E731
    polygons = union_squares(x, y, sides, owners, n_owners, draw)
    assert shapely.is_valid(polygons).all()
    for owner, polygon in enumerate(polygons):
        assert shapely.equals(polygon, shapely.union_all(boxes[owners == owner]))
        for part in shapely.get_parts(polygon):
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 6), st.sampled_from([0, 25]))
def test_unions_are_those_of_shapely_counterclockwise(seed, level, n_owners, deeper):
    rng = np.random.default_rng(seed)
    squares = np.array(quadtree_squares(rng, 0, 0, 2**level)) << deeper
    squares = squares[rng.random(len(squares)) < 0.9]
    owners = rng.integers(0, n_owners, len(squares))
    assert_unions(squares.reshape(-1, 3), owners, n_owners)


SQUARES = {
    "in the corner of its own size and of others": [(0, 0, 1), (1, 0, 1), (0, 1, 1), (2, 0, 2)],
    "around a hole": [(x, y, 1) for x in range(3) for y in range(3) if (x, y) != (1, 1)],
    "that touch in a corner": [(0, 0, 1), (1, 1, 1)],
    "that touch in the other corner": [(1, 0, 1), (0, 1, 1)],
    "around a hole that touches the outside": [
        (x, y, 1) for x in range(3) for y in range(3) if (x, y) not in ((1, 1), (2, 2))
    ],
    "around two holes that touch": [
        (x, y, 1) for x in range(4) for y in range(4) if (x, y) not in ((1, 1), (2, 2))
    ],
    "around a hole, and apart": [(4, 0, 2)]
    + [(x, y, 1) for x in range(3) for y in range(3) if (x, y) != (1, 1)],
    "around a hole, in a hole, and touching it": [
        (x, y, 1)
        for x in range(7)
        for y in range(7)
        if max(abs(x - 3), abs(y - 3)) in (1, 3) or (x, y) == (5, 1)
    ],
    "apart": [(0, 0, 1), (2, 0, 1), (2, 2, 1)],
    "from the least to the largest, too deep for one key": [
        (2**31, 0, 2**30),
        (0, 0, 1),
        (1, 0, 1),
    ],
}


@pytest.mark.parametrize("name", SQUARES)
def test_squares(name):
    array = np.array(SQUARES[name])
    assert_unions(array, np.zeros(len(array), dtype=np.int64), 2)
    # Of one union among others.
    apart = array + np.array([2**32, 0, 0])
    owners = np.repeat([0, 2], len(array))
    assert_unions(np.concatenate([array, apart]), owners, 3)
