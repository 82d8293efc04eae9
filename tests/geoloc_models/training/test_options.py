"""Options are checked once, in words."""

import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.training import TrainingOptions


def test_defaults_are_the_papers():
    options = TrainingOptions()
    assert (options.learning_rate, options.image_size) == (1e-5, 224)
    assert 3 <= options.epochs <= 5


def test_options_survive_plain_values():
    options = TrainingOptions(encoder="tiny", epochs=7, weights="imagenet")
    assert TrainingOptions.from_dict(options.to_dict()) == options


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "resnet"}, "encoder 'resnet'"),
        ({"epochs": 0}, "epochs must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"image_size": 8}, "image_size must be"),
        ({"precision": "8"}, "precision '8'"),
        ({"schedule": "steps"}, "schedule 'steps'"),
        ({"log": "paper"}, "log 'paper'"),
        ({"dropout": 1.0}, "dropout must"),
        ({"encoder": "resnet50", "image_size": 32}, "64 x 64"),
        ({"encoder": "vit_b_16", "image_size": 64}, "224 x 224"),
    ],
)
def test_unsound_options_are_refused(change, words):
    with pytest.raises(GeolocError, match=words):
        TrainingOptions(**change)


def test_unknown_options_of_a_file_are_refused():
    with pytest.raises(GeolocError, match="speed"):
        TrainingOptions.from_dict({"speed": 3})
