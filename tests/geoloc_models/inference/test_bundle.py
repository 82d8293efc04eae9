"""Bundles: equal answers after a round trip; anything else is refused in words."""

import json

import numpy as np
import pytest
import torch
from command_line import full_disk
from geoloc_models_small import small_table, small_task
from safetensors.torch import load_file, save_file

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import summarise_training
from geoloc_models.inference.bundle import Bundle, load_bundle, save_bundle
from geoloc_models.inference.model import load_model
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import CachedFeatures
from geoloc_models.models.tasks import TASKS

TABLE = small_table()


def saved(kind, path):
    task = small_task(kind, TABLE).eval()
    if task.stores_images:
        features = np.random.default_rng(0).normal(size=(TABLE.n_rows, task.encoder.dim))
        task.store({"features": features}, TABLE.coords, TABLE.countries)
    options = TrainingOptions(encoder="tiny", image_size=32, hidden=32)
    bundle = Bundle(
        task,
        options.to_dict(),
        summarise_training(TABLE.coords, TABLE.countries),
        {"epochs": 1},
    )
    save_bundle(bundle, path)
    return bundle


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_save_and_load_give_equal_predictions(kind, tmp_path):
    bundle = saved(kind, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    images = torch.randn(4, 3, 16, 16)
    answers = []
    for task in (bundle.task, loaded.task):
        with torch.inference_mode():
            outputs = {name: values.numpy() for name, values in task.outputs(images).items()}
        answers.append(task.answer(outputs, np.arange(4)))
    left, right = answers
    np.testing.assert_array_equal(left.coords, right.coords)
    assert left.countries.tolist() == right.countries.tolist()
    if left.probabilities is not None:
        np.testing.assert_array_equal(left.probabilities, right.probabilities)
    assert (loaded.options, loaded.summary) == (bundle.options, bundle.summary)
    assert loaded.record == {"epochs": 1}


def test_saving_again_replaces_the_bundle_and_leaves_nothing_else(tmp_path):
    saved("cells", tmp_path / "bundle")
    saved("country", tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "any").touch()
    assert {path.stat().st_mode for path in (tmp_path / "bundle").iterdir()} == {
        (tmp_path / "any").stat().st_mode
    }


def test_a_full_disk_leaves_the_bundle_as_it_was(tmp_path):
    saved("country", tmp_path / "bundle")
    with full_disk(), pytest.raises(OSError, match=r"too large.*bundle'$"):
        saved("cells", tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").task.name == "country"
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
        ({"task_options": {"hidden": 32}}, "lacks or garbles 'classes'"),
        ({"encoder": "poet"}, "poet"),
        ({"preprocessing": {}}, "preprocessing"),
        ({"training_options": {}, "training_summary": {}}, "lacks or garbles 'centre'"),
    ],
)
def test_a_garbled_card_is_refused(changes, words, tmp_path):
    saved("country", tmp_path / "bundle")
    edit_card(tmp_path / "bundle", **changes)
    with pytest.raises(GeolocError, match=words):
        load_bundle(tmp_path / "bundle")


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
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "2e308"]
)
def test_numbers_that_no_computer_holds_are_refused_in_every_file(number, tmp_path):
    saved("cells", tmp_path / "bundle")
    path = tmp_path / "bundle" / "card.json"
    text = path.read_text()
    path.write_text(text.replace('"epochs": 1', f'"epochs": {number}'))
    with pytest.raises(
        GeolocError, match=r"card\.json cannot be read as JSON: it holds the number"
    ):
        load_bundle(tmp_path / "bundle")


def test_an_image_size_that_asks_for_gigabytes_is_refused(tmp_path):
    saved("cells", tmp_path / "bundle")
    edit_card(tmp_path / "bundle", preprocessing={"image_size": 20_000})
    words = r"image_size in .*card\.json must be a whole number in \[1, 2048\], not 20000"
    with pytest.raises(GeolocError, match=words):
        load_bundle(tmp_path / "bundle")


def test_a_card_of_another_number_of_classes_is_refused(tmp_path):
    saved("cells", tmp_path / "bundle")
    card = json.loads((tmp_path / "bundle" / "card.json").read_text())
    edit_card(tmp_path / "bundle", task_options=card["task_options"] | {"n_classes": 1})
    with pytest.raises(GeolocError, match="names 1 classes"):
        load_bundle(tmp_path / "bundle")


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


def test_a_model_of_cached_features_is_not_saved(tmp_path):
    task = small_task("country", TABLE, encoder=CachedFeatures(8, "tiny"))
    summary = summarise_training(TABLE.coords, TABLE.countries)
    with pytest.raises(GeolocError, match="places no photos"):
        save_bundle(Bundle(task, {}, summary), tmp_path / "bundle")


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


def test_weights_that_are_not_finite_are_refused(tmp_path):
    saved("cells", tmp_path / "bundle")
    path = tmp_path / "bundle" / "model.safetensors"
    state = load_file(path)
    name = next(name for name, numbers in state.items() if numbers.is_floating_point())
    state[name].view(-1)[0] = torch.nan
    save_file(state, path)
    with pytest.raises(GeolocError, match="not finite"):
        load_bundle(tmp_path / "bundle")


def test_a_card_nested_without_end_is_refused(tmp_path):
    saved("cells", tmp_path / "bundle")
    (tmp_path / "bundle" / "card.json").write_text('{"format":' + "[" * 100_000)
    with pytest.raises(GeolocError, match="cannot be read as JSON"):
        load_bundle(tmp_path / "bundle")


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
