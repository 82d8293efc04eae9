from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import haversine
from naive_decoding import hierarchical, top_k_mean
from strategies import coordinates

from geocells import CellBuilder, CellHierarchy, decoding
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
        assert haversine(tuple(point), top_k_mean(row, places, k)) < 1e-3


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


def small_hierarchy():
    rng = np.random.default_rng(0)
    coords = rng.normal((47, 8), 1, size=(800, 2))
    options = {"min_images": 5, "method": "top_down", "leftover": "noise"}
    hierarchy = CellHierarchy([{**options, "max_images": most} for most in (400, 150, 50)])
    return hierarchy.fit(coords), rng


def test_levels_multiply():
    hierarchy, rng = small_hierarchy()
    assert hierarchy.is_nested_ == [True, True]
    levels = [rng.dirichlet(np.ones(own.n_cells), size=4) for own in hierarchy.partitions_]
    product = decoding.hierarchical(levels, hierarchy)
    parents = [own.tolist() for own in hierarchy.parents_]
    for row in range(4):
        expected = hierarchical([level[row].tolist() for level in levels], parents)
        assert product[row] == pytest.approx(expected, rel=1e-9)
    logits = [np.log(level) + rng.normal(size=(4, 1)) for level in levels]
    assert decoding.hierarchical(logits, hierarchy, logits=True) == pytest.approx(product, rel=1e-9)


def test_very_unlikely_levels_do_not_vanish():
    hierarchy, _ = small_hierarchy()
    logits = [np.zeros((1, own.n_cells)) for own in hierarchy.partitions_]
    for level in logits:
        level[:, 1:] = -700.0
    product = decoding.hierarchical(logits, hierarchy, logits=True)
    assert product.sum() == pytest.approx(1.0)
    assert np.isfinite(product).all()


def test_contradicting_levels_leave_the_word_to_the_finest():
    hierarchy, _ = small_hierarchy()
    levels = [np.zeros((1, own.n_cells)) for own in hierarchy.partitions_]
    child = int(np.flatnonzero(hierarchy.parents_[1] != 0)[0])
    levels[0][0, 0] = levels[1][0, 0] = levels[2][0, child] = 1.0
    assert decoding.hierarchical(levels, hierarchy)[0].argmax() == child


def test_levels_that_do_not_fit_the_hierarchy_are_refused():
    hierarchy, _ = small_hierarchy()
    levels = [np.full((2, own.n_cells), 1 / own.n_cells) for own in hierarchy.partitions_]
    with pytest.raises(ValueError, match="one array for each of the 3 partitions; got 2"):
        decoding.hierarchical(levels[:2], hierarchy)
    with pytest.raises(ValueError, match="level 2 must have one column for each"):
        decoding.hierarchical(levels[::-1], hierarchy)
    with pytest.raises(ValueError, match="level 0 has 1, the finest 2"):
        decoding.hierarchical([levels[0][:1], *levels[1:]], hierarchy)


def test_partitions_that_are_not_nested_are_refused():
    coords = np.random.default_rng(0).normal((47, 8), 1, size=(800, 2))
    hierarchy = CellHierarchy([{"min_images": 100}, {"min_images": 30}]).fit(coords)
    assert hierarchy.is_nested_ == [False]
    levels = [np.full((1, own.n_cells), 1 / own.n_cells) for own in hierarchy.partitions_]
    with pytest.raises(ValueError, match="Partition 1 is not nested in partition 0"):
        decoding.hierarchical(levels, hierarchy)


def test_no_rows_give_no_points():
    assert decoding.argmax([], LOCATIONS).shape == (0, 2)
    assert decoding.top_k_mean(np.empty((0, 3)), LOCATIONS).shape == (0, 2)


def test_softmax_cools_and_heats():
    assert decoding.softmax([[0.0, np.log(3.0)]]) == pytest.approx(np.array([[0.25, 0.75]]))
    assert decoding.softmax([[0.0, 1000.0]]).tolist() == [[0.0, 1.0]]
    hot = decoding.softmax([[0.0, 5.0]], temperature=1e9)
    assert hot == pytest.approx(np.array([[0.5, 0.5]]))
    assert decoding.softmax([[-np.inf, 1.0]]).tolist() == [[0.0, 1.0]]
    assert decoding.softmax(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoding.argmax([[0.1, np.nan, 0.2]], LOCATIONS), "1 of 1 rows hold NaN"),
        (lambda: decoding.argmax([[0.1, 0.9]], LOCATIONS), "each of the 3 classes; got 2"),
        (lambda: decoding.top_k_mean([[-1.0, 1.0, 1.0]], LOCATIONS), "Are these logits"),
        (lambda: decoding.top_k_mean([[0.2, 0.3, 0.5]], LOCATIONS, k=0), "k must be at least 1"),
        (lambda: decoding.argmax([[1.0]], [(100.0, 0.0)]), "Latitude must lie"),
        (lambda: decoding.softmax([0.0, 1.0]), "shape \\(n, n_classes\\)"),
        (lambda: decoding.softmax([[0.0, 1.0]], 0.0), "temperature must be"),
        (lambda: decoding.softmax([[np.nan, 1.0]]), "logits must be finite"),
        (lambda: decoding.softmax([[-np.inf]]), "no finite number at all"),
    ],
)
def test_unsound_rows_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="real numbers"):
        decoding.argmax([["a", "b", "c"]], LOCATIONS)
