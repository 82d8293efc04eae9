"""The table of photos and the output, as several commands know them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cyclopts import Group, Parameter

from geocells.files import refuse_input
from geocells.tables import TableError, columns_note, coordinates, groups, open_table
from geocells.tables.writer import table_suffix

logger = logging.getLogger(__name__)

CLUSTER = Group("More photos than one machine holds", sort_key=3)
_TABLE = Group("The table of photos", sort_key=1)


@Parameter(name="*", group=_TABLE)
@dataclass(frozen=True)
class TableOptions:
    """How the table of photos is read.

    Parameters
    ----------
    latitude_column : str, optional
        Column of latitudes, in degrees. Default: a usual name, such as lat or decimalLatitude.
    longitude_column : str, optional
        Column of longitudes, in degrees. Default: a usual name.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    """

    latitude_column: str | None = None
    longitude_column: str | None = None
    quoting: bool = True


@Parameter(name="*", group=_TABLE)
@dataclass(frozen=True)
class GroupedTableOptions(TableOptions):
    """How a table of photos in groups is read.

    Parameters
    ----------
    group_column : str, optional
        Column of groups, such as countries.
    """

    group_column: str | None = None


@dataclass(frozen=True)
class ReadPhotos:
    """A table of photos that was read.

    Parameters
    ----------
    table : Table
        All rows, and the columns asked for.
    columns : dict
        Role to column.
    coords : ndarray (n, 2) float64
        Latitude, longitude in degrees.
    groups : ndarray (n,) of object or None
    """

    table: pa.Table
    columns: dict[str, str]
    coords: np.ndarray
    groups: np.ndarray | None

    @property
    def note(self) -> str:
        """Which column was taken for what."""
        return columns_note(self.columns)


def read_photos(
    path: Path, options: GroupedTableOptions, *, others: Sequence[str | None] | None = ()
) -> ReadPhotos:
    """Read coordinates and groups, and the columns ``others``; all columns with None."""
    file = open_table(path, quoting=options.quoting)
    wanted = {"latitude": options.latitude_column, "longitude": options.longitude_column}
    if options.group_column is not None:
        wanted["group"] = options.group_column
    columns = file.find_columns(wanted)
    names = None if others is None else [*columns.values(), *filter(None, others)]
    for name in names or ():
        if name not in file.names:
            raise TableError(f"{path.name} has no column {name!r}.")
    table = file.read(names, progress=True)
    coords = coordinates(table, columns, where=path.name)
    group = columns.get("group")
    names_of_groups = None if group is None else groups(table[group], group, where=path.name)
    return ReadPhotos(table, columns, coords, names_of_groups)


def read_features(path: Path, n_rows: int, photos: Path) -> Any:
    """Memory map of image features (n_rows, n_features)."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        feats = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = "" if "pickle" in str(error) else f" ({error})"  # numpy's advice to unpickle it
        raise ValueError(f"{path} is no .npy file of features{reason}.") from error
    if not isinstance(feats, np.ndarray) or feats.ndim != 2:
        raise ValueError(
            f"{path} must hold one row of features per photo in a .npy file; its shape is "
            f"{getattr(feats, 'shape', 'that of an .npz archive')}."
        )
    if len(feats) != n_rows:
        raise ValueError(
            f"{path} must hold one row of features for each of the {n_rows} photos of {photos}; "
            f"it has {len(feats)}."
        )
    return feats


def check_output(path: Path, suffixes: Sequence[str], *inputs: str | Path | None) -> None:
    """Refuse what cannot be written, or would replace an input, before any work is done."""
    if table_suffix(path) not in suffixes:
        raise ValueError(f"The output must end in {', '.join(suffixes)}; got {path}.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to write {path.name} to.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise PermissionError(f"{path} cannot be written.")
    refuse_input(path, *inputs)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show what goes on, and for how long, once it takes more than two seconds; only in a terminal."""
    from tqdm import tqdm

    bar = tqdm(
        desc=what,
        bar_format="{desc} {elapsed}",
        delay=2,
        leave=False,
        disable=None,
    )
    done = threading.Event()

    def refresh() -> None:
        pause = 2.0
        while not done.wait(pause):
            bar.refresh()
            pause = 1.0

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        bar.close()


@contextmanager
def cluster(scheduler: str) -> Iterator[None]:
    """Workers at an address, or of this machine (``local``), for as long as a command takes."""
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ImportError(
            "--dask needs Dask, which is not installed: pip install '.[dask]' in the source folder."
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
