from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import credible_region as naive_region

from geocells.decoding import credible_region


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
    monkeypatch.setattr("geocells.decoding._probabilities.BATCH_BYTES", 8 * 9 * 3)
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
