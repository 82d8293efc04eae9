"""Bundles: equal answers after a round trip; anything else is refused in words."""

import json

import numpy as np
import pytest
import torch
from command_line import full_disk
from geoloc_models_bundles import small_bundle
from geoloc_models_small import outputs_of, small_table, small_task
from safetensors.torch import load_file, save_file

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import summarise_training
from geoloc_models.inference.bundle import Bundle, load_bundle, save_bundle
from geoloc_models.inference.model import load_model
from geoloc_models.models.encoders import CachedFeatures
from geoloc_models.models.tasks import TASKS

TABLE = small_table()


def saved(kind, path):
    bundle = small_bundle(kind, TABLE)
    save_bundle(bundle, path)
    return bundle


def edit_card(path, **changes):
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps(card | changes))


def edit_text(path, old, new):
    text = (path / "card.json").read_text()
    assert old in text
    (path / "card.json").write_text(text.replace(old, new))


def edit_weights(path, change):
    state = load_file(path / "model.safetensors")
    change(state)
    save_file(state, path / "model.safetensors")


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_save_and_load_give_equal_predictions(kind, tmp_path):
    bundle = saved(kind, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    images = torch.randn(4, 3, 16, 16)
    answers = []
    for task in (bundle.task, loaded.task):
        answers.append(task.answer(outputs_of(task, images), np.arange(4)))
    left, right = answers
    np.testing.assert_array_equal(left.coords, right.coords)
    assert left.countries.tolist() == right.countries.tolist()
    if left.probabilities is not None:
        np.testing.assert_array_equal(left.probabilities, right.probabilities)
    assert (loaded.options, loaded.summary) == (bundle.options, bundle.summary)
    assert loaded.record == {"epochs": 1}


def test_a_full_disk_leaves_the_bundle_as_it_was(tmp_path):
    saved("country", tmp_path / "bundle")
    with full_disk(), pytest.raises(OSError, match=r"too large.*bundle'$"):
        saved("cells", tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").task.name == "country"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert not (tmp_path / "bundle" / "cells.parquet").exists()


def one_is_nan(state):
    next(values for values in state.values() if values.is_floating_point()).view(-1)[0] = torch.nan


DAMAGES = {
    "no card": (lambda path: (path / "card.json").unlink(), "card.json"),
    "no weights": (lambda path: (path / "model.safetensors").unlink(), "model.safetensors"),
    "no cells": (lambda path: (path / "cells.parquet").unlink(), "cells.parquet"),
    "task": (lambda path: edit_card(path, task="poetry"), "unknown task 'poetry'"),
    "options": (
        lambda path: edit_card(path, task_options={"hidden": 32}),
        "is incomplete or damaged: 'n_c",
    ),
    "encoder": (lambda path: edit_card(path, encoder="poet"), "poet"),
    "preprocessing": (lambda path: edit_card(path, preprocessing={}), "preprocessing"),
    "summary": (
        lambda path: edit_card(path, training_options={}, training_summary={}),
        "is incomplete or damaged: 'centre'",
    ),
    "gigabytes": (
        lambda path: edit_card(path, preprocessing={"image_size": 20_000}),
        r"image_size in .*card\.json must be a whole number in \[1, 2048\], not 20000",
    ),
    "nested": (
        lambda path: (path / "card.json").write_text('{"format":' + "[" * 100_000),
        "cannot be read as JSON",
    ),
    "another shape": (
        lambda path: edit_weights(path, lambda s: s.update({"head.layers.0.bias": torch.ones(5)})),
        r"head\.layers\.0\.bias",
    ),
    "not finite": (lambda path: edit_weights(path, one_is_nan), "not finite"),
    "no tensors": (
        lambda path: (path / "model.safetensors").write_bytes(b"\x80\x04garbage"),
        "is damaged",
    ),
    **{
        number: (
            lambda path, number=number: edit_text(path, '"epochs": 1', f'"epochs": {number}'),
            r"card\.json cannot be read as JSON: it holds the number",
        )
        for number in ("NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "2e308")
    },
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda name: name[:20])
def test_a_damaged_bundle_is_refused(damage, tmp_path):
    saved("cells", tmp_path / "bundle")
    harm, words = DAMAGES[damage]
    harm(tmp_path / "bundle")
    with pytest.raises(GeolocError, match=words):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("kind", ["cells", "country", "hierarchy", "offset", "pooled", "refined"])
def test_a_card_that_names_other_classes_than_it_describes_is_refused(kind, tmp_path):
    saved(kind, tmp_path)
    options = json.loads((tmp_path / "card.json").read_text())["task_options"]
    n = options["n_classes"]
    edit_card(
        tmp_path,
        task_options={**options, "n_classes": n + 1 if isinstance(n, int) else [7, *n[1:]]},
    )
    with pytest.raises(GeolocError, match="classes but describes"):
        load_bundle(tmp_path)


WRONG = ["-1e308", "1e308", "1e30", '"x"', "[1]", "{}", "null"]


def changed_cards(card, part):
    """Texts of the card with each value in a part of it, its lists' first two only, replaced by each wrong one."""

    def places(value, place):
        yield place
        for key in (
            value if isinstance(value, dict) else range(2) if isinstance(value, list) else ()
        ):
            yield from places(value[key], (*place, key))

    for *parents, last in places(card[part], (part,)):
        changed = json.loads(json.dumps(card))
        holder = changed
        for key in parents:
            holder = holder[key]
        holder[last] = "HERE"
        for wrong in WRONG:
            yield json.dumps(changed).replace('"HERE"', wrong)


@pytest.mark.parametrize(
    ("kind", "part"),
    [(kind, "task_options") for kind in sorted(TASKS)]
    + [("cells", "preprocessing"), ("cells", "training_summary")],
)
def test_a_card_with_any_value_changed_is_refused_or_answers(kind, part, tmp_path):
    saved(kind, tmp_path / "bundle")
    path = tmp_path / "bundle" / "card.json"
    photo = np.zeros((40, 30, 3), dtype=np.uint8)
    n_refused = 0
    for text in changed_cards(json.loads(path.read_text()), part):
        path.write_text(text)
        try:
            model = load_model(tmp_path / "bundle")
        except GeolocError:
            n_refused += 1
        else:
            assert np.isfinite(model.predict([photo]).coords).all()
    assert n_refused > 10


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("retrieval", "gallery.parquet"),
        ("retrieval", "gallery.safetensors"),
        ("nearest", "images.safetensors"),
        ("refined", "prototypes.parquet"),
        ("hierarchy", "hierarchy.parquet"),
    ],
)
def test_what_else_a_task_keeps_must_be_whole(kind, name, tmp_path):
    saved(kind, tmp_path / "bundle")
    path = tmp_path / "bundle" / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(GeolocError, match=r"damaged|cannot be read"):
        load_bundle(tmp_path / "bundle")
    path.unlink()
    with pytest.raises(GeolocError, match=name):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("retrieval", "gallery"),
        ("nearest", "images"),
        ("refined", "prototypes"),
        ("pooled", "photos"),
    ],
)
def test_stored_vectors_are_those_of_the_model(kind, name, tmp_path):
    saved(kind, tmp_path / "bundle")
    path = tmp_path / "bundle" / f"{name}.safetensors"
    save_file({"vectors": load_file(path)["vectors"][:, 1:].clone()}, path)
    with pytest.raises(GeolocError, match="files of two bundles mixed"):
        load_bundle(tmp_path / "bundle")


def test_a_model_of_cached_features_is_not_saved(tmp_path):
    task = small_task("country", TABLE, encoder=CachedFeatures(8, "tiny"))
    summary = summarise_training(TABLE.coords, TABLE.countries)
    with pytest.raises(GeolocError, match="cannot place photos"):
        save_bundle(Bundle(task, {}, summary), tmp_path / "bundle")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("hierarchy", {"hidden": 2**60}),
        ("cells", {"hidden": 32_000}),  # squared, it asks for 4 GB
        ("retrieval", {"location_encoder": {"hidden": 32_000}}),
        ("retrieval", {"location_encoder": {"dim": 2**40}}),
        ("retrieval", {"location_encoder": {"n_frequencies": 2**40}}),
    ],
)
def test_layers_larger_than_the_weights_are_refused_before_memory_is_taken(kind, change, tmp_path):
    saved(kind, tmp_path / "bundle")
    card = json.loads((tmp_path / "bundle" / "card.json").read_text())
    options = card["task_options"]
    for name, value in change.items():
        options[name] = {**options[name], **value} if isinstance(value, dict) else value
    (tmp_path / "bundle" / "card.json").write_text(json.dumps(card))
    with pytest.raises(GeolocError, match="more than its weights hold"):
        load_bundle(tmp_path / "bundle")
