"""``make bench``: print the table of ratios."""

from __future__ import annotations

import os
import platform
import sys

import numba
import numpy as np

from . import quadtree, s2
from .timing import table

SUITES = {"quadtree": quadtree.rows, "s2": s2.rows}


def main(names: list[str]) -> int:
    """Run the named suites, or all of them; exit status 1 when a bound is missed."""
    unknown = set(names) - set(SUITES)
    if unknown:
        print(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(SUITES)}.")
        return 2
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores ({numba.config.CPU_NAME or platform.processor() or platform.machine()})"
    )
    missed = False
    for name in names or SUITES:
        rows = SUITES[name]()
        print(f"\n{name}\n{table(rows)}", flush=True)
        missed |= any(row.holds is False for row in rows)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
