"""Fit and assign on ten million coordinates, against sorting as many codes."""

from __future__ import annotations

import statistics

import numpy as np
import s2sphere

from geocells import CellBuilder, LatLonGrid

from .real_density import gallery, resampled
from .timing import Row, fresh_process, in_turns, median_ratio, seconds

N_ROWS = 10_000_000
SORT = "np.sort of the leaf codes"

PEAK_MEMORY = """
import sys
sys.path.insert(0, ".")
from tests.benchmarks.real_density import resampled
from tests.benchmarks.timing import peak_kib
from geocells import CellBuilder
coords = resampled({n_rows})
before = peak_kib()
CellBuilder(method={method!r}).fit(coords)
print(before, peak_kib())
"""

FRESH_FIT = """
import time
start = time.perf_counter()
import geocells
print(time.perf_counter() - start)
import numpy as np
from geocells import CellBuilder
coords = np.random.default_rng(0).normal((47.0, 8.0), 1.0, (100_000, 2))
CellBuilder(method="consolidated").fit(coords)
print(time.perf_counter() - start)
"""


def rows() -> list[Row]:
    """Measure everything of this file."""
    return _speed() + _memory() + _start_up() + _peer()


def _speed() -> list[Row]:
    coords = resampled(N_ROWS)
    codes = LatLonGrid().encode(coords)
    builders = {
        method: CellBuilder(min_images=200, method=method)
        for method in ("top_down", "consolidated")
    }
    for builder in builders.values():
        builder.fit(coords)
    times = in_turns(
        {
            "sort": lambda: np.sort(codes),
            **{name: (lambda b=b: b.fit(coords)) for name, b in builders.items()},
            "assign": lambda: builders["consolidated"].assign(coords),
        },
        rounds=7,
    )
    sort_seconds = statistics.median(times["sort"])
    measured = [
        Row(
            f"fit {name}, 10 M",
            SORT,
            median_ratio(times, name, "sort"),
            at_most=1.5,
            aim=0.8,
            detail=f"({statistics.median(times[name]):.3f} s against {sort_seconds:.3f} s)",
        )
        for name in builders
    ]
    measured.append(
        Row(
            "assign, 10 M",
            SORT,
            median_ratio(times, "assign", "sort"),
            at_most=1.0,
            aim=0.5,
            detail=f"({statistics.median(times['assign']):.3f} s)",
        )
    )
    return measured


def _memory() -> list[Row]:
    measured = []
    for method in ("top_down", "consolidated"):
        before, peak = map(
            int, fresh_process(PEAK_MEMORY.format(n_rows=N_ROWS, method=method)).split()
        )
        measured.append(
            Row(
                f"peak memory of fit {method}, 10 M",
                "whole process, coordinates included",
                peak / 2**20,
                "GiB",
                at_most=1.2,
                detail=f"({before / 2**20:.2f} GiB before fit)",
            )
        )
    return measured


def _start_up() -> list[Row]:
    fresh_process(FRESH_FIT)
    runs = [tuple(map(float, fresh_process(FRESH_FIT).split())) for _ in range(5)]
    return [
        Row(
            "import geocells",
            "fresh process",
            statistics.median(r[0] for r in runs),
            "s",
            at_most=1.0,
        ),
        Row(
            "import and fit 100 000",
            "fresh process, compiled code cached",
            statistics.median(r[1] for r in runs),
            "s",
            at_most=2.0,
        ),
    ]


def _peer() -> list[Row]:
    places = gallery()
    builder = CellBuilder(min_images=200, method="consolidated").fit(places)
    ours = statistics.median(seconds(lambda: builder.fit(places)) for _ in range(5))

    def s2_ids() -> list[int]:
        return [
            s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(latitude, longitude)).id()
            for latitude, longitude in places.tolist()
        ]

    theirs = seconds(s2_ids)
    return [
        Row(
            "s2sphere, ids of 100 000 points alone",
            "whole consolidated fit of the same points",
            theirs / ours,
            detail=f"({theirs:.2f} s against {ours:.4f} s)",
        )
    ]
