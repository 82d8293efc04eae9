"""What all tasks share: an encoder, a loss, and what outputs mean as places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder

Batch = dict[str, Any]
Outputs = Mapping[str, npt.NDArray[Any]]


class Scored(NamedTuple):
    """What a task makes of a batch: a loss to descend, a share of right answers, rows counted."""

    loss: Tensor
    accuracy: Tensor
    n_rows: int


class PlaceTask(nn.Module):
    """A model that says where an image was taken.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings; :class:`~geoloc_models.models.encoders.CachedFeatures` where
        embeddings come from a feature cache.

    Notes
    -----
    A task of one's own says four things: the loss of a batch (:meth:`score`), what the network
    gives for images (:meth:`outputs`), what that means as places (:meth:`answer`), and what is
    stored to build it again (:meth:`card`, :meth:`write_files`, :meth:`from_card`).
    :func:`geoloc_models.training.fit_task` trains it.
    """

    name: ClassVar[str]
    is_trained: ClassVar[bool] = True
    stores_images: ClassVar[bool] = False

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def score(self, batch: Batch) -> Scored | None:
        """Loss of a batch; None where it has no row to learn from."""

    @abstractmethod
    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Numbers for images, (B, 3, H, W) or (B, D) features: float32, the first axis B."""

    @abstractmethod
    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Places for the outputs of n images: arrays with n rows, and the images' own rows."""

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
