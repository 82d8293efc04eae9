"""From metadata to splits at the size of the paper's data set: time and peak memory of each step.

A table of 14 million made-up photos (real coordinates with jitter, ids, addresses, users, faults) is written to a
temporary folder, and the commands run on it, each in a process of its own: 4 GB of disk, some minutes.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.real_density import BLOCK, gallery
from tests.benchmarks.timing import Row, fresh_process, peak_gib

N_ROWS = 14_000_000
JITTER_DEGREES = 0.01


def write_metadata(path: Path, n_rows: int) -> None:
    """CSV of ``n_rows`` photos; one in 500 has no coordinate, one in 500 repeats an id."""
    rng = np.random.default_rng(0)
    places = gallery()
    for start in range(0, n_rows, BLOCK):
        n = min(BLOCK, n_rows - start)
        coords = places[rng.integers(0, len(places), n)] + rng.normal(0, JITTER_DEGREES, (n, 2))
        number = np.arange(start, start + n, dtype=np.int64)
        number[rng.random(n) < 0.002] -= 1
        ids = pd.Series(2_000_000_000 + number * 613).astype(str)
        latitude = np.round(np.clip(coords[:, 0], -90, 90), 6)
        latitude[rng.random(n) < 0.002] = np.nan
        frame = pd.DataFrame(
            {
                "photo_id": ids,
                "owner": rng.integers(10**7, 10**8, n),
                "date_taken": "2012-07-14 10:22:05",
                "latitude": latitude,
                "longitude": np.round((coords[:, 1] + 180) % 360 - 180, 6),
                "url": "https://live.example.org/7" + ids.str[:3] + "/" + ids + "_0123456789.jpg",
            }
        )
        frame.to_csv(path, mode="a", header=start == 0, index=False)


def run_command(words: list[str]) -> None:
    """Print as JSON what a command prints, its seconds from the import on, and GiB at its peak."""
    start = time.perf_counter()
    from geoloc_models.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(words)
    print(json.dumps((printed.getvalue(), time.perf_counter() - start, peak_gib())))


def rows() -> list[Row]:
    """Measure the steps, and all of them together."""
    lines, total = [], 0.0
    with tempfile.TemporaryDirectory(prefix="geoloc-metadata-") as name:
        metadata, two, world, split = (
            f"{name}/{file}"
            for file in ("metadata.csv", "two.parquet", "world.parquet", "split.parquet")
        )
        write_metadata(Path(metadata), N_ROWS)
        print(f"{N_ROWS:,} rows, {Path(metadata).stat().st_size / 1e9:.2f} GB", flush=True)
        for step, words in (
            ("select SE,CH", ["select", metadata, "-o", two, "--countries", "SE,CH"]),
            (
                "select, the world, within 5 km",
                ["select", metadata, "-o", world, "--tolerance-km", "5"],
            ),
            ("split, the world", ["split", world, "-o", split]),
        ):
            code = f"from tests.benchmarks.metadata import run_command; run_command({words})"
            printed, seconds, gib = json.loads(fresh_process(code))
            print(
                f"\n$ geoloc {' '.join(Path(word).name for word in words)}\n{printed}", flush=True
            )
            lines.append(Row(f"{step}: time", "-", seconds, unit="s"))
            lines.append(Row(f"{step}: peak memory", "-", gib, unit="GiB", at_most=4))
            total += seconds
    return [*lines, Row("all steps: time", "-", total / 60, unit="min", at_most=10)]
