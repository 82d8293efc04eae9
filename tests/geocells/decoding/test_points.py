from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import distance_km
from naive_decoding import top_k_mean
from strategies import coordinates

from geocells import CellBuilder, decoding
from geocells.decoding.points import among_highest

LOCATIONS = [(47.4, 8.5), (59.3, 18.1), (46.2, 6.1)]


def test_the_likeliest_cell_answers_the_lowest_of_equal_ones():
    rows = [[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]]
    assert decoding.argmax(rows, LOCATIONS).tolist() == [[59.3, 18.1], [47.4, 8.5]]


def test_logits_do_as_well_for_the_likeliest_cell():
    assert decoding.argmax([[-5.0, -1.0, -3.0]], LOCATIONS).tolist() == [[59.3, 18.1]]


def test_cells_answer_with_their_locations():
    coords = np.random.default_rng(0).normal((47, 8), 1, size=(400, 2))
    cells = CellBuilder(50, location="mode").fit(coords).cells_
    answers = decoding.argmax(np.eye(cells.n_cells), cells)
    assert answers.tolist() == cells.locations.tolist()
    assert (
        decoding.argmax(np.eye(cells.n_cells), cells.centroids).tolist() == cells.centroids.tolist()
    )
    assert decoding.top_k_mean(np.eye(cells.n_cells), cells, k=1) == pytest.approx(cells.locations)


@given(coordinates(max_rows=30), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_top_k_mean_is_the_weighted_mean_on_the_sphere(locations, k, seed):
    rng = np.random.default_rng(seed)
    rows = np.round(rng.dirichlet(np.ones(len(locations)), size=3), 2) + 1e-3
    rows /= rows.sum(axis=1, keepdims=True)
    points = decoding.top_k_mean(rows, locations, k=k)
    places = [tuple(x) for x in locations.tolist()]
    for row, point in zip(rows.tolist(), points.tolist(), strict=True):
        assert distance_km(tuple(point), top_k_mean(row, places, k)) < 1e-3


def test_top_k_mean_crosses_the_antimeridian():
    points = decoding.top_k_mean([[0.5, 0.5]], [(0.0, 179.0), (0.0, -179.0)], k=2)
    assert np.abs(points[0]) == pytest.approx([0.0, 180.0])


def test_where_the_mean_vanishes_the_likeliest_cell_answers():
    antipodes = [(0.0, 0.0), (0.0, 180.0)]
    assert decoding.top_k_mean([[0.5, 0.5]], antipodes, k=2).tolist() == [[0.0, 0.0]]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_among_highest_marks_k_and_the_first_of_equal_ones(n_columns, k, seed):
    rows = np.random.default_rng(seed).integers(0, 4, size=(5, n_columns)).astype(float)
    marked = among_highest(rows, k)
    for row, own in zip(rows, marked, strict=True):
        expected = sorted(range(n_columns), key=lambda c: (-row[c], c))[:k]
        assert np.flatnonzero(own).tolist() == sorted(expected)


def test_no_rows_give_no_points():
    assert decoding.argmax([], LOCATIONS).shape == (0, 2)
    assert decoding.top_k_mean(np.empty((0, 3)), LOCATIONS).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoding.argmax([[0.1, np.nan, 0.2]], LOCATIONS), "1 of 1 rows hold NaN"),
        (lambda: decoding.argmax([[0.1, 0.9]], LOCATIONS), "each of the 3 classes; got 2"),
        (lambda: decoding.top_k_mean([[-1.0, 1.0, 1.0]], LOCATIONS), "Are these logits"),
        (lambda: decoding.top_k_mean([[0.2, 0.3, 0.5]], LOCATIONS, k=0), "k must be at least 1"),
        (lambda: decoding.argmax([[1.0]], [(100.0, 0.0)]), "Latitude must lie"),
    ],
)
def test_unsound_rows_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="real numbers"):
        decoding.argmax([["a", "b", "c"]], LOCATIONS)
