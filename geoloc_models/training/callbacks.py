"""Lightning callbacks: the record of a run and its checkpoint, and one progress bar for all epochs."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from tqdm import tqdm

from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing
from geoloc_models.models.options import TrainingOptions
from geoloc_models.photos.dataset import BrokenImages
from geoloc_models.training.run_folder import METRICS, best_epoch, has_ended


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, on whichever file system."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside the target and rename, once the disk has it."""
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class RunRecord(Checkpoint):
    """What an epoch leaves: losses, images that could not be read, the weights of the best epoch.

    All are carried in ``checkpoints/last.ckpt``, written after every epoch, so that a resumed run
    goes on with them; the losses are in ``history.csv`` too. What is best, and whether the run
    ends, follows from the losses alone. Stops the run when an epoch had no image to learn from, or
    a loss that is not a number.

    Parameters
    ----------
    run_dir : Path
        The run's folder.
    options : TrainingOptions
        When to stop.
    """

    def __init__(self, run_dir: Path, options: TrainingOptions) -> None:
        self.history_file = run_dir / "history.csv"
        self.checkpoint = run_dir / "checkpoints" / "last.ckpt"
        self.options = options
        self.epochs: list[dict[str, float]] = []
        self.broken = BrokenImages()
        self.best_weights: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Collect broken images."""
        self.broken.extend(batch["broken"])

    on_validation_batch_end = on_train_batch_end

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note losses and accuracies, then write the checkpoint."""
        if trainer.world_size > 1:
            of_each: list[list[tuple[int, str]]] = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(of_each, list(self.broken))
            for broken in of_each:
                self.broken.extend(broken)
        metrics, epoch = trainer.callback_metrics, trainer.current_epoch + 1
        for stage, part in (("train", "training"), ("val", "validation")):
            if f"{stage}_loss" not in metrics:
                raise GeolocError(
                    f"No {part} image could be used in epoch {epoch}: all were broken, or of "
                    "a country unknown to the training part. Check the paths in the table, and "
                    "its size."
                )
        values = {name: float(metrics.get(name, "nan")) for name in METRICS}
        if values["train_loss"] != values["train_loss"]:
            raise GeolocError(
                f"The training loss is not a number in epoch {epoch}; try a lower learning rate."
            )
        self.epochs.append({"epoch": epoch, **values})
        if best_epoch(self.epochs) == epoch:
            weights = pl_module.validated.state_dict()
            self.best_weights = {
                name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()
            }
        trainer.should_stop = trainer.should_stop or has_ended(self.epochs, self.options)
        if trainer.is_global_zero:
            with replacing(self.history_file) as partial, partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=["epoch", *METRICS])
                writer.writeheader()
                writer.writerows(self.epochs)
        trainer.save_checkpoint(self.checkpoint)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {
            "epochs": [dict(epoch) for epoch in self.epochs],
            "broken": [[row, reason] for row, reason in self.broken],
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epochs = [dict(epoch) for epoch in state_dict["epochs"]]
        self.broken.extend((row, reason) for row, reason in state_dict["broken"])
        self.best_weights = state_dict["best_weights"]


class RunProgress(pl.Callback):
    """One bar over all epochs of a run, instead of a bar for each."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar, where a resumed run stands."""
        if trainer.is_global_zero:
            total = int(trainer.num_training_batches) * int(trainer.max_epochs or 0)
            step = trainer.global_step
            self.bar = tqdm(
                total=total, initial=step, desc=self.description, unit="batch", disable=None
            )

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Go on by a batch."""
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch and its validation loss."""
        loss = trainer.callback_metrics.get("val_loss")  # every process takes part in its mean
        if self.bar is not None:
            shown = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar.set_postfix_str(shown + ("" if loss is None else f", val loss {loss:.3f}"))

    def teardown(self, *_: Any, **__: Any) -> None:
        """Close the bar, after an error or an interruption, too."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    on_exception = teardown
