"""Other ways to make cells of the same 100 000 real coordinates: time, cells, images left out, oracle accuracy."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pandas as pd
import s2sphere
from sklearn.cluster import OPTICS, KMeans

from geocells import CellBuilder, sphere

from .real_density import gallery

MIN_IMAGES = 200
RADII_KM = (1, 25, 200, 750)


def s2sphere_adaptive(coords: np.ndarray) -> np.ndarray:
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


def kmeans(coords: np.ndarray) -> np.ndarray:
    return KMeans(n_clusters=400, n_init=1, random_state=0).fit_predict(
        sphere.to_unit_vectors(coords)
    )


def optics(coords: np.ndarray) -> np.ndarray:
    return OPTICS(min_samples=20, min_cluster_size=20).fit_predict(sphere.to_unit_vectors(coords))


def fast_hdbscan(coords: np.ndarray) -> np.ndarray:
    import fast_hdbscan as package

    return package.HDBSCAN(min_cluster_size=MIN_IMAGES).fit_predict(sphere.to_unit_vectors(coords))


def ours(**parameters: object) -> Callable[[np.ndarray], np.ndarray]:
    def build(coords: np.ndarray) -> np.ndarray:
        return CellBuilder(MIN_IMAGES, **parameters).fit(coords).labels_

    return build


def measure(
    coords: np.ndarray, build: Callable[[np.ndarray], np.ndarray], rounds: int
) -> dict[str, object]:
    """One line: best time of the rounds, and what the labels are worth."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        labels = build(coords)
        seconds.append(time.perf_counter() - start)
    kept = labels >= 0
    n_cells = int(labels.max()) + 1
    locations = np.array([sphere.spherical_mean(coords[labels == cell]) for cell in range(n_cells)])
    km = np.full(len(coords), np.inf)
    km[kept] = sphere.haversine(locations[labels[kept]], coords[kept])
    counts = np.bincount(labels[kept], minlength=n_cells)
    return {
        "images": len(coords),
        "seconds": round(min(seconds), 3),
        "cells": n_cells,
        "without a cell %": round(100 * float((~kept).mean()), 1),
        f"in cells under {MIN_IMAGES} %": round(
            100 * counts[counts < MIN_IMAGES].sum() / len(coords), 1
        ),
        **{
            f"oracle {radius} km": round(100 * float((km <= radius).mean()), 1)
            for radius in RADII_KM
        },
    }


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    coords = gallery()
    few = coords[np.random.default_rng(0).permutation(len(coords))[:10_000]]
    lines: dict[str, dict[str, object]] = {}
    for name, build, places, rounds in (
        ("geocells bottom-up", ours(), coords, 4),
        ("geocells consolidated", ours(method="consolidated"), coords, 4),
        ("geocells top-down", ours(method="top_down"), coords, 4),
        (
            "geocells, PlaNet's split (S2, 1 000)",
            ours(method="top_down", grid="s2", max_images=1000, leftover="noise"),
            coords,
            4,
        ),
        ("s2sphere, PlaNet's split (1 000)", s2sphere_adaptive, coords, 1),
        ("scikit-learn KMeans (400)", kmeans, coords, 1),
        ("scikit-learn OPTICS (20)", optics, few, 1),
        ("fast_hdbscan", fast_hdbscan, coords, 2),
    ):
        try:
            lines[name] = measure(places, build, rounds)
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error}")
            continue
        print(name, lines[name], flush=True)
    table = pd.DataFrame(lines).T
    print("\n| |" + "|".join(map(str, table.columns)) + "|")
    print("|---|" + "---|" * len(table.columns))
    for name, line in table.iterrows():
        print(f"|{name}|" + "|".join(map(str, line)) + "|")


if __name__ == "__main__":
    main()
