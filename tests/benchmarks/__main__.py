"""``make bench``: print the table of ratios."""

from __future__ import annotations

import os
import platform
import sys

import numba
import numpy as np

from tests.benchmarks import (
    bottom_up,
    decoding,
    heads,
    loader,
    polygons,
    quadtree,
    retrieval,
    s2,
    table_partition,
)
from tests.benchmarks.timing import table

SUITES = {
    "quadtree": quadtree.rows,
    "s2": s2.rows,
    "polygons": polygons.rows,
    "bottom_up": bottom_up.rows,
    "heads": heads.rows,
    "retrieval": retrieval.rows,
    "loader": loader.rows,
    "decoders": loader.decoders,
    "decoding": decoding.rows,
    "growth": bottom_up.growth,
    "table_partition": table_partition.rows,
}
BY_NAME_ONLY = {
    "decoding",
    "growth",
    "table_partition",
}  # minutes, and 10 GB for 100 million coordinates


def main(names: list[str]) -> int:
    """Run the named suites, or all but the longest."""
    unknown = set(names) - set(SUITES)
    if unknown:
        print(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(SUITES)}.")
        return 2
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores ({numba.config.CPU_NAME or platform.processor() or platform.machine()})"
    )
    for name in names or [name for name in SUITES if name not in BY_NAME_ONLY]:
        print(f"\n{name}\n{table(SUITES[name]())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
