"""What to train and how: every option of a training, declared and checked once; without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.features.cache import FeatureCard
    from geoloc_models.models.encoders import ImageEncoder

CellMethod = Literal["bottom_up", "top_down", "consolidated", "optimal"]
CELL_METHODS: tuple[CellMethod, ...] = get_args(CellMethod)
Precision = Literal["auto", "32", "16", "bf16"]

_EARLIER_NAMES = {  # in files of earlier releases
    "thaw_every": "unfreeze_every",
    "is_balanced": "balanced",
    "is_multi_task": "multi_task",
}


@dataclass(frozen=True)
class _Options:
    """Options that are checked when they are made, and written as JSON."""

    intervals: ClassVar[Mapping[str, str]] = {}  # of the numbers, as in "[0, 1)"

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
            choices = [choice for part in parts for choice in get_args(part)]
            if any(get_origin(part) is Literal for part in parts) and (
                value not in choices and value is not None
            ):
                raise GeolocError(
                    f"Unknown {name} {value!r}; choose one of {', '.join(map(str, choices))}."
                )
            if name in self.intervals and not (value is None and type(None) in parts):
                check_number(name, value, *self.numbers()[name])

    @classmethod
    def numbers(cls) -> dict[str, tuple[str, bool]]:
        """Interval of each number, such as ``[0, 1)``, and whether it is whole."""
        hints = get_type_hints(cls)
        return {
            name: (interval, hints[name] is int or int in get_args(hints[name]))
            for name, interval in cls.intervals.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """All options as plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Self:
        """Make options again from :meth:`to_dict`, of this release or an earlier one."""
        values = {_EARLIER_NAMES.get(name, name): value for name, value in options.items()}
        unknown = sorted(values.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise GeolocError(
                f"Unknown options: {', '.join(unknown)}. Was the run made by another version?"
            )
        return cls(**values)


def check_number(name: str, value: Any, interval: str, is_whole: bool) -> None:
    """Refuse values that are not numbers in an interval such as ``[0, 1)``."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    is_number = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
    if (
        not is_number
        or not low <= value <= high
        or (value == low and interval[0] == "(")
        or (value == high and interval[-1] == ")")
    ):
        kind = "a whole number" if is_whole else "a number"
        raise GeolocError(f"{name} must be {kind} in {interval}, not {value!r}.")


@dataclass(frozen=True)
class TrainingOptions(_Options):
    """How to train; the defaults are the paper's where it names them.

    Parameters
    ----------
    encoder : str, optional
        resnet50, vit_b_16, efficientnet_lite0, tiny or timm:NAME. Default: resnet50, or the encoder
        of the cached features.
    weights : str, optional
        Weights to start from: imagenet, a .pth or .safetensors file, or none (random). Default:
        imagenet, where the encoder has such weights, or those of the cached features.
    image_size : int, optional
        Side of the square images, in pixels. Default: 224, or that of the cached features.
    batch_size : int, optional
        Images per step. Default: 32, on a GPU 128; for a head alone 128 to 4096, by the number of
        photos. A batch that does not fit into memory is split.
    learning_rate : float, optional
        Learning rate of Adam. Default: 1e-5 for pretrained weights (as in the paper), 1e-3 for
        random ones, 5e-4 for a head alone. If --batch-size is open too and the batch larger than 32
        (head: 128), times the square root of the ratio.
    schedule : {"constant", "cosine", "warmup"}
        The learning rate stays constant, as in the paper; follows a cosine towards 0; or rises over
        a twentieth of the steps, then follows a cosine.
    weight_decay : float
        Weight decay of AdamW; 0 is plain Adam.
    layer_decay : float
        Factor of the learning rate from each stage of the encoder to the one below; 1: the same
        rate for all.
    label_smoothing : float
        Classifiers: share of the target to spread evenly over all classes.
    ema : float
        Keep a moving average of the weights, with this decay per step, such as 0.999; 0: none.
    train_encoder : {"all", "none", "gradual", "lora"}
        all: from the start. none: frozen. gradual: first the head, then stage by stage from the last
        one down. lora: low-rank additions to linear layers, merged at the end (package peft).
    unfreeze_every : int
        With gradual: epochs from one stage to the next.
    epochs : int, optional
        Epochs. Default: 5; 30 on cached features.
    patience : int, optional
        Stop after so many epochs without a lower validation loss. Default: 4 for a head alone, else
        never.
    hidden : int, optional
        Width of the head's hidden layers. Default: 256; 512 for a head alone.
    dropout : float, optional
        Dropout in the head. Default: 0; 0.5 for a head alone.
    seed : int
        Seed of the weights, the order of images and the augmentation.
    workers : int, optional
        Processes that load images; 0: the main process. Default: 0, with a GPU one per core up to
        16.
    precision : {"auto", "32", "16", "bf16"}
        auto: mixed bf16 or 16 where the device has it, else 32.
    augment : {"none", "crop", "simclr"}
        Random changes of training images. crop: crops and mirror images. simclr: stronger crops,
        colours and blurs.
    views : int
        Retrieval: augmented copies of each training image, all positives of its location.
    devices : int
        Devices (on a CPU: processes) that share each batch.
    grad_checkpointing : bool
        Compute the encoder's layers twice to save memory, for the largest encoders of timm.
    compile : bool, optional
        Compile the encoder, which takes a minute or more. Default: on a GPU, when the whole encoder
        is trained on 500 000 images or more, counted in every epoch.
    log : {"csv", "tensorboard", "wandb", "mlflow"}
        Tracker to write the run to, besides history.csv.
    """

    encoder: str | None = None
    weights: str | None = None
    image_size: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: Literal["constant", "cosine", "warmup"] = "constant"
    weight_decay: float = 0.0
    layer_decay: float = 1.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    train_encoder: Literal["all", "none", "gradual", "lora"] = "all"
    unfreeze_every: int = 1
    epochs: int | None = None
    patience: int | None = None
    hidden: int | None = None
    dropout: float | None = None
    seed: int = 0
    workers: int | None = None
    precision: Precision = "auto"
    augment: Literal["none", "crop", "simclr"] = "none"
    views: int = 1
    devices: int = 1
    grad_checkpointing: bool = False
    compile: bool | None = None
    log: Literal["csv", "tensorboard", "wandb", "mlflow"] = "csv"

    intervals: ClassVar = {
        "image_size": "[32, 2048]",
        "batch_size": "[1, inf)",
        "learning_rate": "(0, inf)",
        "weight_decay": "[0, inf)",
        "layer_decay": "(0, 1]",
        "label_smoothing": "[0, 1)",
        "ema": "[0, 1)",
        "unfreeze_every": "[1, inf)",
        "epochs": "[1, inf)",
        "patience": "[1, inf)",
        "hidden": "[1, inf)",
        "dropout": "[0, 1)",
        "seed": "[0, inf)",
        "workers": "[0, inf)",
        "views": "[1, inf)",
        "devices": "[1, inf)",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder is not None:
            from geoloc_models.models.encoders import check_encoder  # with torch

            check_encoder(self.encoder, self.image_size)
        if self.images_a_step % self.devices:
            raise GeolocError(
                f"{self.devices} devices share each batch equally, so batch_size must be a multiple "
                f"of {self.devices}, not {self.images_a_step}."
            )
        if self.devices > 1 and self.train_encoder == "gradual":
            raise GeolocError(
                "train_encoder = gradual works on one device only; choose all or none."
            )
        if self.views > 1 and self.augment == "none":
            raise GeolocError(
                "views needs augment, such as crop: else all views of an image are equal."
            )

    def resolve(
        self, features: FeatureCard | None = None, n_train: int | None = None
    ) -> TrainingOptions:
        """Options with nothing left open: what is None gets its default.

        What the machine decides alone, ``workers`` and ``compile``, stays None.

        Parameters
        ----------
        features : FeatureCard, optional
            Of the cached features that are trained on: their encoder is the default then, and a
            head alone is trained for more epochs, faster, and until it overfits.
        n_train : int, optional
            Training images: of many cached features, more are taken a step.
        """
        from geoloc_models.best_device import best_device  # with torch
        from geoloc_models.models.encoders import has_imagenet_weights

        encoder = self.encoder or ("resnet50" if features is None else features.encoder)
        weights = self.weights or (None if features is None else features.weights)
        if weights is None:
            is_pretrained = features is None and has_imagenet_weights(encoder)
            weights = "imagenet" if is_pretrained else "none"
        is_head_alone = features is not None or self.train_encoder == "none"
        image_size = 224 if features is None else int(features.preprocessing["image_size"])
        learning_rate = 1e-3 if weights == "none" else 1e-5
        hidden, dropout, usual_batch, patience = 256, 0.0, 32, self.patience
        if is_head_alone:
            learning_rate, hidden, dropout, usual_batch = 5e-4, 512, 0.5, 128
            patience = patience or 4
        batch_size = usual_batch
        if features is not None and n_train is not None:
            batch_size = min(max(2 ** round(math.log2(n_train / 32)), 128), 4096)
        elif not is_head_alone and best_device().type == "cuda":
            batch_size = 128
        if self.batch_size is None:
            learning_rate *= math.sqrt(batch_size / usual_batch)
        return replace(
            self,
            encoder=encoder,
            weights=weights,
            image_size=self.image_size or image_size,
            epochs=self.epochs or (5 if features is None else 30),
            learning_rate=self.learning_rate or learning_rate,
            batch_size=self.batch_size or batch_size,
            patience=patience,
            hidden=self.hidden or hidden,
            dropout=dropout if self.dropout is None else self.dropout,
        )

    @property
    def images_a_step(self) -> int:
        """``batch_size``, where it is left open that of whole images."""
        return self.batch_size or 32

    def build_encoder(self) -> ImageEncoder:
        """Build the encoder that the training starts from."""
        from geoloc_models.models.encoders import build_encoder

        chosen = self.resolve()
        return build_encoder(
            chosen.encoder or "", weights=chosen.weights, image_size=chosen.image_size
        )


@dataclass(frozen=True)
class ModelPlan(_Options):
    """What to train.

    Parameters
    ----------
    task : {"pooled", "country", "offset", "cells", "hierarchy", "retrieval", "nearest", "refined"}
        pooled: cells of several partitions and likeness to training photos, as one distribution.
        country: the baseline. offset: country and place in its box. cells: one partition.
        hierarchy: cells at several levels. retrieval: contrastive gallery. nearest: nearest
        training images, nothing trained. refined: cells, then prototypes inside the likeliest.
    partitions : tuple of str
        Pooled: method and min_images of each partition, such as bottom_up:20. The first one gives
        the likeliest cell. Default: four of --method, two top-down and one consolidated, with half
        to four times --min-images.
    method : {"bottom_up", "top_down", "consolidated", "optimal"}
        Cells: the construction.
    min_images : int, optional
        Cells: training images per cell. Default: a hundredth of them, from 10 to 200.
    min_cell_size : float
        Cells: shortest side, in degrees.
    max_images : int, optional
        Cells, with top_down: split while a cell holds more images than this. Default: split by
        min_images.
    grid : {"latlon", "s2", "healpix"}
        Cells: the quadtree.
    location : {"mean", "medoid", "mode"}
        Cells: the point of a cell: mean of its training images, the one nearest to the others, or
        where most of them are.
    rank_by : {"features", "learned", "coordinates", "count"}, optional
        Cells, with bottom_up: first comes the hot spot with the lowest WCSS of the image features or
        of the coordinates, or the most images. learned: train twice, as in the paper: on top-down
        cells, then on cells by the features of the fine-tuned encoder. Default: features, if they are
        cached.
    overlap : int
        Cells, with bottom_up: heat-map windows per cell side.
    levels : tuple of int
        Hierarchy: min_images of each level as multiples, coarse to fine; the last is 1.
    smoothing_km : float, optional
        Cells: spread the target over cells within about this distance (PIGEON: 65 to 75 km).
        Default: only the true cell.
    balanced : bool
        Country and cells: weigh all classes alike in the loss.
    alpha : float
        Offset: weight of the country in the loss.
    multi_task : bool
        Offset: also learn the country. Otherwise the offset is in the box of all images.
    location_encoder : {"rff", "mlp"}
        Retrieval: random Fourier features or a perceptron.
    location_hidden : int
        Retrieval: width of the location encoder's hidden layers.
    projection : {"equal_earth", "raw"}
        Retrieval: projection of the coordinates.
    sigmas : tuple of float
        Retrieval, with rff: standard deviations of the frequencies.
    n_false : int
        Retrieval: false locations per batch (M); 0: train without contrast.
    false_from : {"train", "queue"}
        Retrieval: false locations from the training images, or from earlier batches.
    mask_km : float
        Retrieval: locations nearer than this are not used as false ones.
    n_neighbours : int
        Nearest: training images that vote.
    bandwidth_km : float
        Nearest: width of the kernel over their coordinates.
    label : str, optional
        Name in results. Default: by the task.
    """

    task: Literal[
        "pooled", "country", "offset", "cells", "hierarchy", "retrieval", "nearest", "refined"
    ] = "pooled"
    method: CellMethod = "bottom_up"
    min_images: int | None = None
    partitions: tuple[str, ...] = ()
    min_cell_size: float = 0.01
    max_images: int | None = None
    grid: Literal["latlon", "s2", "healpix"] = "latlon"
    location: Literal["mean", "medoid", "mode"] = "mean"
    rank_by: Literal["features", "learned", "coordinates", "count"] | None = None
    overlap: int = 2
    levels: tuple[int, ...] = (16, 4, 1)
    smoothing_km: float | None = None
    balanced: bool = False
    alpha: float = 0.5
    multi_task: bool = True
    location_encoder: Literal["rff", "mlp"] = "rff"
    location_hidden: int = 1024
    projection: Literal["equal_earth", "raw"] = "equal_earth"
    sigmas: tuple[float, ...] = (2.0**0, 2.0**8, 2.0**16)
    n_false: int = 1024
    false_from: Literal["train", "queue"] = "train"
    mask_km: float = 0.0
    n_neighbours: int = 10
    bandwidth_km: float = 100.0
    label: str | None = None

    intervals: ClassVar = {
        "min_images": "[1, inf)",
        "min_cell_size": "(0, inf)",
        "max_images": "[1, inf)",
        "overlap": "[1, inf)",
        "smoothing_km": "(0, inf)",
        "alpha": "[0, 1]",
        "location_hidden": "[1, inf)",
        "n_false": "[0, inf)",
        "mask_km": "[0, 20000]",
        "n_neighbours": "[1, inf)",
        "bandwidth_km": "(0, inf)",
    }

    def __post_init__(self) -> None:
        for name in ("levels", "sigmas", "partitions"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()
        falling = sorted(set(self.levels), reverse=True)
        if not self.levels or self.levels[-1] != 1 or list(self.levels) != falling:
            raise GeolocError(
                f"levels must fall from the coarsest to 1, such as 16, 4, 1; got {self.levels}."
            )
        if not self.sigmas or not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise GeolocError(f"sigmas must be numbers above 0; got {self.sigmas}.")
        if self.max_images is not None and self.method != "top_down":
            raise GeolocError("max_images goes with the method top_down.")
        if self.rank_by == "count" and self.method == "optimal":
            raise GeolocError("rank_by count goes with the method bottom_up.")
        for text in self.partitions:
            method, _, number = text.partition(":")
            if method not in CELL_METHODS or not number.isdecimal() or int(number) < 1:
                raise GeolocError(
                    f"{text!r} is no partition; write a method ({', '.join(CELL_METHODS)}) and "
                    "min_images, as in bottom_up:20."
                )
        if self.task == "pooled" and (self.smoothing_km is not None or self.balanced):
            raise GeolocError("smoothing_km and balanced go with one partition: --task cells.")

    def resolve(self, n_train: int) -> ModelPlan:
        """The plan for so many training images: ``min_images`` and ``partitions`` get defaults."""
        n = self.min_images or auto_min_images(n_train)
        if self.task != "pooled":
            return replace(self, min_images=n)
        methods = (self.method,) * 4 + ("top_down", "top_down", "consolidated")
        factors = (1, 0.5, 2, 4, 0.5, 1, 0.5)
        spread = tuple(
            f"{method}:{max(1, round(factor * n))}"
            for method, factor in zip(methods, factors, strict=True)
        )
        return replace(self, min_images=n, partitions=self.partitions or spread)

    def parts(self) -> list[ModelPlan]:
        """One plan for each of the partitions of a pooled model."""
        plans = []
        for text in self.partitions:
            method, number = text.split(":")
            of_one: Any = {"method": method, "min_images": int(number), "max_images": None}
            plans.append(replace(self, **of_one))
        return plans

    @property
    def has_cells(self) -> bool:
        """Whether the model has cells to show: of one level, or of its first partition."""
        return self.task in ("cells", "refined", "pooled")

    @property
    def name(self) -> str:
        """The model's name in results."""
        if self.label is not None:
            return self.label
        if self.task == "cells":
            return f"cells_{self.method}"
        if self.task == "retrieval":
            return f"retrieval_{self.location_encoder}"
        return self.task if self.multi_task else f"{self.task}_single"


def auto_min_images(n_train: int) -> int:
    """Images that a cell needs by default: a hundredth of all, 10 at least and 200 at most."""
    return min(max(n_train // 100, 10), 200)
