"""Several devices: a process for each, its part of every batch, and one error for all of them."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException
from tqdm import tqdm

from geoloc_models.best_device import speaks_of_little_memory
from geoloc_models.errors import GeolocError, reason_of

_LOGGERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning",
    "lightning.pytorch.utilities",
    "torch.multiprocessing.spawn",
)
_SECONDS_TO_END = 10.0


def _silence() -> None:
    """Keep hints about workers, devices, cloud services and signals off the terminal."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r".*(lightning|Lightning|pin_memory).*")
    warnings.filterwarnings("ignore", message=r".*training_step. returned .None.*")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's hints off the terminal for a while."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        with warnings.catch_warnings():
            _silence()
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


class QuietDDP(DDPStrategy):
    """A process per device, each started anew, as quiet as the one that started it."""

    def __init__(self) -> None:
        super().__init__(start_method="spawn")

    def setup_environment(self) -> None:
        """Keep quiet before the processes meet; called first in each."""
        _silence()
        tqdm.set_lock(threading.RLock())  # its own is a semaphore that a killed process would leave
        super().setup_environment()


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


def error_of_process(error: ProcessException, n_devices: int, batch_size: int) -> GeolocError:
    """Return one error, in a sentence, for the process that failed first."""
    rest = "The last whole epoch is stored: --resume goes on after it."
    process = f"process {error.error_index + 1} of {n_devices}"
    if isinstance(error, ProcessExitedException):
        cause = error.signal_name or f"code {error.exit_code}"
        return GeolocError(
            f"Training has stopped: {process} was ended by {cause}, often because memory ran out. "
            f"{rest}"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason given"
    name, _, words = last.partition(": ")
    if name.endswith(".GeolocError"):
        return GeolocError(words)
    if speaks_of_little_memory(last):
        return too_little_memory(batch_size)
    reason = reason_of(ValueError(last[:300]))
    return GeolocError(f"Training has stopped: {process} failed ({reason}). {rest}")


def too_little_memory(batch_size: int) -> GeolocError:
    """Return the error for a batch that a device has no room for."""
    return GeolocError(
        f"The device has too little memory for batches of {batch_size} images; try "
        f"--batch-size {max(1, batch_size // 2)}."
    )


def end_processes() -> None:
    """After an interruption: ask the processes of the devices to end, then make them."""
    processes = multiprocessing.active_children()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()
