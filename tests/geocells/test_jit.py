from __future__ import annotations

import contextlib
import os
from unittest import mock

import numba
import numpy as np
import pytest
from command_line import full_disk
from hypothesis import given
from hypothesis import strategies as st

from geocells import jit


@given(st.integers(0, 10**9), st.integers(1, 64))
def test_blocks_cover_every_row_once(n_rows, n_threads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOCELLS_NUM_THREADS", str(n_threads))
        blocks = jit.row_blocks(n_rows)
    assert blocks[0][0] == 0
    assert blocks[-1][1] == n_rows
    assert all(left[1] == right[0] for left, right in zip(blocks[:-1], blocks[1:], strict=True))
    assert 1 <= len(blocks) <= n_threads


def test_few_rows_stay_in_one_thread(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "8")
    assert jit.row_blocks(jit.ROWS_WORTH_A_THREAD * 2 - 1) == [(0, jit.ROWS_WORTH_A_THREAD * 2 - 1)]


def test_threads_are_those_given_for(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "3")
    assert jit.n_threads() == 3


@pytest.mark.parametrize("unset", ["", None])
def test_threads_are_the_processors_of_this_process_otherwise(monkeypatch, unset):
    if unset is None:
        monkeypatch.delenv("GEOCELLS_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", unset)
    assert 1 <= jit.n_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_other_numbers_of_threads_are_refused(monkeypatch, given):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", given)
    with pytest.raises(
        ValueError,
        match=f"GEOCELLS_NUM_THREADS must be an integer of at least 1, got '{given}'",
    ):
        jit.n_threads()


def test_results_come_in_the_order_of_the_calls(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "4")
    assert jit.run_blocks(pow, [(base, 2) for base in range(10)]) == [base**2 for base in range(10)]


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        jit.run_blocks(divmod, [(1, 1), (1, 0)])


def test_compiled_arithmetic_follows_ieee():
    @jit.inline_kernel
    def reassociation(a, b):
        return (a + b) - a, a / (b - b)

    # Fast-math would fold the first to b; Python's error model would raise at the second.
    assert reassociation(1e16, 1.0)[0] == 0.0
    assert np.isinf(reassociation(1e16, 1.0)[1])


FACTOR = 2


@jit.inline_kernel
def helper(number):
    return FACTOR * number


def calls_a_helper(number):
    return helper(number)


def test_an_edit_of_a_helper_or_a_constant_is_noticed_and_nothing_else(tmp_path, monkeypatch):
    """Code is cached by its sources: not by the age of its file, nor by its own source alone."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def answer_and_hits():
        kernel = jit.kernel(calls_a_helper)
        return kernel(21), sum(kernel.stats.cache_hits.values())

    assert answer_and_hits() == (42, 0)
    assert answer_and_hits() == (42, 1)
    of_another_installation = mock.Mock(return_value=(1.0, 1))
    monkeypatch.setattr(
        numba.core.caching._SourceFileBackedLocatorMixin,
        "get_source_stamp",
        of_another_installation,
    )
    assert answer_and_hits() == (42, 1)
    assert of_another_installation.called
    monkeypatch.setitem(globals(), "FACTOR", 3)

    @jit.inline_kernel
    def helper(number):
        return FACTOR * number

    monkeypatch.setitem(globals(), "helper", helper)
    assert answer_and_hits() == (63, 0)


def test_one_line_says_that_it_compiles(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit._Cache, "seconds", 0.0)
    monkeypatch.setattr(jit, "PATIENCE_S", 1e-9)
    for _ in range(2):
        assert jit.kernel(calls_a_helper)(1.0) == FACTOR
        assert jit.kernel(calls_a_helper)(1) == FACTOR
    assert [record.message[:9] for record in caplog.records] == ["Compiling"]


@pytest.mark.parametrize("place", ["read-only", "full", "writable"])
def test_a_kernel_needs_no_room_on_a_disk(place, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if place == "read-only":
        monkeypatch.setattr(jit.FunctionCache._impl_class, "_locator_classes", [])

    def twice(number):
        return 2 * number

    with full_disk() if place == "full" else contextlib.nullcontext():
        assert jit.kernel(twice)(21) == 42
    assert any(path.suffix == ".nbc" for path in tmp_path.rglob("*")) == (place == "writable")
