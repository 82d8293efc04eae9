"""Bottom-up cells: what the features cost, what the places cost, and how it grows."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from geocells import CellBuilder, LatLonGrid
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import Row, in_fresh_process, in_turns, peak_gib, table

N_ROWS = 1_000_000
N_FEATURES = 512
MANY_ROWS = 10_000_000
SIZES = (1_000_000, 10_000_000, 100_000_000)


def random_features(feats: np.ndarray) -> np.ndarray:
    """Fill an array (n, 512) float32 with numbers of no meaning, without a second copy."""
    rng = np.random.default_rng(0)
    for start in range(0, len(feats), 50_000):
        rng.standard_normal(dtype=np.float32, out=feats[start : start + 50_000])
    return feats


def rows() -> list[Row]:
    """Measure everything but the growth."""
    return [_features(), _places(), *_memory()]


def _features() -> Row:
    coords = resampled(N_ROWS)
    feats = random_features(np.empty((N_ROWS, N_FEATURES), dtype=np.float32))
    times = in_turns(
        {
            "sum": lambda: feats.sum(axis=0),
            "without": lambda: CellBuilder(200, rank_by="count").fit(coords),
            "with": lambda: CellBuilder(200).fit(coords, feats),
        }
    )
    added = [a - b for a, b in zip(times["with"], times["without"], strict=True)]
    return Row(
        "bottom-up, 1 M x 512 float32: what the features add",
        "one feats.sum(axis=0)",
        statistics.median(a / b for a, b in zip(added, times["sum"], strict=True)),
        at_most=6.0,
        aim=3.0,
        detail=f"({times.median('with'):.2f} s in all, {times.median('without'):.2f} s without, "
        f"sum {times.median('sum'):.3f} s)",
    )


def _places() -> Row:
    coords, builder = resampled(MANY_ROWS), CellBuilder(200)
    codes = LatLonGrid().encode(coords)
    times = in_turns({"sort": lambda: np.sort(codes), "fit": lambda: builder.fit(coords)})
    return Row(
        "bottom-up without features, 10 M",
        "np.sort of the leaf codes",
        times.ratio("fit", "sort"),
        at_most=5.0,
        aim=2.5,
        detail=f"({times.median('fit'):.2f} s)",
    )


def _memory() -> list[Row]:
    beyond = in_fresh_process("bottom_up.peak_of_fit", None) - N_ROWS * N_FEATURES * 4 / 2**30
    what = "peak memory beyond the features, 1 M x 512"
    in_memory = Row(what, "whole process", beyond, "GiB", at_most=1.5)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "feats.npy")
        shape = (N_ROWS, N_FEATURES)
        random_features(np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape))
        peak = in_fresh_process("bottom_up.peak_of_fit", path)
    what = "peak memory with a memory-mapped file of 1 M x 512"
    return [in_memory, Row(what, "whole process", peak, "GiB", at_most=2.0)]


def peak_of_fit(file: str | None) -> float:
    """GiB at the peak of a fit with features in a file, or in memory."""
    coords = resampled(N_ROWS)
    if file is None:
        feats = random_features(np.empty((N_ROWS, N_FEATURES), dtype=np.float32))
    else:
        feats = np.load(file, mmap_mode="r")
    CellBuilder(200).fit(coords, feats)
    return peak_gib()


def growth() -> list[Row]:
    """Consolidated cells of 1 to 100 million coordinates: time and memory."""
    measured, base, gib = [], 0.0, 0.0
    for n_rows in SIZES:
        n_runs = 3 if n_rows < SIZES[-1] else 1
        runs = [in_fresh_process("bottom_up.consolidated", n_rows) for _ in range(n_runs)]
        elapsed, gib, n_cells = min(run[0] for run in runs), max(run[1] for run in runs), runs[0][2]
        expected = n_rows * np.log(n_rows)
        base = base or elapsed / expected
        measured.append(
            Row(
                f"consolidated, {n_rows // 10**6} M: seconds",
                "n log n from 1 M",
                elapsed / (base * expected),
                detail=f"({elapsed:.2f} s, peak {gib:.2f} GiB, {n_cells} cells)",
            )
        )
    what = f"consolidated, {SIZES[-1] // 10**6} M: peak memory"
    return [*measured, Row(what, "whole process", gib, "GiB", at_most=16.0)]


def consolidated(n_rows: int) -> tuple[float, float, int]:
    """Seconds of one fit, GiB at its peak, and its cells; the kernels are compiled before."""
    builder = CellBuilder(200, method="consolidated").fit(resampled(200_000))
    coords = resampled(n_rows)
    start = time.perf_counter()
    n_cells = builder.fit(coords).n_cells_
    return time.perf_counter() - start, peak_gib(), int(n_cells)


if __name__ == "__main__":
    print(table(rows()))
