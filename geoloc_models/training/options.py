"""The options of a training run, checked once and kept beside its results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models.models.encoders import check_image_size, is_encoder_name
from geoloc_models.models.tasks import Optimisation

PRECISIONS = ("auto", "32", "16", "bf16")
LOGS = ("csv", "tensorboard")
AUGMENTATIONS = ("none", "crop", "simclr")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the paper's where it names them.

    Parameters
    ----------
    encoder : str
        ``resnet50``, ``vit_b_16``, ``efficientnet_lite0``, ``tiny`` or ``timm:NAME``.
    weights : str, optional
        None (random), ``"imagenet"`` or a file, as for
        :func:`geoloc_models.models.encoders.build_encoder`.
    image_size : int
        Side of the square images, in pixels; at least 32, or what the encoder needs.
    batch_size : int
        Images per step.
    learning_rate : float
        Of Adam.
    schedule : {"constant", "cosine"}
        ``constant`` is the paper's. ``cosine`` lowers the learning rate from epoch to epoch,
        towards 0 after the last; it steadies a run that starts from random numbers.
    weight_decay : float
        Decoupled; 0 is plain Adam.
    train_encoder : {"all", "none", "gradual"}
        Whether the image encoder learns: from the start; never (frozen); or stage by stage from the
        last one down, after some epochs with the head alone.
    thaw_every : int
        With ``"gradual"``: epochs between one stage and the next.
    epochs : int
        Times that each training image is seen.
    patience : int, optional
        Stop after so many epochs without a lower validation loss; by default all epochs are run.
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
    augment : {"none", "crop", "simclr"}
        Vary training images at random: crops and mirror images, or SimCLR's stronger crops, colours
        and blurs.
    views : int
        Retrieval: varied copies of each training image, all positives of its location.
    devices : int
        Devices, or on a CPU processes, that share every batch.
    compile : bool
        Compile the encoder; the first steps then take a minute or more.
    log : {"csv", "tensorboard"}
        ``history.csv`` is always written; ``tensorboard`` adds event files.
    """

    encoder: str = "resnet50"
    weights: str | None = None
    image_size: int = 224
    batch_size: int = 32
    learning_rate: float = 1e-5
    schedule: str = "constant"
    weight_decay: float = 0.0
    train_encoder: str = "all"
    thaw_every: int = 1
    epochs: int = 5
    patience: int | None = None
    hidden: int = 256
    dropout: float = 0.0
    seed: int = 0
    workers: int = 0
    precision: str = "auto"
    augment: str = "none"
    views: int = 1
    devices: int = 1
    compile: bool = False
    log: str = "csv"

    def __post_init__(self) -> None:
        if not is_encoder_name(self.encoder):
            check_image_size(self.encoder, 224)  # knows the names, and says so
        for name, choices in (
            ("precision", PRECISIONS),
            ("log", LOGS),
            ("augment", AUGMENTATIONS),
        ):
            if getattr(self, name) not in choices:
                raise GeolocError(
                    f"Unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}."
                )
        for name, least in {
            "image_size": 32,
            "batch_size": 1,
            "epochs": 1,
            "hidden": 1,
            "seed": 0,
            "workers": 0,
            "views": 1,
            "devices": 1,
            "patience": 1,
        }.items():
            value = getattr(self, name)
            if name == "patience" and value is None:
                continue
            if not isinstance(value, int) or value < least:
                raise GeolocError(
                    f"{name} must be a whole number of at least {least}, not {value}."
                )
        if not 0 <= self.dropout < 1:
            raise GeolocError(f"dropout must lie in [0, 1), not {self.dropout}.")
        _ = self.optimisation  # checks its share
        check_image_size(self.encoder, self.image_size)
        if self.batch_size % self.devices:
            raise GeolocError(
                f"{self.devices} devices share each batch alike, so batch_size must be a multiple "
                f"of {self.devices}, not {self.batch_size}."
            )
        if self.devices > 1 and self.train_encoder == "gradual":
            raise GeolocError("Gradual thawing works on one device only; choose all or none.")
        if self.views > 1 and self.augment == "none":
            raise GeolocError("Several views of an image are alike without augment; choose crop.")

    @property
    def optimisation(self) -> Optimisation:
        """What the optimiser is told."""
        return Optimisation(
            self.learning_rate,
            self.schedule,
            self.weight_decay,
            self.train_encoder,
            self.thaw_every,
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
