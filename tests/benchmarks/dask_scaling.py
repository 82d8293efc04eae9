"""Scaling of geocells.dask: ``python -m tests.benchmarks.dask_scaling [millions ...] [--workers 1 2]``.

Rows are made in their partitions, from towns of very different size and a thin spread over the land between, so that no
more than a partition a worker is ever in memory. Not part of ``make bench``: 100 million rows take
minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time

import dask.array as da
import numpy as np
from dask.delayed import delayed
from distributed import Client, LocalCluster

from geocells import CellBuilder
from geocells import dask as over_dask

PARTITION_ROWS = 2_500_000
N_TOWNS = 20_000


def photos(number: int, n_rows: int) -> np.ndarray:
    """Rows of one partition: nine of ten in towns, whose sizes fall as one over their rank."""
    towns = np.random.default_rng(0).uniform((-50.0, -175.0), (65.0, 175.0), (N_TOWNS, 2))
    rng = np.random.default_rng((1, number))
    # The rank of a town is spread evenly in its logarithm.
    town = np.minimum(N_TOWNS ** rng.random(n_rows), N_TOWNS - 1).astype(np.int64)
    coords = towns[town] + rng.normal(0.0, 0.05, (n_rows, 2))
    lone = rng.random(n_rows) < 0.1
    coords[lone] = rng.uniform((-55.0, -180.0), (70.0, 180.0), (int(lone.sum()), 2))
    return coords


def collection(n_rows: int) -> da.Array:
    """Dask array of so many rows."""
    parts = []
    for number, start in enumerate(range(0, n_rows, PARTITION_ROWS)):
        size = min(PARTITION_ROWS, n_rows - start)
        parts.append(da.from_delayed(delayed(photos)(number, size), (size, 2), float))
    return da.concatenate(parts)


def measure(rows: da.Array, n_workers: int, method: str) -> str:
    """Fit and assign: a line of the table."""
    start = time.perf_counter()
    result = over_dask.fit(CellBuilder(200, method=method), rows)
    fitted = time.perf_counter()
    # Counted where they are, so that labels of no more than a partition are in memory.
    labels = over_dask.assign(result.cells, rows)
    counts = labels.map_blocks(lambda block: np.array([len(block)]), chunks=(1,), dtype=np.int64)
    n_rows = int(counts.sum().compute())
    assigned = time.perf_counter()
    return (
        f"| {n_rows:,} | {n_workers} | {method} | {fitted - start:.1f} s "
        f"| {result.n_cells:,} | {assigned - fitted:.1f} s |"
    )


def main() -> None:
    """Print a row for every number of rows and workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("millions", nargs="*", type=int, default=[10, 100, 300])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args()
    print("| rows | workers | method | fit | cells | assign |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_millions, n_workers in itertools.product(options.millions, options.workers):
        with (
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,
            ) as cluster,
            Client(cluster) as client,
        ):
            client.run(one_thread)
            rows = collection(n_millions * 1_000_000)
            for method in ("consolidated", "bottom_up"):
                print(measure(rows, n_workers, method), flush=True)


def one_thread() -> None:
    """Let a worker's kernels use one thread."""
    os.environ["GEOCELLS_NUM_THREADS"] = "1"


if __name__ == "__main__":
    main()
