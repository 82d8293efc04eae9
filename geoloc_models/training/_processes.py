"""Several devices: a process for each, its part of every batch, and one error for all of them."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException
from tqdm import tqdm

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models._files import replacing
from geoloc_models.models.devices import is_out_of_memory

LOGGERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning",
    "lightning.pytorch.utilities",
    "torch.multiprocessing.spawn",
)
_SECONDS_TO_END = 10.0


def silence_hints() -> None:
    """Keep hints about workers, devices, cloud services and signals off the terminal."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r".*(lightning|Lightning|pin_memory).*")
    warnings.filterwarnings("ignore", message=r".*training_step. returned .None.*")


def share_of_device(order: np.ndarray, batch_size: int, device: int, n_devices: int) -> np.ndarray:
    """Positions that one of several devices sees, so that together they see the same batches.

    Parameters
    ----------
    order : ndarray
        (n,) int, positions in the order of the epoch.
    batch_size : int
        Of the devices together; a multiple of ``n_devices``.
    device, n_devices : int
        Number of the device, and how many there are.

    Returns
    -------
    ndarray
        Batch by batch its part, equal but for the last, short batch. Every device has a part of
        that one too: where it has fewer positions than there are devices, it is filled up with
        positions from the beginning of the order.

    Examples
    --------
    >>> share_of_device(np.arange(7), 4, 0, 2).tolist(), share_of_device(np.arange(7), 4, 1, 2).tolist()
    ([0, 1, 4, 5], [2, 3, 6])
    """
    if n_devices == 1 or len(order) == 0:
        return order
    n_full = len(order) // batch_size * batch_size
    full = order[:n_full].reshape(-1, n_devices, batch_size // n_devices)[:, device].ravel()
    rest = order[n_full:]
    if 0 < len(rest) < n_devices:
        rest = np.resize(np.concatenate([rest, order]), n_devices)
    return np.concatenate([full, np.array_split(rest, n_devices)[device]])


@dataclass(frozen=True)
class FailureNotes:
    """What processes say of the errors that ended them, for the process that started them.

    The others fail after it, by a connection that is closed; only the notes tell which was first.

    Parameters
    ----------
    folder : Path
        Gets a file for each process that fails.
    """

    folder: Path

    def write(self, number: int, error: Exception) -> None:
        """Note the error of a process."""
        is_known = isinstance(error, GeolocError)
        reason = reason_of(error)
        note = {
            "seconds": time.time(),
            "known": is_known,
            "out_of_memory": is_out_of_memory(error),
            "words": reason if is_known else f"{type(error).__name__}: {reason[:300]}",
        }
        with replacing(self.folder / f"failure-{number}.json") as partial:
            partial.write_text(json.dumps(note))

    def forget(self) -> None:
        """Remove the notes of an earlier run."""
        for note in self.folder.glob("failure-*.json"):
            note.unlink()

    def error_of(self, error: ProcessException, n_devices: int, batch_size: int) -> GeolocError:
        """Return one error for what all processes said, the likeliest cause first."""
        notes = []
        for path in self.folder.glob("failure-*.json"):
            note = json.loads(path.read_text())
            notes.append((not note["known"], not note["out_of_memory"], note["seconds"], note))
        self.forget()
        rest = "The last whole epoch is kept: --resume goes on after it."
        if isinstance(error, ProcessExitedException) and error.signal_name is not None:
            return GeolocError(
                f"Training has stopped: process {error.error_index + 1} of {n_devices} was ended "
                f"by {error.signal_name}, often for want of memory. {rest}"
            )
        if not notes:
            said = [line for line in str(error).splitlines() if line.strip()]
            return GeolocError(
                f"Training has stopped: process {error.error_index + 1} of {n_devices} failed "
                f"({reason_of(ValueError(said[-1] if said else 'no word'))}). {rest}"
            )
        first = min(notes, key=lambda note: note[:3])[3]
        if first["known"]:
            return GeolocError(f"{first['words']}.")
        if first["out_of_memory"]:
            return too_little_memory(batch_size)
        return GeolocError(
            f"Training has stopped: one of {n_devices} processes failed ({first['words']}). {rest}"
        )


def too_little_memory(batch_size: int) -> GeolocError:
    """Return the error for a batch that a device has no room for."""
    return GeolocError(
        f"The device has too little memory for batches of {batch_size} images; try "
        f"--batch-size {max(1, batch_size // 2)}."
    )


class QuietDDP(DDPStrategy):
    """A process per device, each started anew, as quiet as the one that started it.

    Parameters
    ----------
    notes : FailureNotes
        Where a process that fails says why.
    """

    def __init__(self, notes: FailureNotes) -> None:
        super().__init__(start_method="spawn")
        self.notes = notes

    def _configure_launcher(self) -> None:
        self._launcher = _NotingLauncher(self, start_method="spawn")

    def setup_environment(self) -> None:
        """Keep quiet before the processes meet; called first in each."""
        silence_hints()
        tqdm.set_lock(threading.RLock())  # its own is a semaphore that a killed process would leave
        super().setup_environment()


class _NotingLauncher(_MultiProcessingLauncher):
    """Starts the processes so that one that fails leaves a note."""

    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
    ) -> Any:
        """Run a function in every process; return what it gives in the first."""
        notes: FailureNotes = self._strategy.notes  # type: ignore[attr-defined]
        return super().launch(_Noted(function, notes), *args, trainer=trainer, **kwargs)


@dataclass(frozen=True)
class _Noted:
    """A function that notes the error it ends with."""

    function: Callable[..., Any]
    notes: FailureNotes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.function(*args, **kwargs)
        except Exception as error:
            self.notes.write(int(os.environ.get("LOCAL_RANK", "0")), error)
            raise


class EndAtOnce(pl.Callback):
    """Lets a process end at once when told to, even while it waits for one that is gone.

    Lightning would ask the other processes first, and they might not answer.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signal its own meaning back."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_processes(trainer: pl.Trainer) -> None:
    """After an interruption: ask the processes of the devices to end, then make them."""
    launcher: Any = trainer.strategy.launcher
    processes: list[multiprocessing.Process] = getattr(launcher, "procs", [])
    if not processes:
        return
    launcher.kill(signal.SIGINT)
    deadline = time.monotonic() + _SECONDS_TO_END
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
