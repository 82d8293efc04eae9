"""Coordinates as dense as real photos: the demo's gallery, resampled with jitter."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

JITTER_DEGREES = 0.05
BLOCK = 1_000_000
"""Rows made at a time, so that making them does not set the peak of memory."""


def gallery() -> np.ndarray:
    """The 100 000 photo coordinates that the package geoclip carries, (n, 2) latitude, longitude."""
    spec = importlib.util.find_spec("geoclip")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "The benchmarks need the gallery of geoclip: pip install '.[demo]' in the source folder."
        )
    folder = Path(spec.submodule_search_locations[0])
    table = pd.read_csv(folder / "model" / "gps_gallery" / "coordinates_100K.csv")
    return table[["LAT", "LON"]].to_numpy(dtype=np.float64)


def resampled(n_rows: int, seed: int = 0) -> np.ndarray:
    """``n_rows`` places of the gallery, drawn with repetition, each moved by about 5 km."""
    rng = np.random.default_rng(seed)
    places = gallery()
    coords = np.empty((n_rows, 2))
    for start in range(0, n_rows, BLOCK):
        block = coords[start : start + BLOCK]
        block[:] = places[rng.integers(0, len(places), len(block))]
        block += rng.normal(0.0, JITTER_DEGREES, block.shape)
        np.clip(block[:, 0], -90.0, 90.0, out=block[:, 0])
        block[:, 1] = (block[:, 1] + 180.0) % 360.0 - 180.0
    return coords
