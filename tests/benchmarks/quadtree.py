"""Fit and assign on ten million coordinates, against sorting as many codes."""

from __future__ import annotations

import json
import statistics

import numpy as np
import s2sphere

from geocells import CellBuilder, LatLonGrid
from tests.benchmarks.real_density import gallery, resampled
from tests.benchmarks.timing import (
    Row,
    fresh_process,
    in_fresh_process,
    in_turns,
    peak_gib,
    seconds,
    table,
)

N_ROWS = 10_000_000
METHODS = ("top_down", "consolidated")
SORT = "np.sort of the leaf codes"

FRESH_FIT = """
import time
start = time.perf_counter()
import geocells
imported = time.perf_counter() - start
import numpy as np
coords = np.random.default_rng(0).normal((47.0, 8.0), 1.0, (100_000, 2))
geocells.CellBuilder(method="consolidated").fit(coords)
print([imported, time.perf_counter() - start])
"""


def rows() -> list[Row]:
    """Measure everything of this file."""
    return [*_speed(), *_memory(), *_start_up(), _peer()]


def _speed() -> list[Row]:
    coords = resampled(N_ROWS)
    codes = LatLonGrid().encode(coords)
    builders = {method: CellBuilder(200, method=method).fit(coords) for method in METHODS}
    times = in_turns(
        {
            "sort": lambda: np.sort(codes),
            **{f"fit {name}": (lambda b=b: b.fit(coords)) for name, b in builders.items()},
            "assign": lambda: builders["consolidated"].assign(coords),
        },
        rounds=7,
    )
    bounds = {"fit top_down": (1.5, 0.8), "fit consolidated": (1.5, 0.8), "assign": (1.0, 0.5)}
    return [
        Row(
            f"{name}, 10 M",
            SORT,
            times.ratio(name, "sort"),
            at_most=at_most,
            aim=aim,
            detail=f"({times.median(name):.3f} s against {times.median('sort'):.3f} s)",
        )
        for name, (at_most, aim) in bounds.items()
    ]


def _memory() -> list[Row]:
    measured = []
    for method in METHODS:
        before, peak = in_fresh_process("quadtree.peaks_of_fit", method)
        what = f"peak memory of fit {method}, 10 M"
        against, detail = "whole process, coordinates included", f"({before:.2f} GiB before fit)"
        measured.append(Row(what, against, peak, "GiB", at_most=1.2, detail=detail))
    return measured


def peaks_of_fit(method: str) -> tuple[float, float]:
    """GiB at the peak before a fit, and at its end."""
    coords = resampled(N_ROWS)
    before = peak_gib()
    CellBuilder(method=method).fit(coords)
    return before, peak_gib()


def _start_up() -> list[Row]:
    # The first run may have to compile.
    runs = [json.loads(fresh_process(FRESH_FIT)) for _ in range(6)][1:]
    imported, fitted = map(statistics.median, zip(*runs, strict=True))
    cached = "fresh process, compiled code cached"
    return [
        Row("import geocells", "fresh process", imported, "s", at_most=1.0),
        Row("import and fit 100 000", cached, fitted, "s", at_most=2.0),
    ]


def _peer() -> Row:
    places = gallery()
    builder = CellBuilder(200, method="consolidated").fit(places)
    ours = statistics.median(seconds(lambda: builder.fit(places)) for _ in range(5))

    def s2_ids() -> list[int]:
        return [
            s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(*place)).id()
            for place in places.tolist()
        ]

    theirs = seconds(s2_ids)
    return Row(
        "s2sphere, ids of 100 000 points alone",
        "whole consolidated fit of the same points",
        theirs / ours,
        detail=f"({theirs:.2f} s against {ours:.4f} s)",
    )


if __name__ == "__main__":
    print(table(rows()))
