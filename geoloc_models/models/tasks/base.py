"""What all tasks share: an encoder, an optimiser, a schedule, and frozen or thawing stages."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder

Batch = dict[str, Any]
Outputs = Mapping[str, npt.NDArray[Any]]

SCHEDULES = ("constant", "cosine")
ENCODER_TRAINING = ("all", "none", "gradual")


def learning_rate_share(schedule: str, epoch: int, epochs: int) -> float:
    """Share of the learning rate that an epoch trains with.

    Parameters
    ----------
    schedule : {"constant", "cosine"}
        ``cosine`` falls from 1 in the first epoch towards 0 after the last.
    epoch : int
        Counted from 0.
    epochs : int
        Of the whole run, at least 1.

    Returns
    -------
    float
        Above 0, at most 1.

    Notes
    -----
    ``cosine``: ``(1 + cos(pi * epoch / epochs)) / 2``. It depends on the epoch alone, so a
    resumed run needs no state of a scheduler.

    Examples
    --------
    >>> [round(learning_rate_share("cosine", epoch, 4), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    if schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class Optimisation:
    """How a task's parameters are trained.

    Parameters
    ----------
    learning_rate : float, default 1e-5
        Of Adam; the paper's.
    schedule : {"constant", "cosine"}, default "constant"
        How the learning rate goes from epoch to epoch, as in :func:`learning_rate_share`.
    weight_decay : float, default 0.0
        Decoupled, as in AdamW; 0 is plain Adam.
    encoder : {"all", "none", "gradual"}, default "all"
        Whether the image encoder is trained: from the first epoch; never; or its stages from the
        last one down, one more every ``thaw_every`` epochs, after as many with the head alone.
    thaw_every : int, default 1
        With ``"gradual"``: epochs between one stage and the next.
    """

    learning_rate: float = 1e-5
    schedule: str = "constant"
    weight_decay: float = 0.0
    encoder: str = "all"
    thaw_every: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("schedule", SCHEDULES), ("encoder", ENCODER_TRAINING)):
            if getattr(self, name) not in choices:
                raise GeolocError(
                    f"Unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}."
                )
        if not 0 < self.learning_rate < math.inf:
            raise GeolocError(f"learning_rate must be above 0, not {self.learning_rate}.")
        if not 0 <= self.weight_decay < math.inf:
            raise GeolocError(f"weight_decay must be at least 0, not {self.weight_decay}.")
        if self.thaw_every < 1:
            raise GeolocError(f"thaw_every must be at least 1 epoch, not {self.thaw_every}.")

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return asdict(self)


class Scored(NamedTuple):
    """What a task makes of a batch: a loss to descend, a share of right answers, rows counted."""

    loss: Tensor
    accuracy: Tensor
    n_rows: int


class PlaceTask(pl.LightningModule):
    """A model that says where an image was taken, and how it is trained to.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings; :class:`~geoloc_models.models.encoders.CachedFeatures` where embeddings
        come from a feature cache.
    optimisation : Optimisation, optional
        How to train.

    Notes
    -----
    A task of one's own says four things: the loss of a batch (:meth:`score`), what the network
    gives for images (:meth:`outputs`), what that means as places (:meth:`answer`), and what has to
    be kept to build it again (:meth:`card`, :meth:`write_files`, :meth:`from_card`).
    """

    name: ClassVar[str]
    is_trained: ClassVar[bool] = True
    remembers_images: ClassVar[bool] = False

    def __init__(self, encoder: ImageEncoder, optimisation: Optimisation | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.optimisation = optimisation or Optimisation()
        self._thawed: list[nn.Module] | None = None  # None: the whole encoder learns

    @abstractmethod
    def score(self, batch: Batch) -> Scored | None:
        """Loss of a batch; None where it has no row to learn from."""

    @abstractmethod
    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Numbers for images, (B, 3, H, W) or (B, D) features: float32, the first axis B."""

    @abstractmethod
    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Places for the outputs of n images: arrays with n rows, and the images' own rows."""

    def remember(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Keep what answers need of the training images, once training has ended.

        Called where ``remembers_images``, with the outputs, (n, 2) coordinates in degrees and (n,)
        countries of the n training images that could be read.
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

    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None to skip an empty one."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None for an empty one."""
        return self._step(batch, "val")

    def _step(self, batch: Batch, stage: str) -> Tensor | None:
        scored = self.score(batch) if len(batch["image"]) else None
        n_devices = self.trainer.world_size
        if scored is None and n_devices == 1:
            return None
        if scored is None:
            scored = self._nothing_scored()
        values = {f"{stage}_loss": scored.loss, f"{stage}_accuracy": scored.accuracy}
        self.log_dict(
            values,
            on_step=False,
            on_epoch=True,
            # Lightning averages counts over devices and cuts them to whole numbers.
            batch_size=scored.n_rows * n_devices,
            sync_dist=n_devices > 1,
        )
        if n_devices == 1:
            return scored.loss
        n_rows = torch.tensor(float(scored.n_rows), device=scored.loss.device)
        self.log(
            f"{stage}_rows",
            n_rows,
            on_step=False,
            on_epoch=True,
            reduce_fx="sum",
            sync_dist=True,
            batch_size=scored.n_rows,
        )
        if stage != "train":
            return scored.loss
        # Gradients are averaged over devices; weights by rows make that the mean over all rows.
        n_all = n_rows.clone()
        torch.distributed.all_reduce(n_all)
        return scored.loss * (n_devices * n_rows / n_all.clamp(min=1))

    def _nothing_scored(self) -> Scored:
        """What a device without a row to learn from hands in, since the others wait for it."""
        learning = [values for values in self.parameters() if values.requires_grad]
        loss = sum((values.sum() * 0.0 for values in learning), torch.zeros((), device=self.device))
        return Scored(loss.float(), torch.zeros((), device=self.device), 0)

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate, and which stages of the encoder learn."""
        epochs = int(self.trainer.max_epochs or 1)
        share = learning_rate_share(self.optimisation.schedule, self.current_epoch, epochs)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = share * self.optimisation.learning_rate
        self.freeze_encoder(self.current_epoch)

    def freeze_encoder(self, epoch: int) -> None:
        """Freeze the stages of the encoder that do not learn in an epoch, counted from 0.

        A frozen stage keeps its running statistics too: it stays in evaluation mode.
        """
        how = self.optimisation
        if how.encoder == "all":
            self._thawed = None
            self.encoder.requires_grad_(True)
        else:
            stages = self.encoder.stages()
            n_learning = 0 if how.encoder == "none" else min(epoch // how.thaw_every, len(stages))
            self._thawed = stages[len(stages) - n_learning :]
            self.encoder.requires_grad_(False)
            for stage in self._thawed:
                stage.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but for frozen stages."""
        super().train(mode)
        if mode and self._thawed is not None:
            self.encoder.eval()
            for stage in self._thawed:
                stage.train()
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all parameters; those of frozen stages have no gradient and stay."""
        how = self.optimisation
        if how.weight_decay > 0:
            return torch.optim.AdamW(
                self.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay
            )
        return torch.optim.Adam(self.parameters(), lr=how.learning_rate)
