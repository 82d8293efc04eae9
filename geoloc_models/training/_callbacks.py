"""Lightning callbacks: a history of epochs, broken images, one progress bar."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from tqdm import tqdm

from geoloc_models._errors import GeolocError
from geoloc_models._files import replacing
from geoloc_models.photos.dataset import BrokenImages

METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


class History(pl.Callback):
    """Write ``history.csv``, a line per epoch; carried in checkpoints, so that resuming goes on.

    Stops the run when an epoch had no image to learn from, or a loss that is not a number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch's losses and accuracies."""
        values = {name: float(trainer.callback_metrics.get(name, "nan")) for name in METRICS}
        for stage, part in (("train", "training"), ("val", "validation")):
            metrics = trainer.callback_metrics
            if f"{stage}_loss" not in metrics or metrics.get(f"{stage}_rows", 1) == 0:
                raise GeolocError(
                    f"Not one {part} image could be used in epoch {trainer.current_epoch + 1}: "
                    "all were broken, or of a country unknown to the training part. Check the "
                    "paths in the table, and its size."
                )
        if values["train_loss"] != values["train_loss"]:
            raise GeolocError(
                f"The training loss is not a number in epoch {trainer.current_epoch + 1}; try a "
                "lower learning rate."
            )
        self.epochs.append({"epoch": trainer.current_epoch + 1, **values})
        if not trainer.is_global_zero:
            return
        with replacing(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=["epoch", *METRICS])
            writer.writeheader()
            writer.writerows(self.epochs)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"epochs": [dict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epochs = [dict(epoch) for epoch in state_dict["epochs"]]


class StopAtNaN(pl.Callback):
    """Stop at the first batch whose loss is not a number, and name it.

    On a CPU every batch is looked at; elsewhere every 50th, since looking waits for the device.
    """

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        """Look at the loss."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is None or (loss.device.type != "cpu" and batch_idx % 50):
            return
        if not bool(loss.isfinite()):
            rows = ", ".join(str(int(row)) for row in batch["row"][:5])
            raise GeolocError(
                f"The loss of batch {batch_idx + 1} in epoch {trainer.current_epoch + 1} is not a "
                f"number (rows {rows}, ...); try a lower learning rate, or --precision 32."
            )


class CollectBroken(pl.Callback):
    """Collect row and reason of the images that could not be read."""

    def __init__(self) -> None:
        self.broken = BrokenImages()

    def _collect(self, batch: dict[str, Any]) -> None:
        self.broken.extend(batch.get("broken", ()))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        self._collect(batch)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._collect(batch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take in what other devices have met, before the epoch's checkpoint is written."""
        if trainer.world_size > 1:
            met: list[list[tuple[int, str]]] = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(met, list(self.broken))
            for broken in met:
                self.broken.extend(broken)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"broken": [[row, reason] for row, reason in self.broken]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.broken.extend((row, reason) for row, reason in state_dict["broken"])


class RunProgress(pl.Callback):
    """One bar over all epochs of a run, instead of a bar for each."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar, where a resumed run stands."""
        if not trainer.is_global_zero:
            return
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 0)
        self.bar = tqdm(
            total=total, initial=trainer.global_step, desc=self.description, unit="batch"
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
    ) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch and its validation loss."""
        if self.bar is not None:
            loss = trainer.callback_metrics.get("val_loss")
            shown = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.set_postfix_str(shown + ("" if loss is None else f", val loss {loss:.3f}"))

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar after an error or an interruption."""
        self._close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
