"""Options are checked once, in words, and survive as plain values."""

import json

import pytest
from fresh_process import loaded_by

from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import FeatureCard
from geoloc_models.models.options import ModelPlan, TrainingOptions

CARD = FeatureCard("tiny", "0123", {"image_size": 64}, 128, "float32", 1, "", weights="imagenet")


def test_defaults_are_the_papers():
    options = TrainingOptions().resolve()
    assert (options.encoder, options.weights, options.image_size) == ("resnet50", "imagenet", 224)
    assert (options.learning_rate, options.epochs) == (1e-5, 5)
    assert options.resolve() == options


@pytest.mark.parametrize(
    ("options", "weights", "rate"),
    [
        (TrainingOptions(encoder="tiny"), "none", 1e-3),  # there are none to be had
        (TrainingOptions(encoder="resnet50", weights="none"), "none", 1e-3),
        (TrainingOptions(encoder="resnet50", weights="own.pth"), "own.pth", 1e-5),
        (TrainingOptions(encoder="timm:convnext_atto"), "imagenet", 1e-5),
    ],
)
def test_training_starts_from_pretrained_weights_and_at_the_rate_that_they_ask_for(
    options, weights, rate
):
    resolved = options.resolve()
    assert (resolved.weights, resolved.learning_rate) == (weights, rate)


@pytest.mark.parametrize(
    ("given", "n_train", "batch_size", "rate"),
    [
        ({}, 2_200, 128, 5e-4),
        ({}, 16_000, 512, 1e-3),
        ({}, 100_000, 4096, 5e-4 * 32**0.5),
        ({}, 10**7, 4096, 5e-4 * 32**0.5),
        ({"learning_rate": 1e-3}, 16_000, 512, 1e-3),
        ({"batch_size": 64}, 16_000, 64, 5e-4),
    ],
)
def test_many_cached_features_are_taken_in_larger_batches_at_a_higher_rate(
    given, n_train, batch_size, rate
):
    options = TrainingOptions(**given).resolve(CARD, n_train)
    assert options.batch_size == batch_size
    assert options.learning_rate == pytest.approx(rate)
    assert options.resolve(CARD, n_train) == options


def test_a_head_alone_is_trained_at_a_pace_of_its_own():
    assert TrainingOptions(train_encoder="none").resolve().patience == 4
    options = TrainingOptions().resolve(CARD)
    assert (options.encoder, options.weights, options.image_size) == ("tiny", "imagenet", 64)
    assert (options.learning_rate, options.epochs, options.patience) == (5e-4, 30, 4)
    given = TrainingOptions(encoder="resnet50", learning_rate=0.5, epochs=2).resolve(CARD)
    assert (given.encoder, given.learning_rate, given.epochs) == ("resnet50", 0.5, 2)


@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions(encoder="tiny", epochs=7, weights="imagenet"),
        ModelPlan("retrieval", sigmas=(1.0, 4.0), levels=(4, 1)),
    ],
)
def test_options_survive_plain_values(options):
    assert type(options).from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_names_of_earlier_releases_are_read():
    assert TrainingOptions.from_dict({"thaw_every": 3}).unfreeze_every == 3
    assert ModelPlan.from_dict({"task": "cells", "is_balanced": True}) == ModelPlan(
        "cells", balanced=True
    )


def test_unknown_options_of_a_file_are_refused():
    with pytest.raises(GeolocError, match="speed"):
        TrainingOptions.from_dict({"speed": 3})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "resnet"}, "encoder 'resnet'"),
        ({"epochs": 0}, r"epochs must be a whole number in \[1, inf\), not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": "many"}, "epochs must be a whole number"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"learning_rate": 0.0}, r"learning_rate must be a number in \(0, inf\)"),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"learning_rate": float("inf")}, "learning_rate must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"unfreeze_every": 0}, "unfreeze_every must be"),
        ({"image_size": 8}, "image_size must be"),
        ({"precision": "8"}, "precision '8'"),
        ({"schedule": "steps"}, "schedule 'steps'"),
        ({"train_encoder": "half"}, "train_encoder 'half'"),
        ({"log": "paper"}, "log 'paper'"),
        ({"dropout": 1.0}, "dropout must"),
        ({"encoder": "resnet50", "image_size": 32}, "64 x 64"),
        ({"encoder": "vit_b_16", "image_size": 64}, "224 x 224"),
        ({"batch_size": 7, "devices": 2}, "multiple"),
        ({"train_encoder": "gradual", "devices": 2}, "one device only"),
        ({"views": 2}, "views needs augment"),
    ],
)
def test_unsound_training_options_are_refused(change, words):
    with pytest.raises(GeolocError, match=words):
        TrainingOptions(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "poetry"}, "task 'poetry'"),
        ({"method": "sideways"}, "method 'sideways'"),
        ({"rank_by": "taste"}, "rank_by 'taste'"),
        ({"min_images": 0}, "min_images must be"),
        ({"min_cell_size": 0.0}, "min_cell_size must be"),
        ({"method": "bottom_up", "max_images": 9}, "max_images goes"),
        ({"method": "optimal", "rank_by": "count"}, "rank_by count goes"),
        ({"levels": (1, 4)}, "levels must fall"),
        ({"partitions": ("bottom_up",)}, "'bottom_up' is no partition"),
        ({"partitions": ("sideways:20",)}, "'sideways:20' is no partition"),
        ({"partitions": ("bottom_up:0",)}, "'bottom_up:0' is no partition"),
        ({"smoothing_km": 75.0}, "one partition: --task cells"),
        ({"alpha": 2.0}, "alpha must"),
        ({"n_false": -1}, "n_false"),
        ({"false_from": "dreams"}, "choose one of train, queue"),
        ({"mask_km": -1.0}, "mask_km"),
        ({"sigmas": ()}, "sigmas"),
        ({"bandwidth_km": 0.0}, "bandwidth_km"),
    ],
)
def test_unsound_plans_are_refused_before_anything_is_trained(change, words):
    with pytest.raises(GeolocError, match=words):
        ModelPlan(**change)


@pytest.mark.parametrize(("n_train", "least"), [(100, 10), (3000, 30), (10**6, 200)])
def test_min_images_follow_the_number_of_training_images(n_train, least):
    plan = ModelPlan().resolve(n_train)
    assert plan.min_images == least
    assert plan.partitions[:2] == (f"bottom_up:{least}", f"bottom_up:{least // 2}")
    assert [part.min_images for part in plan.parts()][:3] == [least, least // 2, 2 * least]
    given = ModelPlan(min_images=7, partitions=("top_down:5",)).resolve(n_train)
    assert (given.min_images, given.partitions) == (7, ("top_down:5",))


def test_options_are_declared_without_torch():
    code = "import geoloc_models.models.options as o; o.TrainingOptions(); o.ModelPlan()"
    assert loaded_by(code, ["torch"]) == []
