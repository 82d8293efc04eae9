"""Other ways to make cells of the same 100 000 real coordinates: time, cells, images left out, oracle accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import fast_hdbscan
import numpy as np
import pandas as pd
import s2sphere
from sklearn.cluster import OPTICS, KMeans

from geocells import CellBuilder, sphere
from tests.benchmarks.real_density import gallery
from tests.benchmarks.timing import seconds

MIN_IMAGES = 200
RADII_KM = (1, 25, 200, 750)

Build = Callable[[np.ndarray], np.ndarray]


def planets_split(coords: np.ndarray) -> np.ndarray:
    """PlaNet's and ISN's split in plain Python: cells of over 1 000 images are split, those short of 200 dropped."""
    leaves = [
        s2sphere.CellId.from_lat_lng(s2sphere.LatLng.from_degrees(*place))
        for place in coords.tolist()
    ]
    labels = np.full(len(coords), -1)
    waiting = [(0, rows) for rows in _by_parent(leaves, list(range(len(coords))), 0).values()]
    n_cells = 0
    while waiting:
        level, rows = waiting.pop()
        if len(rows) > 1000 and level < 14:
            waiting += [(level + 1, part) for part in _by_parent(leaves, rows, level + 1).values()]
        elif len(rows) >= MIN_IMAGES:
            labels[rows] = n_cells
            n_cells += 1
    return labels


def _by_parent(leaves: list[s2sphere.CellId], rows: list[int], level: int) -> dict[int, list[int]]:
    parts: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        parts[leaves[row].parent(level).id()].append(row)
    return parts


def ours(**parameters: object) -> Build:
    return lambda coords: CellBuilder(MIN_IMAGES, **parameters).fit(coords).labels_


def clustered(clustering: object) -> Build:
    return lambda coords: clustering.fit_predict(sphere.to_unit_vectors(coords))  # type: ignore[attr-defined]


def measure(coords: np.ndarray, build: Build, rounds: int) -> dict[str, object]:
    """One line: best time of the rounds, and what the labels are worth."""
    results: list[np.ndarray] = []
    best = min(seconds(lambda: results.append(build(coords))) for _ in range(rounds))
    labels = results[-1]
    is_in_cell = labels >= 0
    n_cells = int(labels.max()) + 1
    locations = np.array([sphere.spherical_mean(coords[labels == cell]) for cell in range(n_cells)])
    km = np.full(len(coords), np.inf)
    km[is_in_cell] = sphere.haversine(locations[labels[is_in_cell]], coords[is_in_cell])
    counts = np.bincount(labels[is_in_cell], minlength=n_cells)
    n_in_small = counts[counts < MIN_IMAGES].sum()
    return {
        "images": len(coords),
        "seconds": round(best, 3),
        "cells": n_cells,
        "without a cell %": round(100 * float((~is_in_cell).mean()), 1),
        f"in cells under {MIN_IMAGES} %": round(100 * n_in_small / len(coords), 1),
        **{f"oracle {km_} km": round(100 * float((km <= km_).mean()), 1) for km_ in RADII_KM},
    }


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    coords = gallery()
    few = coords[np.random.default_rng(0).permutation(len(coords))[:10_000]]
    planet = {"method": "top_down", "grid": "s2", "max_images": 1000, "leftover": "noise"}
    lines = {}
    for name, build, places, rounds in (
        ("geocells bottom-up", ours(), coords, 4),
        ("geocells consolidated", ours(method="consolidated"), coords, 4),
        ("geocells top-down", ours(method="top_down"), coords, 4),
        ("geocells, PlaNet's split (S2, 1 000)", ours(**planet), coords, 4),
        ("s2sphere, PlaNet's split (1 000)", planets_split, coords, 1),
        (
            "scikit-learn KMeans (400)",
            clustered(KMeans(n_clusters=400, n_init=1, random_state=0)),
            coords,
            1,
        ),
        (
            "scikit-learn OPTICS (20)",
            clustered(OPTICS(min_samples=20, min_cluster_size=20)),
            few,
            1,
        ),
        (
            "fast_hdbscan",
            clustered(fast_hdbscan.HDBSCAN(min_cluster_size=MIN_IMAGES)),
            coords,
            2,
        ),
    ):
        lines[name] = measure(places, build, rounds)
        print(name, lines[name], flush=True)
    table = pd.DataFrame(lines).T
    print("\n| |" + "|".join(map(str, table.columns)) + "|")
    print("|---|" + "---|" * len(table.columns))
    for name, line in table.iterrows():
        print(f"|{name}|" + "|".join(map(str, line)) + "|")


if __name__ == "__main__":
    main()
