"""Train a task with Lightning: checkpoints, resume, history, and nothing fetched from anywhere."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.plugins import AsyncCheckpointIO
from torch.multiprocessing.spawn import ProcessException
from torch.utils.data import Dataset
from tqdm import tqdm

from geoloc_models.best_device import best_device, is_out_of_memory, resolve_precision
from geoloc_models.errors import GeolocError
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask
from geoloc_models.photos.dataset import BrokenImages, PhotoDataset, make_loader
from geoloc_models.training.callbacks import RunProgress, RunRecord, WholeCheckpoints
from geoloc_models.training.devices import (
    QuietDDP,
    end_processes,
    error_of_process,
    quiet,
    share_of_device,
    too_little_memory,
)
from geoloc_models.training.fine_tuning import prepared
from geoloc_models.training.module import TaskModule
from geoloc_models.training.run_folder import best_epoch, has_ended

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
    broken : BrokenImages
        Training and validation images that could not be read.
    seconds : float
        Wall-clock time of this call.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    broken: BrokenImages = field(default_factory=BrokenImages)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, counted from 1; 0 where none was trained."""
        return best_epoch(self.history)


def seed_run(seed: int) -> None:
    """Seed Python, NumPy and torch, quietly; call it before building a task.

    Examples
    --------
    >>> import torch
    >>> from geoloc_models.training import seed_run
    >>> seed_run(0)
    >>> first = torch.rand(1)
    >>> seed_run(0)
    >>> bool(first == torch.rand(1))
    True
    """
    with quiet():
        pl.seed_everything(seed, verbose=False)


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
        Gets ``checkpoints/last.ckpt``, which holds the weights of the best epoch too, and
        ``history.csv``.
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
    The order of images in epoch e depends on (seed, e) alone, the augmentation of an image on
    (seed, e, its row), and the end of a run on its history: so on a CPU a resumed run, with however
    many workers, ends with the weights of an uninterrupted one. Checkpoints are read as plain
    tensors (``weights_only``): loading one runs no code from the file.
    """
    for part, dataset in (("training", train), ("validation", validation)):
        if len(dataset) == 0:
            raise GeolocError(
                f"The {part} part is empty; more images, or other fractions of the split, are "
                "needed."
            )
    if torch.cuda.is_available() and options.devices > torch.cuda.device_count():
        raise GeolocError(
            f"devices must be at most the graphics cards of this machine, "
            f"{torch.cuda.device_count()}, not {options.devices}; CUDA_VISIBLE_DEVICES= trains on "
            "the CPU."
        )
    started = time.perf_counter()
    options = options.resolve(n_train=len(train))
    run_dir = Path(run_dir)
    last = run_dir / "checkpoints" / "last.ckpt"
    if not resume:
        shutil.rmtree(last.parent, ignore_errors=True)
    record = RunRecord(run_dir, options)
    if last.is_file():
        _restore(record)
    with prepared(task.encoder, options, len(train)) as options:
        module = TaskModule(task, options)
        if not has_ended(record.epochs, options):
            batches = _Batches(train, validation, options, len(record.epochs))
            _train(module, batches, record, description if progress else None)
        task.load_state_dict(record.best_weights)
    return FitRecord(
        history=record.epochs,
        broken=record.broken,
        seconds=time.perf_counter() - started,
    )


def _train(module: TaskModule, batches: _Batches, record: RunRecord, bar: str | None) -> None:
    """Train from the record's last epoch on; ``bar`` is the label of a progress bar."""
    options = batches.options
    torch.set_float32_matmul_precision("high")  # TF32, where a graphics card is left with float32
    with quiet():
        trainer = pl.Trainer(
            accelerator="auto",
            devices=options.devices,
            strategy="auto" if options.devices == 1 else QuietDDP(),
            use_distributed_sampler=False,  # each device takes its part of a batch by itself
            precision=_PRECISIONS[resolve_precision(options.precision, best_device())],
            max_epochs=options.epochs,
            callbacks=[record] if bar is None else [record, RunProgress(bar)],
            plugins=[AsyncCheckpointIO(WholeCheckpoints())],  # no step waits for the disk
            logger=_logger(options, record.history_file.parent),
            default_root_dir=record.history_file.parent,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        handler = signal.getsignal(signal.SIGINT)
        try:
            checkpoint = record.checkpoint if record.epochs else None
            trainer.fit(module, datamodule=batches, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # Lightning's answer to an interruption
            if trainer.interrupted:
                if options.devices > 1:
                    end_processes()
                raise KeyboardInterrupt from None
            raise
        except ProcessException as error:
            if bar is not None:
                tqdm.write("", file=sys.stderr)  # behind the bar of a process that was ended
            raise error_of_process(error, options.devices, options.images_a_step) from error
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise too_little_memory(options.images_a_step) from error
        finally:
            batches.stream.close()
            if signal.getsignal(signal.SIGINT) is not handler:
                signal.signal(signal.SIGINT, handler)
    if options.log == "wandb":
        import wandb

        wandb.finish()  # or the next training of this process would go on with the same run
    if options.devices > 1:  # the epochs were noted in other processes
        _restore(record)


class _SeededPhotos(Dataset[dict[str, Any]]):
    """Photos of both parts, by (part, position in it, seed of its augmentation)."""

    def __init__(self, parts: tuple[PhotoDataset, PhotoDataset]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, key: tuple[int, int, int]) -> dict[str, Any]:
        part, position, seed = key
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            return self.parts[part][position]


@dataclass(frozen=True)
class _NextBatches:
    """So many batches, from where a stream of them stands."""

    stream: Iterator[dict[str, Any]]
    n: int

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return islice(self.stream, self.n)


class _Batches(pl.LightningDataModule):
    """One stream of the batches of all epochs, each to train and then to validate.

    So worker processes start once, and what comes after the end of a part is loaded while that is
    computed on.
    """

    def __init__(
        self,
        train: PhotoDataset | FeatureDataset,
        validation: PhotoDataset | FeatureDataset,
        options: TrainingOptions,
        first_epoch: int,
    ) -> None:
        super().__init__()
        self.parts: Any = (train, validation)
        self.options, self.first_epoch = options, first_epoch
        self.batch_size = options.images_a_step // options.devices

    def train_dataloader(self) -> Any:
        """In a random order that differs by epoch."""
        return self._next(0)

    def val_dataloader(self) -> Any:
        """In the order of rows."""
        return self._next(1)

    def _next(self, part: int) -> _NextBatches:
        n_photos = len(self._order(part, epoch=0))
        return _NextBatches(self.stream, math.ceil(n_photos / self.batch_size))

    @cached_property
    def stream(self) -> Generator[dict[str, Any]]:
        """All of them; to close it ends the workers."""
        return self._read()

    def _read(self) -> Generator[dict[str, Any]]:
        if isinstance(self.parts[0], FeatureDataset):
            device = "cpu" if self.trainer is None else self.trainer.strategy.root_device
            on_device = [part.to(device) for part in self.parts]
            for part, positions, _ in self._keys():
                yield on_device[part][positions]
            return
        keys = (
            [(part, *key) for key in zip(positions.tolist(), seeds.tolist(), strict=True)]
            for part, positions, seeds in self._keys()
        )
        photos = _SeededPhotos(self.parts)
        yield from make_loader(photos, batches=keys, workers=self.options.workers)

    def _keys(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Part, positions and seeds of each batch, by (seed, epoch) alone."""
        how = self.options
        for epoch, part in product(range(self.first_epoch, how.epochs or 0), (0, 1)):
            order = self._order(part, epoch)
            rng = np.random.default_rng([how.seed, epoch, 1])
            seeds = rng.integers(2**63, size=len(self.parts[part]))
            for begin in range(0, len(order), self.batch_size):
                positions = order[begin : begin + self.batch_size]
                yield part, positions, seeds[positions]

    def _order(self, part: int, epoch: int) -> np.ndarray:
        """Positions that this device sees: (k,) int64."""
        how, order = self.options, np.arange(len(self.parts[part]))
        if part == 0:
            order = np.random.default_rng([how.seed, epoch]).permutation(order)
        device = 0 if self.trainer is None else self.trainer.global_rank
        return share_of_device(order, how.images_a_step, device, how.devices)


def _logger(options: TrainingOptions, run_dir: Path) -> Any:
    """Lightning's logger of a tracker; the CSV history needs none."""
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

    make: dict[str, Callable[[], Any]] = {
        "tensorboard": lambda: TensorBoardLogger(run_dir, name="", version="tensorboard"),
        "wandb": lambda: WandbLogger(run_dir.name, save_dir=run_dir, project="geoloc"),
        "mlflow": lambda: MLFlowLogger("geoloc", run_dir.name, save_dir=str(run_dir / "mlruns")),
    }
    if options.log not in make:
        return False
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow 3 refuses folders without
    try:
        return make[options.log]()
    except ModuleNotFoundError:
        raise GeolocError(
            f"The log {options.log} needs the package {options.log} (pip install "
            f"'.[{options.log}]' in the source folder); or choose the log csv."
        ) from None


def _restore(record: RunRecord) -> None:
    """Read the record of a run's last whole epoch."""
    path = record.checkpoint
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        record.load_state_dict(checkpoint["callbacks"][record.state_key])
    except Exception as error:  # torch.load fails in many ways: pickle, zip, runtime errors
        raise GeolocError(
            f"The checkpoint {path} cannot be read ({type(error).__name__}); start anew, without "
            "--resume, into another --output."
        ) from error
