"""``make bench``: print the table of cells, or those of the suites that are named."""

from __future__ import annotations

import os
import platform
import sys

import numba

from tests.benchmarks import cells, decoding, heads, loader, metadata, retrieval, table_partition
from tests.benchmarks.timing import table

SUITES = {
    "cells": cells.report,
    "heads": lambda: table(heads.rows()),
    "retrieval": lambda: table(retrieval.rows()),
    "loader": lambda: table([*loader.decoders(), *loader.rows()]),
    "decoding": lambda: table(decoding.rows()),
    "table_partition": lambda: table(table_partition.rows()),
    "metadata": lambda: table(metadata.rows()),
}


def main(names: list[str]) -> int:
    """Run the named suites, or that of cells."""
    unknown = set(names) - set(SUITES)
    if unknown:
        print(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(SUITES)}.")
        return 2
    print(
        f"Python {platform.python_version()}, numba {numba.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores ({numba.config.CPU_NAME or platform.processor() or platform.machine()})"
    )
    for name in names or ["cells"]:
        print(f"\n{name}\n{SUITES[name]()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
