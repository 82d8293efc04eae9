"""One policy for compiled code, and one way to spread rows over threads.

Kernels release the GIL and own the rows ``start:stop`` they are handed, so plain threads run them side by side. That
keeps them safe to call from any thread and after ``fork`` (the data loaders of PyTorch do both), which numba's own
parallel back ends are not, and it halves the time to compile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

ROWS_WORTH_A_THREAD = 65_536


class _Cache(FunctionCache):
    """Compiled code on disk, where there is room for it."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store compiled code; where the disk is full, the next process compiles anew."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def kernel(function: Function) -> Function:
    """Compile with the library's one policy: cached on disk, IEEE arithmetic, no GIL."""
    compiled: Any = inline_kernel(function)
    # numba raises where neither the package's folder nor the user's can be written to.
    with suppress(RuntimeError):
        compiled._cache = _Cache(function)  # type: ignore[no-untyped-call]
    cached: Function = compiled
    return cached


def inline_kernel(function: Function) -> Function:
    """Compile a helper that other kernels *of the same file* call, inlined by the compiler.

    Of the same file, because numba's cache does not notice an edit of a helper in another one.
    """
    wrapper: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy")
    compiled: Function = wrapper(function)
    return compiled


def n_threads() -> int:
    """Threads to use: the processors this process may run on, or ``GEOCELLS_NUM_THREADS``."""
    given = os.environ.get("GEOCELLS_NUM_THREADS", "").strip()
    if given:
        if not given.isdigit() or int(given) < 1:
            raise ValueError(
                f"GEOCELLS_NUM_THREADS must be an integer of at least 1, got {given!r}."
            )
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row_blocks(n_rows: int) -> list[tuple[int, int]]:
    """Split ``range(n_rows)`` into one contiguous block a thread, fewer when rows are few."""
    n_blocks = max(1, min(n_threads(), n_rows // ROWS_WORTH_A_THREAD))
    edges = [n_rows * block // n_blocks for block in range(n_blocks + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


class _Alias:
    """The memory of a read-only array under the name of a writable one."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _as_writable(argument: Any) -> Any:
    """Read-only arrays as writable ones: numba would compile every kernel once more for them.

    Kernels never write to what they are given to read.
    """
    if isinstance(argument, np.ndarray) and not argument.flags.writeable and argument.size:
        return np.asarray(_Alias(argument))
    return argument


def run_blocks(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    """Run ``function(*call)`` for every call, side by side; results in the order of the calls."""
    calls = [tuple(_as_writable(argument) for argument in call) for call in calls]
    if len(calls) == 1:
        return [function(*calls[0])]
    with ThreadPoolExecutor(max_workers=min(len(calls), n_threads())) as pool:
        return [future.result() for future in [pool.submit(function, *call) for call in calls]]


def over_rows(function: Callable[..., Any], n_rows: int, *arguments: Any) -> list[Any]:
    """Run ``function(start, stop, *arguments)`` on blocks that together cover ``n_rows`` rows."""
    return run_blocks(function, [(start, stop, *arguments) for start, stop in row_blocks(n_rows)])
