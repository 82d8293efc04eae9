"""An encoder made ready to be fine-tuned: low-rank additions, less memory; and groups of parameters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from geoloc_models.errors import GeolocError
from geoloc_models.models.encoders import CachedFeatures, ImageEncoder
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask

_LORA_RANK = 16
_IMAGES_THAT_PAY = (
    500_000  # compiling takes a minute, and saves 0.06 to 0.14 ms an image on an H200
)


@contextmanager
def prepared(
    encoder: ImageEncoder, options: TrainingOptions, n_train: int
) -> Iterator[TrainingOptions]:
    """Make an encoder ready to be trained, and afterwards a plain one again.

    Parameters
    ----------
    encoder : ImageEncoder
        Changed in place.
    options : TrainingOptions
        How to train.
    n_train : int
        Training images.

    Yields
    ------
    TrainingOptions
        With ``compile`` decided.

    Raises
    ------
    GeolocError
        If the encoder has no layer that the options speak of, or peft is not installed.
    """
    plain: Any = encoder.backbone
    if options.grad_checkpointing:
        if not hasattr(plain, "set_grad_checkpointing"):
            raise GeolocError(
                f"The encoder {encoder.name} has no gradient checkpointing; use an encoder of timm."
            )
        plain.set_grad_checkpointing(True)
    if options.train_encoder == "lora":
        encoder.backbone = _with_low_rank_additions(encoder)
    if torch.cuda.is_available():
        encoder.to(memory_format=torch.channels_last)
    is_compiled = options.compile
    if is_compiled is None:
        is_compiled = (
            torch.cuda.is_available()
            and options.train_encoder == "all"
            and not isinstance(encoder, CachedFeatures)
            and n_train * (options.epochs or 1) >= _IMAGES_THAT_PAY
            and shutil.which("cc") is not None  # which torch's compiler calls
        )
    yield replace(options, compile=is_compiled)
    if options.train_encoder == "lora":
        adapted: Any = encoder.backbone
        encoder.backbone = adapted.merge_and_unload()
    if options.grad_checkpointing:
        plain.set_grad_checkpointing(False)


def _with_low_rank_additions(encoder: ImageEncoder) -> nn.Module:
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError:
        raise GeolocError(
            "train_encoder lora needs the package peft: pip install '.[lora]' in the source folder."
        ) from None
    # Not subclasses: attention reads the weight of its own kind of layer, and never calls it.
    layers = [name for name, layer in encoder.backbone.named_modules() if type(layer) is nn.Linear]
    if not layers:
        raise GeolocError(f"The encoder {encoder.name} has no linear layers for lora; choose all.")
    how = LoraConfig(r=_LORA_RANK, lora_alpha=_LORA_RANK, target_modules=layers)
    adapted: nn.Module = get_peft_model(encoder.backbone, how)
    return adapted


def parameter_groups(task: PlaceTask, options: TrainingOptions) -> list[dict[str, Any]]:
    """Parameters of a task with their learning rates, as torch's optimisers take them.

    The rate of the encoder's stage k of K, counted from 1, is ``layer_decay^(K - k + 1)`` of the
    others'.
    """
    rate = options.learning_rate or 0.0
    stages = [] if options.layer_decay == 1.0 else task.encoder.stages()
    groups: list[dict[str, Any]] = [
        {"params": list(stage.parameters()), "lr": rate * options.layer_decay**depth}
        for depth, stage in enumerate(reversed(stages), 1)
    ]
    of_stages = {id(values) for group in groups for values in group["params"]}
    rest = [values for values in task.parameters() if id(values) not in of_stages]
    return [{"params": rest, "lr": rate}, *groups]
