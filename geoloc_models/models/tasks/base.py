"""What all tasks share: an encoder, a loss, and what outputs mean as places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.losses import accuracy, cross_entropy
from geoloc_models.models.tasks.classes import ClassLocations

Batch = dict[str, Any]
Outputs = Mapping[str, npt.NDArray[Any]]


class Scored(NamedTuple):
    """What a task makes of a batch: a loss to descend, a share of right answers, rows counted.

    Scalars on the task's device, so that nothing waits for it.
    """

    loss: Tensor
    accuracy: Tensor
    n_rows: Tensor


def score_of_labels(
    logits: Sequence[Tensor], label: Tensor, *, accuracy_of: int, label_smoothing: float = 0.0
) -> Scored:
    """Mean loss of K classifiers, (B, C_k) logits each, and the accuracy of one of them.

    ``label`` is (B, K) int64; a row with a label of -1 does not count.
    """
    label = label.masked_fill((label < 0).any(dim=1, keepdim=True), -1)
    losses = [
        cross_entropy(each, label[:, k], label_smoothing=label_smoothing)
        for k, each in enumerate(logits)
    ]
    of_one = accuracy(logits[accuracy_of], label[:, accuracy_of])
    return Scored(torch.stack(losses).mean(), of_one, (label[:, 0] >= 0).sum())


def head_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """What of a card shapes a task's head: ``hidden`` and ``dropout``."""
    return {name: card[name] for name in ("hidden", "dropout")}


def check_classes(card: Mapping[str, Any], described: int | list[int], folder: Path) -> None:
    """Refuse a card that names other numbers of classes than it, or its cells, describe."""
    if described != card["n_classes"]:
        raise GeolocError(f"{folder} names {card['n_classes']} classes but describes {described}.")


class PlaceTask(nn.Module):
    """A model that says where an image was taken.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings; :class:`~geoloc_models.models.encoders.CachedFeatures` where
        embeddings come from a feature cache.
    **head_shape
        Of its heads, for :mod:`geoloc_models.models.heads`: ``hidden``, the width of their hidden
        layers, and ``dropout``, by default 0, the share of numbers set to zero in training.

    Notes
    -----
    A task of one's own says four things: the loss of a batch (:meth:`score`), what the heads give
    for embeddings (:meth:`outputs`), what that means as places (:meth:`answer`), and what is
    stored to build it again (:meth:`card`, :meth:`write_files`, :meth:`from_card`). Where its
    answers have probabilities, ``classes`` says of what.
    :func:`geoloc_models.training.fit_task` trains it.
    """

    name: ClassVar[str]
    is_trained: ClassVar[bool] = True
    stores_images: ClassVar[bool] = False
    answers_by_class: ClassVar[bool] = False  # with the likeliest one's place: decoders do better
    classes: ClassLocations | None = None  # what probabilities are over, once that is known
    label_smoothing = 0.0  # in training; a trained model is the same without

    def __init__(self, encoder: ImageEncoder, **head_shape: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.head_shape = {"dropout": 0.0, **head_shape}

    @abstractmethod
    def score(self, batch: Batch) -> Scored:
        """Loss of a batch of one image at least; rows of an unknown class (-1) do not count."""

    @abstractmethod
    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """Numbers for images by their (B, D) embeddings: float32, the first axis B."""

    @abstractmethod
    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Places for n images: arrays with n rows, outputs and ``features``; and their own rows."""

    def predict_proba(self, outputs: Outputs) -> npt.NDArray[np.float32] | sparse.csr_array | None:
        """Probabilities, (n, C) over ``classes``, for the outputs of n images; None without classes.

        They are as trained, not calibrated.
        """
        n = len(next(iter(outputs.values())))
        return self.answer(outputs, np.arange(n)).probabilities

    def store(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Store what answers need of the training images, once training has ended.

        Called where ``stores_images``, with the outputs, (n, 2) coordinates in degrees and (n,)
        countries of the n training images that could be read.
        """

    def tune(self, outputs: Outputs, coords: npt.NDArray[np.float64]) -> None:
        """Choose what answers depend on by the validation images' outputs and (n, 2) true places.

        Called before the task is saved, after :meth:`store`.
        """

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """Plain values that :meth:`from_card` builds the task's architecture from."""

    def write_files(self, folder: Path) -> None:
        """Write what is neither weights nor plain values, such as cells."""

    @classmethod
    @abstractmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task, its weights yet to be loaded."""
