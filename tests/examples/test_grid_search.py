"""The example of a grid search, on few photos."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "grid_search.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


def made_up_photos(n_photos: int) -> pd.DataFrame:
    """Draw photos around 20 towns of the region."""
    rng = np.random.default_rng(0)
    towns = rng.uniform((43, -4), (54, 15), (20, 2))
    coords = towns[rng.integers(0, 20, n_photos)] + rng.normal(0, 0.1, (n_photos, 2))
    return pd.DataFrame(coords, [f"photo {i}" for i in range(n_photos)], ["latitude", "longitude"])


def test_every_candidate_is_scored_on_photos_that_its_cells_have_not_seen(example):
    photos = made_up_photos(600)
    grid = {"min_images": [10, 200], "overlap": [1, 2]}
    feats = example["simulated_features"](photos, n_features=32)
    search = example["search_over"](photos, feats, grid)
    table = example["table_of"](search)
    assert len(table) == 4
    accuracies = table[["within 25 km, %", "perfect classifier, %"]].to_numpy()
    assert np.isfinite(accuracies).all()
    assert ((accuracies >= 0) & (accuracies <= 100)).all()
    # Of 20 towns, cells that hold one each are placed; those of 200 photos cannot be.
    by_size = table.groupby("min_images")["within 25 km, %"].max()
    assert by_size[10] > by_size[200]
    assert search.best_score_ == pytest.approx(accuracies[:, 0].max(), abs=0.05)


def test_features_tell_of_the_place(example):
    photos = made_up_photos(400)
    feats = example["simulated_features"](pd.concat([photos, photos])).to_numpy()
    same = np.sum(feats[:400] * feats[400:], axis=1).mean()
    others = np.sum(feats[:400] * np.roll(feats[400:], 97, axis=0), axis=1).mean()
    # The signal has power 1 a feature: two photos of one place agree in 128 units, give or take the noise.
    assert same == pytest.approx(128, rel=0.25)
    assert same > 2 * others


@pytest.mark.skipif(importlib.util.find_spec("geoclip") is None, reason="geoclip has the gallery")
def test_the_gallery_has_photos_in_the_region(example):
    photos = example["photos_of_region"](500)
    assert len(photos) == 500
    assert photos.index.is_unique
    assert photos["latitude"].between(42, 55).all()
    assert photos["longitude"].between(-5, 16).all()
