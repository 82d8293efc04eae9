from __future__ import annotations

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocells.constructions import Bins, bin_codes

bit_widths = st.sampled_from([0, 1, 4, 11, 12, 13, 14, 26, 31, 33, 62])


@st.composite
def code_lists(draw: st.DrawFn) -> tuple[list[int], int]:
    """Codes, repeated and not, and the bits that they need at most."""
    bits = draw(bit_widths)
    pool = draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20))
    codes = draw(st.lists(st.sampled_from(pool), max_size=200))
    return codes, bits


def as_pairs(bins: Bins) -> list[tuple[int, int]]:
    return list(zip(bins.codes.tolist(), bins.counts.tolist(), strict=True))


@given(code_lists())
def test_bins_equal_the_twin(drawn):
    codes, bits = drawn
    array = np.array(codes, dtype=np.uint64)
    array.setflags(write=False)  # the caller's
    bins = bin_codes(array, bits)
    assert as_pairs(bins) == naive.bins(codes)
    assert bins.totals.tolist() == [0, *np.cumsum(bins.counts)]


@given(code_lists(), st.integers(0, 2**32 - 1))
def test_weighted_bins_equal_the_twin_and_repeated_rows(drawn, seed):
    codes, bits = drawn
    weights = np.random.default_rng(seed).integers(0, 4, size=len(codes))
    array = np.array(codes, dtype=np.uint64)
    weighted = as_pairs(bin_codes(array, bits, weights))
    assert weighted == naive.bins(codes, weights.tolist())
    assert weighted == as_pairs(bin_codes(np.repeat(array, weights), bits))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_threads_and_width_of_the_codes_do_not_change_the_bins(monkeypatch, dtype):
    # The last code's run is shared by several threads.
    codes = np.append(np.random.default_rng(0).integers(0, 50, size=501), [50] * 300).astype(dtype)
    expected = naive.bins(codes.tolist())
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 8)
    for n_threads in ("1", "2", "7"):
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", n_threads)
        assert as_pairs(bin_codes(codes, 30)) == expected


def test_slice_of_a_range_of_codes_holds_its_bins():
    bins = bin_codes(np.array([2, 5, 5, 9], dtype=np.uint64), 4)
    assert bins.slice_of(2, 9) == (0, 2)
    assert bins.slice_of(3, 10) == (1, 3)
    assert bins.slice_of(10, 16) == (3, 3)
