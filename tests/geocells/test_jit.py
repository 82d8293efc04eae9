from __future__ import annotations

import contextlib
import os

import numba
import numpy as np
import pytest
from command_line import full_disk
from hypothesis import given
from hypothesis import strategies as st

from geocells import _jit


@given(st.integers(0, 10**9), st.integers(1, 64))
def test_blocks_cover_every_row_once(n_rows, n_threads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOCELLS_NUM_THREADS", str(n_threads))
        blocks = _jit.row_blocks(n_rows)
    assert blocks[0][0] == 0
    assert blocks[-1][1] == n_rows
    assert all(left[1] == right[0] for left, right in zip(blocks[:-1], blocks[1:], strict=True))
    assert 1 <= len(blocks) <= n_threads


def test_few_rows_stay_in_one_thread(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "8")
    assert _jit.row_blocks(_jit.ROWS_WORTH_A_THREAD * 2 - 1) == [
        (0, _jit.ROWS_WORTH_A_THREAD * 2 - 1)
    ]


def test_threads_are_those_given_for(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "3")
    assert _jit.n_threads() == 3


@pytest.mark.parametrize("unset", ["", None])
def test_threads_are_the_processors_of_this_process_otherwise(monkeypatch, unset):
    if unset is None:
        monkeypatch.delenv("GEOCELLS_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", unset)
    assert 1 <= _jit.n_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_other_numbers_of_threads_are_refused(monkeypatch, given):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", given)
    with pytest.raises(
        ValueError,
        match=f"GEOCELLS_NUM_THREADS must be an integer of at least 1, got '{given}'",
    ):
        _jit.n_threads()


def test_results_come_in_the_order_of_the_calls(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "4")
    assert _jit.run_blocks(pow, [(base, 2) for base in range(10)]) == [
        base**2 for base in range(10)
    ]


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        _jit.run_blocks(divmod, [(1, 1), (1, 0)])


def test_compiled_arithmetic_follows_ieee():
    @_jit.inline_kernel
    def reassociation(a, b):
        return (a + b) - a, a / (b - b)

    # Fast-math would fold the first to b; Python's error model would raise at the second.
    assert reassociation(1e16, 1.0)[0] == 0.0
    assert np.isinf(reassociation(1e16, 1.0)[1])


@pytest.mark.parametrize("place", ["read-only", "full", "writable"])
def test_a_kernel_needs_no_room_on_a_disk(place, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if place == "read-only":
        monkeypatch.setattr(_jit.FunctionCache._impl_class, "_locator_classes", [])

    def twice(number):
        return 2 * number

    with full_disk() if place == "full" else contextlib.nullcontext():
        assert _jit.kernel(twice)(21) == 42
    assert any(path.suffix == ".nbc" for path in tmp_path.rglob("*")) == (place == "writable")
