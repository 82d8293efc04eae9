"""Bottom-up cells: what the features cost, what the places cost, and how it grows."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np

from geocells import CellBuilder, LatLonGrid

from .real_density import resampled
from .timing import Row, fresh_process, in_turns, median_ratio

N_ROWS = 1_000_000
N_FEATURES = 512
MANY_ROWS = 10_000_000

WITH_FEATURES = """
import sys
sys.path.insert(0, ".")
import numpy as np
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import peak_kib
from tests.benchmarks.bottom_up import random_features
from geocells import CellBuilder
coords = resampled({n_rows})
feats = {feats}
CellBuilder(200).fit(coords[:1000], np.ones((1000, 8), dtype=np.float32))
CellBuilder(200).fit(coords, feats)
print(peak_kib())
"""

MANY = """
import sys, time
sys.path.insert(0, ".")
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import peak_kib
from geocells import CellBuilder
CellBuilder(200, method="consolidated").fit(resampled(200_000))
coords = resampled({n_rows})
start = time.perf_counter()
cells = CellBuilder(200, method="consolidated").fit(coords).cells_
print(time.perf_counter() - start, peak_kib(), cells.n_cells)
"""


def random_features(n_rows: int) -> np.ndarray:
    """Features of no meaning, (n, 512) float32, made without a second copy."""
    feats = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 50_000):
        rng.standard_normal(dtype=np.float32, out=feats[start : start + 50_000])
    return feats


def rows() -> list[Row]:
    """Measure everything of this file."""
    return _features() + _places() + _memory()


def _features() -> list[Row]:
    coords, feats = resampled(N_ROWS), random_features(N_ROWS)
    builder = CellBuilder(200)
    times = in_turns(
        {
            "sum": lambda: feats.sum(axis=0),
            "without": lambda: CellBuilder(200, rank_by="count").fit(coords),
            "with": lambda: builder.fit(coords, feats),
        },
        rounds=5,
    )
    ratio = statistics.median(
        (with_ - without) / total
        for with_, without, total in zip(times["with"], times["without"], times["sum"], strict=True)
    )
    return [
        Row(
            "bottom-up, 1 M x 512 float32: what the features add",
            "one feats.sum(axis=0)",
            ratio,
            at_most=6.0,
            aim=3.0,
            detail=f"({statistics.median(times['with']):.2f} s in all, "
            f"{statistics.median(times['without']):.2f} s without, "
            f"sum {statistics.median(times['sum']):.3f} s)",
        )
    ]


def _places() -> list[Row]:
    coords = resampled(MANY_ROWS)
    codes = LatLonGrid().encode(coords)
    builder = CellBuilder(200)
    times = in_turns({"sort": lambda: np.sort(codes), "fit": lambda: builder.fit(coords)}, rounds=5)
    return [
        Row(
            "bottom-up without features, 10 M",
            "np.sort of the leaf codes",
            median_ratio(times, "fit", "sort"),
            at_most=5.0,
            aim=2.5,
            detail=f"({statistics.median(times['fit']):.2f} s)",
        )
    ]


def _memory() -> list[Row]:
    measured = []
    in_memory = int(
        fresh_process(WITH_FEATURES.format(n_rows=N_ROWS, feats=f"random_features({N_ROWS})"))
    )
    size = N_ROWS * N_FEATURES * 4 / 2**30
    measured.append(
        Row(
            "peak memory beyond the features, 1 M x 512",
            "whole process",
            in_memory / 2**20 - size,
            "GiB",
            at_most=1.5,
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feats.npy"
        mapped = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float32, shape=(N_ROWS, N_FEATURES)
        )
        mapped[:] = random_features(N_ROWS)
        mapped.flush()
        del mapped
        peak = int(
            fresh_process(
                WITH_FEATURES.format(n_rows=N_ROWS, feats=f"np.load({str(path)!r}, mmap_mode='r')")
            )
        )
    measured.append(
        Row(
            "peak memory with a memory-mapped file of 1 M x 512",
            "whole process",
            peak / 2**20,
            "GiB",
            at_most=2.0,
        )
    )
    return measured


def growth() -> list[Row]:
    """Consolidated cells of 1 to 100 million coordinates: time and memory."""
    measured = []
    base = None
    for n_rows in (1_000_000, 10_000_000, 100_000_000):
        runs = [
            fresh_process(MANY.format(n_rows=n_rows)).split()
            for _ in range(3 if n_rows < 10**8 else 1)
        ]
        seconds = min(float(run[0]) for run in runs)
        gib = max(int(run[1]) for run in runs) / 2**20
        base = base or seconds / (n_rows * np.log(n_rows))
        measured.append(
            Row(
                f"consolidated, {n_rows // 10**6} M: seconds",
                "n log n from 1 M",
                seconds / (base * n_rows * np.log(n_rows)),
                detail=f"({seconds:.2f} s, peak {gib:.2f} GiB, {runs[0][2]} cells)",
            )
        )
        if n_rows == 100_000_000:
            measured.append(
                Row("consolidated, 100 M: peak memory", "whole process", gib, "GiB", at_most=16.0)
            )
    return measured
