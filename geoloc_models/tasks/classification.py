"""Classifiers of images over countries or cells, as LightningModules."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor

from geocells import CellPartition
from geoloc_models.encoders import ImageEncoder
from geoloc_models.heads import MLPHead
from geoloc_models.losses import accuracy, cross_entropy
from geoloc_models.tasks.answers import Answers, answers_of_cells

Batch = dict[str, Any]

SCHEDULES = ("constant", "cosine")


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


class ClassificationTask(pl.LightningModule):
    """Encoder, three-layer perceptron, cross entropy, Adam.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    answers : Answers
        The place that each of the C classes stands for.
    learning_rate : float, default 1e-5
        Of Adam; the paper's.
    hidden : int, default 256
        Width of the head's hidden layers.
    dropout : float, default 0.0
        Share of hidden numbers set to zero in training.
    schedule : {"constant", "cosine"}, default "constant"
        How the learning rate goes from epoch to epoch, as in :func:`learning_rate_share`.
    """

    name: ClassVar[str]
    target: ClassVar[str]  # the key of a batch that holds the true class

    def __init__(
        self,
        encoder: ImageEncoder,
        answers: Answers,
        *,
        learning_rate: float = 1e-5,
        hidden: int = 256,
        dropout: float = 0.0,
        schedule: str = "constant",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = MLPHead(encoder.dim, answers.n_classes, hidden=hidden, dropout=dropout)
        self.answers = answers
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.schedule = schedule

    def forward(self, image: Tensor) -> Tensor:
        """Score classes.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised. B batch, H and W in pixels.

        Returns
        -------
        Tensor
            (B, C) logits. C classes.
        """
        logits: Tensor = self.head(self.encoder(image))
        return logits

    def probabilities(self, image: Tensor) -> Tensor:
        """Class probabilities in float32: (B, 3, H, W) to (B, C)."""
        return torch.softmax(self(image).float(), dim=1)

    def score(self, batch: Batch) -> tuple[Tensor, Tensor, int] | None:
        """Loss, accuracy and number of rows of a batch; None where it has no row to learn from.

        Rows whose true class is unknown (-1: a country that no training image has) are left out.
        """
        if len(batch["image"]) == 0:
            return None
        known = batch[self.target] >= 0
        if not bool(known.any()):
            return None
        logits = self(batch["image"])[known]
        target = batch[self.target][known]
        return cross_entropy(logits, target), accuracy(logits, target), len(target)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None to skip an empty one."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None for an empty one."""
        return self._step(batch, "val")

    def _step(self, batch: Batch, stage: str) -> Tensor | None:
        scored = self.score(batch)
        if scored is None:
            return None
        loss, share, n_rows = scored
        values = {f"{stage}_loss": loss, f"{stage}_accuracy": share}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=n_rows)
        return loss

    def on_train_epoch_start(self) -> None:
        """Set the epoch's learning rate."""
        epochs = int(self.trainer.max_epochs or 1)
        share = learning_rate_share(self.schedule, self.current_epoch, epochs)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = share * self.learning_rate

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all parameters."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class CountryTask(ClassificationTask):
    """The paper's baseline: which country, answered with the country's training centre."""

    name = "country"
    target = "country"


class CellTask(ClassificationTask):
    """Which cell, answered with the cell's location, and its group as the country.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    cells : CellPartition
        Fitted on the training images with countries as groups; the classes are its labels.
    **options
        As for :class:`ClassificationTask`.
    """

    name = "cells"
    target = "cell"

    def __init__(self, encoder: ImageEncoder, cells: CellPartition, **options: Any) -> None:
        super().__init__(encoder, answers_of_cells(cells), **options)
        self.cells = cells
