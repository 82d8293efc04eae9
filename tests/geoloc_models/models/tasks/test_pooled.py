"""Pooled partitions: a distribution over photos that agrees with its formula, chosen and stored."""

import numpy as np
import pytest
from geoloc_models_small import small_table, small_task

from geocells import decoding
from geoloc_models.errors import GeolocError
from geoloc_models.models.encoders import build_encoder
from geoloc_models.models.tasks import PooledTask
from geoloc_models.models.tasks import pooled as module

TABLE = small_table(40)
RANDOM = np.random.default_rng(0)


@pytest.fixture
def task():
    return small_task("pooled", TABLE).eval()


def outputs(task, n, features=None):
    """What a network might give: random probabilities, and features."""
    parts = [RANDOM.dirichlet(np.ones(size), n) for size in task.n_classes]
    if features is None:
        features = RANDOM.normal(size=(n, task.encoder.dim)).astype(np.float32)
    return {"probabilities": np.hstack(parts).astype(np.float32), "features": features}


def stored(task, seen):
    task.store(seen, TABLE.coords, TABLE.countries)
    return task


def test_the_posterior_is_that_of_the_formula(task):
    stored(task, outputs(task, 40))
    task.power, task.temperature = 0.7, 0.2
    given = outputs(task, 3)
    vectors = (given["features"] - task.centre.numpy()) @ task.projection.numpy()
    expected = np.zeros((3, 40))
    for image in range(3):
        for photo in range(40):
            density, start = 0.0, 0
            for cells in task.partitions:
                labels = cells.assign(TABLE.coords, groups=TABLE.countries)
                chance = given["probabilities"][image, start + labels[photo]]
                density += chance / (labels == labels[photo]).sum() / len(task.partitions)
                start += cells.n_cells
            mine, other = vectors[image], task.photos.vectors[photo].astype(np.float64)
            cosine = mine @ other / np.linalg.norm(mine) / np.linalg.norm(other)
            expected[image, photo] = density**0.7 * np.exp(cosine / 0.2)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(task.predict_proba(given), expected, rtol=1e-3)


@pytest.mark.parametrize("is_told_by", ["features", "probabilities"])
def test_what_tells_the_place_is_what_counts_after_tuning(is_told_by, task):
    seen = outputs(task, 40)
    stored(task, seen)
    rows = np.arange(0, 40, 2)
    if is_told_by == "features":
        given = outputs(task, 20, seen["features"][rows])
    else:
        given, start = outputs(task, 20), 0
        for cells in task.partitions:
            labels = cells.assign(TABLE.coords[rows], groups=TABLE.countries[rows])
            own = given["probabilities"][:, start : start + cells.n_cells]
            own[:] = np.eye(cells.n_cells, dtype=np.float32)[labels]
            start += cells.n_cells
    task.tune(given, TABLE.coords[rows])
    warmth = {"features": min, "probabilities": max}[is_told_by](module._TEMPERATURES)
    assert task.temperature == warmth


def test_photos_are_stored_in_half_precision_and_answer_alike_after_loading(task, tmp_path):
    stored(task, outputs(task, 40))
    task.temperature = 0.1
    task.write_files(tmp_path)
    loaded = PooledTask.from_card(task.card(), tmp_path, build_encoder("tiny"))
    loaded.load_state_dict(task.state_dict())
    given = outputs(task, 5)
    np.testing.assert_array_equal(loaded.predict_proba(given), task.predict_proba(given))
    assert loaded.photos.vectors.dtype == np.float16


def test_of_very_many_photos_a_part_is_stored(task, monkeypatch):
    monkeypatch.setattr(module, "MOST_PHOTOS", 10)
    stored(task, outputs(task, 40))
    given = outputs(task, 4)
    posterior = task.predict_proba(given)
    assert posterior.shape == (4, 10)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-5)
    assert decoding.ExpectedUtility.from_points(task.photos.coords).predict(posterior).shape == (
        4,
        2,
    )


def test_files_of_two_bundles_are_told_apart(task, tmp_path):
    stored(task, outputs(task, 40)).write_files(tmp_path)
    card = task.card()
    (tmp_path / "cells_1.parquet").unlink()
    with pytest.raises(GeolocError, match=r"cells_1\.parquet is missing"):
        PooledTask.from_card(card, tmp_path, build_encoder("tiny"))


def test_a_model_without_photos_has_the_probabilities_of_its_first_cells(task):
    given = outputs(task, 2)
    task.tune(given, TABLE.coords[:2])
    first = given["probabilities"][:, : task.cells.n_cells]
    np.testing.assert_array_equal(task.predict_proba(given), first)
    assert task.classes.cells is task.cells
