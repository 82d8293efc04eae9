"""Train a task with Lightning: checkpoints, resume, history, and nothing fetched from anywhere."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.multiprocessing.spawn import ProcessException
from torch.utils.data import Subset
from tqdm import tqdm

from geoloc_models._devices import best_device, is_out_of_memory, resolve_precision
from geoloc_models._errors import GeolocError
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask
from geoloc_models.photos.dataset import BrokenImages, PhotoDataset, make_loader
from geoloc_models.training.callbacks import RunProgress, RunRecord
from geoloc_models.training.devices import (
    QuietDDP,
    end_processes,
    error_of_process,
    quiet,
    share_of_device,
    too_little_memory,
)
from geoloc_models.training.module import TaskModule

_PRECISIONS: dict[str, Any] = {
    "32": "32-true",
    "16": "16-mixed",
    "bf16": "bf16-mixed",
}  # Lightning's names


@dataclass(frozen=True)
class FitRecord:
    """What training left behind; the task itself holds the best epoch's weights.

    Parameters
    ----------
    history : list of dict
        Losses and accuracies of each epoch.
    best_epoch : int
        The epoch with the lowest validation loss, counted from 1.
    broken : BrokenImages
        Training and validation images that could not be read.
    seconds : float
        Wall-clock time of this call.
    """

    history: list[dict[str, float]]
    best_epoch: int
    broken: BrokenImages
    seconds: float


def seed_run(seed: int) -> None:
    """Seed Python, NumPy and torch, quietly; call it before building a task."""
    with quiet():
        pl.seed_everything(seed, workers=True, verbose=False)


def fit_task(
    task: PlaceTask,
    train: PhotoDataset | FeatureDataset,
    validation: PhotoDataset | FeatureDataset,
    options: TrainingOptions,
    run_dir: str | Path,
    *,
    resume: bool = False,
    description: str = "Training",
    progress: bool = True,
) -> FitRecord:
    """Train a task and leave it with the weights of its best epoch.

    Parameters
    ----------
    task : PlaceTask
        Built after :func:`seed_run`; trained in place.
    train, validation : PhotoDataset or FeatureDataset
        Neither may be empty.
    options : TrainingOptions
        How to train.
    run_dir : str or Path
        Gets ``checkpoints/best.ckpt``, ``checkpoints/last.ckpt`` and ``history.csv``.
    resume : bool, default False
        Go on after the last whole epoch found in ``run_dir``; without one, start anew.
    description : str
        Label of the progress bar.
    progress : bool, default True
        Show the bar.

    Returns
    -------
    FitRecord

    Raises
    ------
    GeolocError
        A part is empty, all its images are broken, or the loss is not a number.
    KeyboardInterrupt
        After an orderly stop; the checkpoint of the last whole epoch remains.

    Notes
    -----
    Order of images and augmentation in epoch e depend on (seed, e) alone, so on a CPU a resumed
    run ends with the weights of an uninterrupted one. Checkpoints are read as plain tensors
    (``weights_only``): loading one runs no code from the file.
    """
    for part, dataset in (("training", train), ("validation", validation)):
        if len(dataset) == 0:
            raise GeolocError(
                f"The {part} part is empty; more images, or other fractions of the split, are "
                "needed."
            )
    started = time.perf_counter()
    options = options.resolve()
    run_dir = Path(run_dir)
    checkpoints = run_dir / "checkpoints"
    last = checkpoints / "last.ckpt"
    if not resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    if last.is_file():
        _read_checkpoint(last)  # a damaged one is refused before anything is built

    record = RunRecord(run_dir / "history.csv")
    callbacks: list[pl.Callback] = [record, *_checkpoint_callbacks(checkpoints)]
    if options.patience is not None:
        callbacks.append(
            EarlyStopping("val_loss", patience=options.patience, check_on_train_epoch_end=True)
        )
    if progress:
        callbacks.append(RunProgress(description))
    module = TaskModule(task, options)
    with quiet():
        trainer = pl.Trainer(
            accelerator="auto",
            devices=options.devices,
            strategy="auto" if options.devices == 1 else QuietDDP(),
            use_distributed_sampler=False,  # the loaders below share out each batch themselves
            precision=_PRECISIONS[resolve_precision(options.precision, best_device())],
            max_epochs=options.epochs,
            callbacks=callbacks,
            logger=_logger(options, run_dir),
            default_root_dir=run_dir,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        if torch.cuda.is_available():
            task.encoder.to(memory_format=torch.channels_last)
        if options.compile:
            task.encoder.compile()
        loaders = _Loaders(train, validation, options)
        _fit(trainer, module, loaders, last if last.is_file() else None, has_bar=progress)
    if options.devices > 1:  # the epochs were noted in other processes
        record.load_state_dict(_read_checkpoint(last)["callbacks"][record.state_key])
    module.load_state_dict(_read_checkpoint(checkpoints / "best.ckpt")["state_dict"])
    losses = [epoch["val_loss"] for epoch in record.epochs]
    return FitRecord(
        history=record.epochs,
        best_epoch=int(np.nanargmin(losses)) + 1,
        broken=record.broken,
        seconds=time.perf_counter() - started,
    )


def _checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Store the best epoch, and the latest one."""
    always: dict[str, Any] = {
        "dirpath": folder,
        "save_top_k": 1,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    return [
        ModelCheckpoint(filename="best", monitor="val_loss", mode="min", **always),
        # One of its own: save_last would keep the last epoch that was the best so far.
        ModelCheckpoint(filename="last", every_n_epochs=1, **always),
    ]


class _Loaders(pl.LightningDataModule):
    """Batches made anew for each epoch, seeded by (seed, epoch)."""

    def __init__(
        self,
        train: PhotoDataset | FeatureDataset,
        validation: PhotoDataset | FeatureDataset,
        options: TrainingOptions,
    ) -> None:
        super().__init__()
        self.train, self.validation, self.options = train, validation, options

    def train_dataloader(self) -> Any:
        """Shuffle by (seed, epoch); so is the augmentation seeded.

        The order is drawn here rather than by the loader: how often Lightning asks a loader for
        an iterator differs between a fresh run and a resumed one, and each time moves its
        generator.
        """
        epoch = self.trainer.current_epoch if self.trainer else 0
        random = np.random.default_rng([self.options.seed, epoch])
        order = random.permutation(len(self.train))
        seed = int(random.integers(2**31))
        torch.manual_seed(seed)
        return self._batches(self.train, order, seed=seed)

    def val_dataloader(self) -> Any:
        """In the order of rows."""
        order = np.arange(len(self.validation))
        return self._batches(self.validation, order, seed=self.options.seed)

    def _batches(
        self, dataset: PhotoDataset | FeatureDataset, order: np.ndarray, *, seed: int
    ) -> Any:
        n_devices = self.options.devices
        rank = self.trainer.global_rank if self.trainer else 0
        order = share_of_device(order, self.options.batch_size, rank, n_devices)
        batch_size = self.options.batch_size // n_devices
        if isinstance(dataset, FeatureDataset):
            return dataset.batches(order, batch_size)
        return make_loader(
            Subset(dataset, order.tolist()),
            batch_size=batch_size,
            shuffle=False,
            seed=seed,
            workers=self.options.workers,
        )


def _fit(
    trainer: pl.Trainer,
    module: TaskModule,
    loaders: _Loaders,
    checkpoint: Path | None,
    *,
    has_bar: bool,
) -> None:
    """Run the trainer; an interruption leaves as KeyboardInterrupt, not as Lightning's exit."""
    handler = signal.getsignal(signal.SIGINT)
    options = loaders.options
    try:
        trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        if trainer.interrupted:
            if options.devices > 1:
                end_processes()
            raise KeyboardInterrupt from None
        raise
    except ProcessException as error:
        if has_bar:
            tqdm.write("", file=sys.stderr)  # behind the bar of a process that was ended
        raise error_of_process(error, options.devices, options.batch_size) from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise too_little_memory(options.batch_size) from error
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


def _logger(options: TrainingOptions, run_dir: Path) -> Any:
    """TensorBoard's logger where asked for; the CSV history needs none."""
    if options.log != "tensorboard":
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(run_dir, name="", version="tensorboard")
    except ModuleNotFoundError:
        raise GeolocError(
            "The log tensorboard needs the package tensorboard (pip install "
            "'.[tensorboard]' in the source folder); or choose the log csv."
        ) from None


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in many ways: pickle, zip, runtime errors
        raise GeolocError(
            f"The checkpoint {path} cannot be read ({type(error).__name__}); start anew, without "
            "--resume, into another --output."
        ) from error
    return checkpoint
