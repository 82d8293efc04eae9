"""Break the core one place at a time: ``python -m tests.mutation grids --seconds 600``.

The package and its tests are copied into a folder of their own and the tests run once, to see how
long each takes and which functions it calls. Then, for each mutant, a forked process exchanges the
code of the broken function and runs the tests that call it, the quick ones first, until one fails.
Kernels run as plain Python (NUMBA_DISABLE_JIT), where an index out of bounds is an error. Mutants
that nothing notices are printed.
"""

import argparse
import collections
import importlib
import json
import os
import random
import tempfile
import time
from pathlib import Path

from .mutants import mutants
from .run import DOCTEST, Check

ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "numpy", "pandas", "pyarrow.parquet", "scipy.spatial", "shapely", "geopandas", "numba", "s2sphere",
    "sklearn.cluster", "hypothesis", "hypothesis.extra.numpy", "pytest", "tqdm", "pyproj", "doctest",
)  # fmt: skip

TARGETS = {
    "grids": ("geocells/grids/*.py",),
    "moments": ("geocells/moments.py",),
    "assign": tuple(
        f"geocells/cells/{name}.py" for name in ("index", "partition", "ranges", "representative_points")
    ),
}  # fmt: skip
TESTS = {
    "grids": (
        "tests/geocells/grids", "tests/geocells/cells/test_geometry.py",
        "tests/geocells/cells/test_names_and_areas.py",
        f"{DOCTEST}[geocells.grids.latlon]", f"{DOCTEST}[geocells.grids.s2]", f"{DOCTEST}[geocells.grids.healpix]",
    ),
    "moments": ("tests/geocells/test_moments.py",),
    "assign": (
        "tests/geocells/cells/test_ranges.py", "tests/geocells/cells/test_representative_points.py",
        "tests/geocells/cells/test_partition.py", "tests/geocells/cells/test_io.py",
        "tests/geocells/cells/test_names_and_areas.py",
        "tests/geocells/cells/test_geometry.py", "tests/geocells/cells/test_voronoi.py",
        "tests/geocells/test_clustered.py", "tests/geocells/test_hierarchy.py",
        f"{DOCTEST}[geocells.cells.partition]",
        # Its threads cannot be stopped, and take minutes.
        "--deselect=tests/geocells/cells/test_representative_points.py::test_row_order_and_threads_change_nothing",
    ),
}  # fmt: skip


def in_order(found, seed):
    """Shuffle the mutants, (file, mutant) each: one of every line, then the others."""
    random.Random(seed).shuffle(found)
    lines, first, rest = set(), [], []
    for file, mutant in found:
        (rest if (file, mutant.line) in lines else first).append((file, mutant))
        lines.add((file, mutant.line))
    return first, rest


def main():
    """Break, test, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("target", choices=tuple(TARGETS))
    add = parser.add_argument
    add("--seconds", type=int, default=None, help="stop after so long; default: when all are tried")
    add("--seed", type=int, default=0, help="of the order")
    add("--only", action="append", default=[], metavar="FILE[:LINE]", help="end of a file's name")
    add("--lines", action="store_true", help="one mutant of each line, no more")
    add("--slowest", type=float, default=1.5, help="leave out tests that take longer, s of CPU")
    add("--total", type=float, default=20.0, help="CPU seconds of the tests of one mutant at most")
    add("--examples", type=int, default=40, help="examples of each Hypothesis test")
    add("--jobs", type=int, default=2, help="processes")
    add("--keep", type=Path, default=None, help="folder for the copy, the log and results.jsonl")
    options = parser.parse_args()

    os.environ.update(
        NUMBA_DISABLE_JIT="1",
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        MPLBACKEND="Agg",
        GEOCELLS_NUM_THREADS="1",
        OMP_NUM_THREADS="1",  # scikit-learn's threads do not outlive a fork: k-means would wait for ever
    )
    for name in LIBRARIES:
        importlib.import_module(name)
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="mutation-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text("")
    files = sorted(
        str(path.relative_to(ROOT)) for glob in TARGETS[options.target] for path in ROOT.glob(glob)
    )
    wanted = [only.rsplit(":", 1) for only in options.only] or [[""]]
    found = [
        (file, mutant)
        for file in files
        for mutant in mutants((ROOT / file).read_text(encoding="utf-8"))
        if any(file.endswith(name) and line in ([], [str(mutant.line)]) for name, *line in wanted)
    ]
    first, rest = in_order(found, options.seed)
    check = Check(
        ROOT, first if options.lines else first + rest, TESTS[options.target], folder,
        slowest=options.slowest, examples=options.examples, seconds=options.seconds,
        total=options.total, jobs=options.jobs,
    )  # fmt: skip
    check.run()
    table = collections.defaultdict(lambda: [set(), 0, 0])
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for file, line, what, failed, n_tests in rows:
        table[file][0].add(line)
        table[file][1] += 1
        table[file][2] += failed != ""
        if not failed:
            print(f"{file}:{line}: {what}  (of {n_tests} tests)")
    print(
        f"{len(rows)} of {len(found)} mutants, {len(check.tests)} tests in use, {time.monotonic() - check.start:.0f} s"
    )
    print(f"{'file':44} lines mutants noticed")
    for file, (lines, tried, noticed) in sorted(table.items()):
        print(f"{file:44} {len(lines):5} {tried:7} {noticed:7}")


if __name__ == "__main__":
    main()
