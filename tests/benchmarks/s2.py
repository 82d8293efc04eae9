"""S2 cell ids: speed beside s2sphere, and a million ids compared with its own."""

from __future__ import annotations

import numpy as np
import s2sphere

from geocells.grids import S2Grid
from tests.benchmarks.timing import Row, in_turns, table

N_POINTS = 4_000_000
N_REFERENCE = 10_000
N_COMPARED = 1_000_000


def uniform_on_sphere(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    latitudes = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return np.column_stack([latitudes, rng.uniform(-180, 180, n)])


def reference_ids(coords: np.ndarray) -> np.ndarray:
    points = (s2sphere.LatLng.from_degrees(*point) for point in coords.tolist())
    ids = (s2sphere.CellId.from_lat_lng(point).id() for point in points)
    return np.fromiter(ids, dtype=np.uint64, count=len(coords))


def rows() -> list[Row]:
    """Measure everything of this file."""
    coords = uniform_on_sphere(N_POINTS, seed=0)
    few = coords[:N_REFERENCE]
    grid = S2Grid()
    times = in_turns({"ids": lambda: grid.cell_ids(coords), "s2sphere": lambda: reference_ids(few)})
    speed = N_POINTS / times.median("ids") / 1e6
    ratio = N_POINTS / N_REFERENCE / times.ratio("ids", "s2sphere")
    compared = uniform_on_sphere(N_COMPARED, seed=1)
    n_different = int((grid.cell_ids(compared) != reference_ids(compared)).sum())
    return [
        Row("S2 ids a second, millions", "-", speed, unit="M", at_least=15),
        Row("S2 ids a second", "s2sphere", ratio, at_least=150),
        Row("ids that differ in a million", "s2sphere", n_different, unit="ids", at_most=0),
    ]


if __name__ == "__main__":
    print(table(rows()))
