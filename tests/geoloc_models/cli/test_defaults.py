"""With defaults alone, from crops of the demo's places: a model that is better than guessing."""

import json

import numpy as np
import pytest
from command_line import geoloc

from geoloc_models.photos.satellite import SatelliteCrops
from geoloc_models.tables.demo import demo_places


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """1 600 crops in random order, and the features of all."""
    folder = tmp_path_factory.mktemp("crops")
    places = demo_places()
    rows = np.random.default_rng(0).permutation(places.n_rows)[:1600]
    images = SatelliteCrops(places.coords[rows], width_km=150.0, size=64)
    for number in range(len(rows)):
        images.load(number).save(folder / f"{number:04d}.jpg")
    frame = places.frame.iloc[rows][["latitude", "longitude"]]
    frame = frame.assign(path=[f"{number:04d}.jpg" for number in range(len(rows))])
    frame.to_csv(folder / "1600.csv", index=False)
    geoloc("embed", folder / "1600.csv", "-o", folder / "features.npy", "--image-size", "64")
    frame[:100].to_csv(folder / "100.csv", index=False)
    return folder


@pytest.mark.parametrize("n_photos", [100, 1600])
def test_a_model_by_defaults_beats_the_majority_and_the_training_centre(crops, tmp_path, n_photos):
    features = ["--features", crops / "features.npy"]
    told = geoloc("train", crops / f"{n_photos}.csv", *features, "-o", tmp_path / "run").output
    assert "A classifier learns little" not in told  # from the coarser ones of several partitions
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    for figures in results["models"].values():
        assert figures["country"] > results["reference"]["majority_country"]
        assert figures["median_km"] < results["reference"]["centre_median_km"] / 2
