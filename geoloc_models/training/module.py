"""A task as Lightning trains it: logging, optimiser, schedule, and stages that are unfrozen."""

from __future__ import annotations

import math
import signal
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from geoloc_models._errors import GeolocError
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask, Scored


class TaskModule(pl.LightningModule):
    """Trains a task.

    Parameters
    ----------
    task : PlaceTask
        Trained in place; its tensors are named ``task.NAME`` in checkpoints.
    options : TrainingOptions
        How to train, nothing left open.
    """

    def __init__(self, task: PlaceTask, options: TrainingOptions) -> None:
        super().__init__()
        self.task = task
        self.options = options
        self._unfrozen: list[nn.Module] | None = None  # None: the whole encoder learns
        self.unfreeze_stages(0)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Let an encoder that is compiled take batches of any length, such as the last one."""
        if self.options.compile:
            torch._dynamo.maybe_mark_dynamic(batch["image"], 0)
        return batch

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None to skip an empty one."""
        loss = self._step(batch, "train")
        # Elsewhere than on a CPU, looking at the loss waits for the device.
        if loss is None or (loss.device.type != "cpu" and batch_index % 50):
            return loss
        if not bool(loss.isfinite()):
            rows = ", ".join(str(int(row)) for row in batch["row"][:5])
            raise GeolocError(
                f"The loss of batch {batch_index + 1} in epoch {self.current_epoch + 1} is not a "
                f"number (rows {rows}, ...); try a lower learning rate, or --precision 32."
            )
        return loss

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> Tensor | None:
        """Return the loss of a batch, or None for an empty one."""
        return self._step(batch, "val")

    def _step(self, batch: dict[str, Any], stage: str) -> Tensor | None:
        scored = self.task.score(batch) if len(batch["image"]) else None
        n_devices = self.trainer.world_size
        if scored is None and n_devices == 1:
            return None
        if scored is None:
            scored = self._nothing_scored()
        self.log_dict(
            {f"{stage}_loss": scored.loss, f"{stage}_accuracy": scored.accuracy},
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

    def configure_optimizers(self) -> Any:
        """Adam over all parameters: those of frozen stages have no gradient and stay.

        The cosine schedule trains epoch e, counted from 0, at ``(1 + cos(pi e / epochs)) / 2`` of
        the learning rate.
        """
        how = self.options
        rate = how.learning_rate or 0.0
        optimizer: torch.optim.Optimizer
        if how.weight_decay > 0:
            optimizer = torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=how.weight_decay)
        else:
            optimizer = torch.optim.Adam(self.parameters(), lr=rate)
        if how.schedule == "constant":
            return optimizer
        epochs = how.epochs or 1
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
        )
        return [optimizer], [schedule]

    def on_train_start(self) -> None:
        """Let one of several processes end when told to, even while it waits for one that is gone.

        Lightning would ask the other processes first, and they might not answer.
        """
        if self.trainer.world_size > 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_epoch_start(self) -> None:
        """Seed what is random in this epoch, and unfreeze the stages that learn from now on."""
        seeds = np.random.default_rng([self.options.seed, self.current_epoch, 2])
        torch.manual_seed(int(seeds.integers(2**63)))
        self.unfreeze_stages(self.current_epoch)

    def unfreeze_stages(self, epoch: int) -> None:
        """Let those stages of the encoder learn that do so in an epoch, counted from 0.

        A frozen stage keeps its running statistics too: it stays in evaluation mode.
        """
        how, encoder = self.options, self.task.encoder
        if how.train_encoder == "all":
            return
        stages = encoder.stages()
        n_learning = 0
        if how.train_encoder == "gradual":
            n_learning = min(epoch // how.unfreeze_every, len(stages))
        self._unfrozen = stages[len(stages) - n_learning :]
        encoder.requires_grad_(False)
        for stage in self._unfrozen:
            stage.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but for frozen stages."""
        super().train(mode)
        if mode and self._unfrozen is not None:
            self.task.encoder.eval()
            for stage in self._unfrozen:
                stage.train()
        return self
