from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import credible_region as naive_region
from naive_decoding import hierarchical

from geocells import CellHierarchy, decoding
from geocells.decoding import credible_region, nearest_images


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


def test_very_unlikely_levels_do_not_vanish():
    hierarchy, _ = small_hierarchy()
    levels = [np.full((1, own.n_cells), 1e-300) for own in hierarchy.partitions_]
    for level in levels:
        level[:, 0] = 1.0
    product = decoding.hierarchical(levels, hierarchy)
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
    with pytest.raises(ValueError, match="level 0 must have one column for each"):
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
        (lambda: decoding.softmax([0.0, 1.0]), "shape \\(n, n_classes\\)"),
        (lambda: decoding.softmax([[0.0, 1.0]], 0.0), "temperature must be"),
        (lambda: decoding.softmax([[np.nan, 1.0]]), "logits must be finite"),
        (lambda: decoding.softmax([[-np.inf]]), "no finite number at all"),
    ],
)
def test_logits_that_give_no_probabilities_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def cells_of(region, row: int) -> list[int]:
    return region.indices[region.indptr[row] : region.indptr[row + 1]].tolist()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9, 1.0, 0.01]))
def test_the_region_is_the_smallest_that_holds_the_level(n_cells, seed, level):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 4, size=(6, n_cells)) + 0.0
    rows[:, 0] += 1e-3
    rows /= rows.sum(axis=1, keepdims=True)
    region = credible_region(rows, level)
    assert region.shape == rows.shape
    for row in range(6):
        assert cells_of(region, row) == naive_region(rows[row].tolist(), level)
        assert region.toarray()[row].sum() >= level - 1e-9


def test_a_region_by_hand():
    region = credible_region([[0.05, 0.5, 0.15, 0.3], [1.0, 0.0, 0.0, 0.0]], 0.8)
    assert [cells_of(region, row) for row in (0, 1)] == [[1, 3], [0]]
    assert region.data.tolist() == [0.5, 0.3, 1.0]


def test_batches_and_no_rows(monkeypatch):
    rows = np.random.default_rng(0).dirichlet(np.ones(9), size=20)
    whole = credible_region(rows)
    monkeypatch.setattr("geocells.decoding._checks.BATCH_BYTES", 8 * 9 * 3)
    parts = credible_region(rows)
    assert (whole.indices.tolist(), whole.indptr.tolist()) == (
        parts.indices.tolist(),
        parts.indptr.tolist(),
    )
    assert credible_region(np.empty((0, 9))).shape == (0, 9)


@pytest.mark.parametrize("level", [0.0, 1.1, float("nan")])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="level must be a probability above 0"):
        credible_region([[1.0]], level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], 3), "shape \\(n, k\\)"),
        (([[0.5]], 3), "whole numbers"),
        (([[0, 1], [0, 3]], 3), r"numbers from 0 to 2; .*row 1, \[0.0, 3.0\]"),
        (([[0, 1], [0]], 3), "indices .* rows differ in length"),
        (([[0, 1]], 3, [[1.0, -1.0]]), r"weights must hold .*row 0, \[1.0, -1.0\]"),
        (([[0, 1]], 3, [[1.0]]), "one per neighbour, shape \\(1, 2\\)"),
        (([[0, 1]], 3, [[0.0, 0.0]]), "row 0 has weights of 0 only"),
    ],
)
def test_neighbours_that_make_no_distribution_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest_images(*arguments)
