"""Processor time a cell to draw, save and load cells of a million photos of real density."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from geocells import CellBuilder, CellPartition, load_cells
from geocells.cells.io import SUFFIXES
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import Row

N_ROWS = 1_000_000
ROUNDS = 5


def rows() -> list[Row]:
    """Measure everything of this file."""
    coords = resampled(N_ROWS)
    found = []
    for grid in ("latlon", "s2", "healpix"):
        for method in ("top_down", "consolidated", "bottom_up"):
            cells = CellBuilder(30, method=method, grid=grid, min_cell_size=0.1).fit(coords).cells_
            what = f"polygons of {cells.n_cells} cells, {grid} {method}"
            most = (
                10
                if (grid, method) in (("latlon", "top_down"), ("latlon", "consolidated"))
                else None
            )
            found.append(_row(what, cells, cells.polygons, most))
    cells = CellBuilder(30, method="consolidated", min_cell_size=0.1).fit(coords).cells_
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            path = Path(folder) / f"cells{suffix}"
            found.append(_row(f"save {suffix}", cells, lambda path=path: cells.save(path)))
            found.append(_row(f"load {suffix}", cells, lambda path=path: load_cells(path)))
    return found


def _row(
    what: str, cells: CellPartition, call: Callable[[], object], at_most: float | None = None
) -> Row:
    """Least processor time of several calls, in microseconds a cell."""
    least = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        least = min(least, time.process_time() - start)
    return Row(what, "-", least / cells.n_cells * 1e6, unit="µs a cell", at_most=at_most)
