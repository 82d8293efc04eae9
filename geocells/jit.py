"""One policy for compiled code, and one way to spread rows over threads.

Kernels release the GIL and own the rows ``start:stop`` they are handed, so plain threads run them side by side. That
keeps them safe to call from any thread and after ``fork`` (the data loaders of PyTorch do both), which numba's own
parallel back ends are not, and it halves the time to compile.
"""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

ROWS_WORTH_A_THREAD = 65_536
PATIENCE_S = 2.0

logger = logging.getLogger(__name__)


class _Cache(FunctionCache):
    """Compiled code on disk, where there is room for it; known by its sources, wherever and whenever installed."""

    seconds = 0.0  # of compiling, of all kernels of this process

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        base = self._impl.filename_base
        self._cache_file = IndexDataCacheFile(self._cache_path, base, source_stamp="")  # type: ignore[no-untyped-call]

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        key = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return key, sources(self._py_func)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code; None where there is none."""
        loaded = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        self._start = time.perf_counter()
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store compiled code; where the disk is full, the next process compiles anew."""
        before, took = _Cache.seconds, time.perf_counter() - self._start
        _Cache.seconds += took
        if before < PATIENCE_S <= before + took:
            logger.warning("Compiling, once on this machine: it takes about ten seconds.")
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def sources(function: Callable[..., Any]) -> str:
    """Source of a kernel and of all helpers that it calls, in other files too, and the constants that they read."""
    texts = [inspect.getsource(function)]
    for name in sorted(function.__code__.co_names):
        value = function.__globals__.get(name)
        helper = getattr(value, "py_func", None)
        if helper is not None:
            texts.append(sources(helper))
        elif isinstance(value, int | float | np.generic):
            texts.append(f"{name} = {value!r}")
    return "\n".join(texts)


def kernel(function: Function) -> Function:
    """Compile with the library's one policy: cached on disk, IEEE arithmetic, no GIL."""
    compiled: Any = inline_kernel(function)
    # numba raises where neither the package's folder nor the user's can be written to.
    with suppress(RuntimeError):
        compiled._cache = _Cache(function)
    cached: Function = compiled
    return cached


def inline_kernel(function: Function) -> Function:
    """Compile a helper that other kernels call, inlined by the compiler."""
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
