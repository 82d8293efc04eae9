"""Bundles: equal answers after a round trip; anything else is refused in words."""

import json

import numpy as np
import pytest
import torch
from geoloc_models_small import small_table, small_task
from safetensors.torch import load_file, save_file

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import summarise_training
from geoloc_models.training import Bundle, TrainingOptions, load_bundle, save_bundle

TABLE = small_table()


def saved(kind, path):
    task = small_task(kind, TABLE).eval()
    options = TrainingOptions(encoder="tiny", image_size=32, hidden=32)
    bundle = Bundle(task, options, summarise_training(TABLE.coords, TABLE.countries), {"epochs": 1})
    save_bundle(bundle, path)
    return bundle


@pytest.mark.parametrize("kind", ["country", "cells"])
def test_save_and_load_give_equal_output(kind, tmp_path):
    bundle = saved(kind, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(bundle.task(images), loaded.task(images))
    np.testing.assert_array_equal(bundle.task.answers.coords, loaded.task.answers.coords)
    assert bundle.task.answers.countries.tolist() == loaded.task.answers.countries.tolist()
    assert (loaded.options, loaded.summary) == (bundle.options, bundle.summary)
    assert loaded.record == {"epochs": 1}


def test_saving_again_replaces_the_bundle_and_leaves_nothing_else(tmp_path):
    saved("cells", tmp_path / "bundle")
    saved("country", tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not (tmp_path / "bundle" / "cells.parquet").exists()


@pytest.mark.parametrize("name", ["card.json", "model.safetensors", "cells.parquet"])
def test_a_missing_file_is_named(name, tmp_path):
    saved("cells", tmp_path / "bundle")
    (tmp_path / "bundle" / name).unlink()
    with pytest.raises(GeolocError, match=name):
        load_bundle(tmp_path / "bundle")


def edit_card(path, **changes):
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps(card | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "other"}, "not the card"),
        ({"task": "poetry"}, "unknown task 'poetry'"),
        ({"n_classes": 1}, "1 classes"),
        ({"training_options": {}, "training_summary": {}}, "lacks or garbles 'centre'"),
    ],
)
def test_a_garbled_card_is_refused(changes, words, tmp_path):
    saved("country", tmp_path / "bundle")
    edit_card(tmp_path / "bundle", **changes)
    with pytest.raises(GeolocError, match=words):
        load_bundle(tmp_path / "bundle")


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    saved("country", tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.safetensors"
    state = load_file(path)
    state["head.layers.0.bias"] = torch.zeros(5)
    save_file(state, path)
    with pytest.raises(GeolocError, match=r"head\.layers\.0\.bias"):
        load_bundle(tmp_path / "bundle")


def test_garbage_weights_are_refused(tmp_path):
    saved("country", tmp_path / "bundle")
    (tmp_path / "bundle" / "model.safetensors").write_bytes(b"\x80\x04garbage")
    with pytest.raises(GeolocError, match="cannot be read as safetensors"):
        load_bundle(tmp_path / "bundle")
