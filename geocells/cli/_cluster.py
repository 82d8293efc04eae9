"""Workers of a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

logger = logging.getLogger(__name__)


@contextmanager
def cluster(scheduler: str) -> Iterator[None]:
    """Workers at an address, or of this machine (``local``), for as long as a command takes."""
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ImportError(
            "--dask needs Dask, which is not installed: pip install 'geocells[dask]'."
        ) from error
    # What workers log is not for one who waits for a sentence.
    if not logger.isEnabledFor(logging.DEBUG):
        for name in [name for name in logging.root.manager.loggerDict if "distributed" in name]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        address: Any = scheduler
        if scheduler == "local":
            address = stack.enter_context(
                LocalCluster(
                    threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
                )
            )
        try:
            stack.enter_context(Client(address, timeout="10s"))
        except (OSError, ValueError) as error:
            raise ValueError(f"No Dask scheduler answers at {scheduler} ({error}).") from None
        try:
            yield
        except KilledWorker as error:
            raise MemoryError(
                "Several workers died over one partition, most likely of too little memory: write the dataset in "
                f"smaller files, or give workers more memory ({error})."
            ) from error
