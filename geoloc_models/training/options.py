"""The options of a training run, checked once and kept beside its results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models.encoders import ENCODER_NAMES
from geoloc_models.tasks import SCHEDULES

PRECISIONS = ("auto", "32", "16", "bf16")
LOGS = ("csv", "tensorboard")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the paper's where it names them.

    Parameters
    ----------
    encoder : str
        ``resnet50``, ``vit_b_16`` or ``tiny``.
    weights : str, optional
        None (random), ``"imagenet"`` or a file, as for
        :func:`geoloc_models.encoders.build_encoder`.
    image_size : int
        Side of the square images, in pixels; at least 32, or 64 for ``resnet50``, and 224 for
        ``vit_b_16``.
    batch_size : int
        Images per step.
    learning_rate : float
        Of Adam.
    schedule : {"constant", "cosine"}
        ``constant`` is the paper's. ``cosine`` lowers the learning rate from epoch to epoch,
        towards 0 after the last; it steadies a run that starts from random numbers.
    epochs : int
        Times that each training image is seen.
    hidden : int
        Width of the head's hidden layers.
    dropout : float
        Share of the head's hidden numbers set to zero in training.
    seed : int
        Of the weights, the order of images and the augmentation.
    workers : int
        Processes that load images; 0 loads them in the training process.
    precision : {"auto", "32", "16", "bf16"}
        ``auto``: bf16 or 16 mixed where the device has it, else 32.
    augment : bool
        Vary training images at random.
    log : {"csv", "tensorboard"}
        ``history.csv`` is always written; ``tensorboard`` adds event files.
    """

    encoder: str = "resnet50"
    weights: str | None = None
    image_size: int = 224
    batch_size: int = 32
    learning_rate: float = 1e-5
    schedule: str = "constant"
    epochs: int = 5
    hidden: int = 256
    dropout: float = 0.0
    seed: int = 0
    workers: int = 0
    precision: str = "auto"
    augment: bool = False
    log: str = "csv"

    def __post_init__(self) -> None:
        _check_choice("encoder", self.encoder, ENCODER_NAMES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("log", self.log, LOGS)
        for name, least in {
            "image_size": 32,
            "batch_size": 1,
            "epochs": 1,
            "hidden": 1,
            "seed": 0,
            "workers": 0,
        }.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise GeolocError(
                    f"{name} must be a whole number of at least {least}, not {value}."
                )
        if not 0 < self.learning_rate < float("inf"):
            raise GeolocError(f"learning_rate must be above 0, not {self.learning_rate}.")
        if not 0 <= self.dropout < 1:
            raise GeolocError(f"dropout must lie in [0, 1), not {self.dropout}.")
        if self.encoder == "resnet50" and self.image_size < 64:
            raise GeolocError(
                f"resnet50 takes images of at least 64 x 64 pixels, not {self.image_size}."
            )
        if self.encoder == "vit_b_16" and self.image_size != 224:
            raise GeolocError(
                f"vit_b_16 takes images of 224 x 224 pixels, not {self.image_size}; leave "
                "image_size at 224 or choose another encoder."
            )

    def to_dict(self) -> dict[str, Any]:
        """All options as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> TrainingOptions:
        """Make options again from :meth:`to_dict`."""
        unknown = sorted(options.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise GeolocError(
                f"Unknown training options: {', '.join(unknown)}. Was the run made by another "
                "version?"
            )
        return cls(**options)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise GeolocError(f"Unknown {name} {value!r}; choose one of {', '.join(choices)}.")
