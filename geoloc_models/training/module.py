"""A task as Lightning trains it: steps, their figures, optimiser, schedule, stages that are unfrozen."""

from __future__ import annotations

import copy
import logging
import math
import signal
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from geoloc_models.best_device import free_memory, is_out_of_memory
from geoloc_models.errors import GeolocError
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask, Scored
from geoloc_models.training.augmentation import numbers_of_rows, vary_colours
from geoloc_models.training.fine_tuning import parameter_groups

logger = logging.getLogger(__name__)

_STEPS_BETWEEN_LOOKS = 50  # at the loss, elsewhere than on a CPU: each look waits for the device
_WARM_UP = 0.05  # of all steps


class _Noted(NamedTuple):
    """Loss, accuracy and number of rows of a step, (3,) float32 where it was made, and its batch."""

    figures: Tensor
    batch_index: int
    rows: Tensor


class TaskModule(pl.LightningModule):
    """Trains a task.

    Parameters
    ----------
    task : PlaceTask
        Trained in place; its tensors are named ``task.NAME`` in checkpoints.
    options : TrainingOptions
        How to train, nothing left open.

    Notes
    -----
    A step never waits for the device: losses and accuracies stay there until the epoch ends. A
    batch that does not fit is learned from in ``n_parts`` equal parts, whose gradients add up.
    """

    automatic_optimization = False

    def __init__(self, task: PlaceTask, options: TrainingOptions) -> None:
        super().__init__()
        self.task = task
        task.label_smoothing = options.label_smoothing
        self.options = options
        self.save_hyperparameters(options.to_dict())  # which trackers show
        self.n_parts = 1
        self._noted: dict[str, list[_Noted]] = {"train": [], "val": []}
        self.average: PlaceTask | None = None
        self._copies: torch.cuda.Stream | None = None
        self._unfrozen: list[nn.Module] | None = None  # None: the whole encoder learns
        self.unfreeze_stages(0)

    def setup(self, stage: str) -> None:
        """Begin the average of the weights and compile the encoder, in the process that trains."""
        if self.options.ema > 0:
            self.average = copy.deepcopy(self.task).requires_grad_(False)
        if self.options.compile:
            for encoder in self._encoders():
                encoder.forward = self._of_one_shape(torch.compile(encoder.forward, dynamic=False))

    def teardown(self, stage: str) -> None:
        """Leave plain encoders: what comes after training has batches of other shapes."""
        if self.options.compile:
            for encoder in self._encoders():
                del encoder.forward

    def _encoders(self) -> set[Any]:
        return {self.task.encoder, self.validated.encoder}

    def _of_one_shape(self, embed: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Fill short batches up with their own images, (B, 3, H, W): another length would be compiled anew.

        Batch norms see the repeated images too, once an epoch.
        """

        def embed_filled(image: Tensor) -> Tensor:
            how = self.options
            n_views = how.views if self.training else 1
            n_filled = math.ceil(how.images_a_step // how.devices / self.n_parts) * n_views
            if len(image) == n_filled:
                return embed(image)
            rows = torch.arange(n_filled, device=image.device) % len(image)
            return embed(image[rows])[: len(image)]

        return embed_filled

    @property
    def validated(self) -> PlaceTask:
        """The task whose weights are validated and kept: the average, where there is one."""
        return self.task if self.average is None else self.average

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Copy a batch; to a graphics card while that still computes what came before."""
        if device.type != "cuda":
            return _moved(batch, device)
        self._copies = self._copies or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        computing = torch.cuda.current_stream(device)
        with torch.cuda.stream(self._copies):
            moved = _moved(batch, device)
        computing.wait_stream(self._copies)
        for values in moved.values():
            if isinstance(values, Tensor):
                values.record_stream(computing)
        return moved

    def on_before_batch_transfer(
        self, batch: dict[str, Any], dataloader_idx: int
    ) -> dict[str, Any]:
        """Draw the colours of a batch to train on."""
        varies = self.options.augment == "simclr" and self.trainer.training
        if varies and batch["image"].dtype == torch.uint8:
            seeds = (self.options.seed, self.current_epoch)
            batch["numbers"] = numbers_of_rows(batch["row"].tolist(), self.options.views, seeds)
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Vary its colours, where it lies now."""
        if "numbers" in batch:
            image, numbers = batch["image"], batch.pop("numbers").flatten(0, 1)
            varied = vary_colours(image.reshape(-1, *image.shape[-3:]), numbers)
            batch["image"] = varied.reshape(image.shape)
        return batch

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Learn from a batch."""
        n_images, is_alone = len(batch["image"]), self.trainer.world_size == 1
        if n_images == 0 and is_alone:
            return
        while True:
            try:
                self._learn(batch, batch_index)
                break
            except RuntimeError as error:
                if not (is_out_of_memory(error) and is_alone and self.n_parts < n_images):
                    raise
            self.n_parts *= 2  # here, as the exception kept tensors of the step alive
            self.optimizers().zero_grad()  # type: ignore[union-attr]
            free_memory(self.device)
            logger.warning(
                "The device has too little memory for %d images at once: each step takes them in %d "
                "parts from now on, which is slower and learns the same.",
                n_images,
                self.n_parts,
            )
        if self.device.type == "cpu" or (batch_index + 1) % _STEPS_BETWEEN_LOOKS == 0:
            self._refuse_nan()

    def _learn(self, batch: dict[str, Any], batch_index: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        epoch = self.current_epoch + (batch_index + 0.5) / int(self.trainer.num_training_batches)
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share_of_rate(self.options, epoch)
        n_images = len(batch["image"])
        n_noted = len(self._noted["train"])
        try:
            for part in _parts(batch, self.n_parts):
                share = len(part["image"]) / max(n_images, 1) or 1.0
                self.manual_backward(self._score(part, batch_index, "train") * share)
        except RuntimeError:
            del self._noted["train"][n_noted:]
            raise
        optimizer.step()
        self._follow(self.options.ema if self.global_step > 1 else 0.0)

    def _follow(self, decay: float) -> None:
        """Move the average of the weights; torch's AveragedModel would wait for the device."""
        if self.average is None:
            return
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(list(self.average.parameters()), list(self.task.parameters()), None)
        for ours, theirs in zip(self.average.buffers(), self.task.buffers(), strict=True):
            ours.copy_(theirs)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Note the loss of a batch."""
        if len(batch["image"]):
            for part in _parts(batch, self.n_parts):
                self._score(part, batch_index, "val")

    def _score(self, batch: dict[str, Any], batch_index: int, stage: str) -> Tensor:
        """Loss of some images, noted for the figures of the epoch."""
        task = self.task if stage == "train" else self.validated
        loss, right, n_rows = task.score(batch) if len(batch["image"]) else self._nothing_scored()
        figures = torch.stack([loss.detach().float(), right.float(), n_rows.float()])
        self._noted[stage].append(_Noted(figures, batch_index, batch["row"][:5]))
        if stage != "train" or self.trainer.world_size == 1:
            return loss
        # Gradients are averaged over devices; weights by rows make that the mean over all rows.
        n_all = n_rows.float()
        torch.distributed.all_reduce(n_all)
        return loss * (self.trainer.world_size * n_rows / n_all.clamp(min=1))

    def _nothing_scored(self) -> Scored:
        """What a device without a row to learn from hands in, since the others wait for it."""
        nothing = torch.zeros((), device=self.device)
        learning = [values for values in self.parameters() if values.requires_grad]
        loss = sum((values.sum() * 0.0 for values in learning), nothing)
        return Scored(loss.float(), nothing, nothing)

    def _refuse_nan(self) -> None:
        """GeolocError if a loss since the last look is not a number."""
        noted = self._noted["train"][-_STEPS_BETWEEN_LOOKS * self.n_parts :]
        losses = torch.stack([each.figures[0] for each in noted])
        if bool(losses.isfinite().all()):
            return
        first = noted[int((~losses.isfinite()).float().argmax())]
        rows = ", ".join(str(int(row)) for row in first.rows)
        raise GeolocError(
            f"The loss of batch {first.batch_index + 1} in epoch {self.current_epoch + 1} is not a "
            f"number (rows {rows}, ...); try a lower learning rate, or --precision 32."
        )

    def on_train_epoch_end(self) -> None:
        """Look at the losses that were not looked at, and log the figures of the epoch."""
        if self._noted["train"]:
            self._refuse_nan()
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the epoch."""
        self._log_epoch("val")

    def _log_epoch(self, stage: str) -> None:
        """Means over all rows of all devices; nothing where there was no row."""
        noted, self._noted[stage] = self._noted[stage], []
        sums = np.zeros(3)
        if noted:
            loss, right, n_rows = torch.stack([each.figures for each in noted]).double().cpu().T
            counted = n_rows > 0
            sums = torch.stack([loss * n_rows, right * n_rows, n_rows]).T[counted].sum(0).numpy()
        if self.trainer.world_size > 1:
            of_all: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(of_all, sums)
            sums = np.sum(of_all, axis=0)
        if sums[2] > 0:
            figures = {f"{stage}_loss": sums[0] / sums[2], f"{stage}_accuracy": sums[1] / sums[2]}
            self.log_dict(figures, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """Adam over all parameters: those of frozen stages have no gradient and stay."""
        how = self.options
        kind = torch.optim.AdamW if how.weight_decay > 0 else torch.optim.Adam
        groups = parameter_groups(self.task, how)
        self._rates = [group["lr"] for group in groups]
        return kind(
            groups,
            weight_decay=how.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )

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
        if how.train_encoder in ("all", "lora"):
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


def share_of_rate(options: TrainingOptions, epoch: float) -> float:
    """Share of the learning rate at a time counted in epochs from 0, as the schedule has it.

    The cosine schedule trains all of epoch e at ``(1 + cos(pi e / epochs)) / 2``; warmup rises over
    the first twentieth, and each step has its own share.
    """
    if options.schedule == "constant":
        return 1.0
    epochs = options.epochs or 1
    if options.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * math.floor(epoch) / epochs))
    warm = epoch / epochs / _WARM_UP
    return min(warm, 0.5 * (1.0 + math.cos(math.pi * (warm - 1) * _WARM_UP / (1 - _WARM_UP))))


def _moved(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: values.to(device, non_blocking=True) if isinstance(values, Tensor) else values
        for name, values in batch.items()
    }


def _parts(batch: dict[str, Any], n_parts: int) -> list[dict[str, Any]]:
    """A batch in equal parts, as far as its images go round."""
    if n_parts == 1:
        return [batch]
    tensors = {name: v.tensor_split(n_parts) for name, v in batch.items() if isinstance(v, Tensor)}
    parts = [{name: split[k] for name, split in tensors.items()} for k in range(n_parts)]
    return [part for part in parts if len(part["image"])]
