"""From metadata to splits at the size of the paper's data set: time and peak memory of each step.

``python -m tests.benchmarks.metadata [n_rows]`` writes a table of made-up photos (real coordinates
with jitter, ids, addresses, users, faults) to a temporary folder and runs the commands on it, each
in a process of its own. 14 million rows by default: 4 GB of disk, some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from .real_density import BLOCK, gallery
from .timing import Row, table

N_ROWS = 14_000_000
JITTER_DEGREES = 0.01
MOST_MINUTES, MOST_GIB = 10, 4

RUN = """
import re, sys
from pathlib import Path
from geoloc_models.cli import main
try:
    main({arguments!r})
finally:
    peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
    print("peak_kib", peak)
"""


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


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds and GiB at the peak of one command."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"geoloc {' '.join(arguments)} failed:\n{done.stderr}")
    *said, peak = done.stdout.strip().splitlines()
    print(f"\n$ geoloc {' '.join(Path(a).name for a in arguments)}")
    print("\n".join(f"  {line}" for line in said), flush=True)
    return seconds, int(peak.split()[1]) / 2**20


def rows(n_rows: int = N_ROWS) -> list[Row]:
    """Measure the steps, and all of them together."""
    with tempfile.TemporaryDirectory(prefix="geoloc-metadata-") as name:
        folder = Path(name)
        metadata = folder / "metadata.csv"
        start = time.perf_counter()
        write_metadata(metadata, n_rows)
        print(
            f"{n_rows:,} rows, {metadata.stat().st_size / 1e9:.2f} GB, made in "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        two, world, split = (str(folder / f"{name}.parquet") for name in ("two", "world", "split"))
        steps = {
            "select SE,CH": ["select", str(metadata), "-o", two, "--countries", "SE,CH"],
            "select, the world, within 5 km": [
                "select", str(metadata), "-o", world, "--tolerance-km", "5",
            ],
            "split, the world": ["split", world, "-o", split],
        }  # fmt: skip
        figures = {step: measured(arguments) for step, arguments in steps.items()}
    lines = []
    for step, (seconds, gib) in figures.items():
        lines.append(Row(f"{step}: time", "-", seconds, unit="s"))
        lines.append(Row(f"{step}: peak memory", "-", gib, unit="GiB", at_most=MOST_GIB))
    minutes = sum(seconds for seconds, _ in figures.values()) / 60
    return [*lines, Row("all steps: time", "-", minutes, unit="min", at_most=MOST_MINUTES)]


def main() -> int:
    """Print the table of figures."""
    n_rows = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else N_ROWS
    lines = rows(n_rows)
    print(f"\nmetadata, {n_rows:,} rows\n{table(lines)}")
    return int(any(line.holds is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
