"""``download_photos``: what lies on disk, the run, and what is left behind in order."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, write_json
from geoloc_models.download.index import CODE_OF_STATE, FOUND, UNTRIED, PhotoIndex
from geoloc_models.download.ledger import Ledger
from geoloc_models.download.options import DownloadOptions
from geoloc_models.download.photos import PhotoRows
from geoloc_models.download.storage import FolderStorage, Storage
from geoloc_models.download.summary import DownloadSummary
from geoloc_models.download.tar_shards import TarStorage

if TYPE_CHECKING:
    from geoloc_models.download.addresses import Resolver

TABLE = "photos.parquet"
OPTIONS = "download.json"

_LOCK = ".download.lock"
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])

Progress = Callable[[int, int], None]


def download_photos(
    table: str | Path,
    output: str | Path,
    options: DownloadOptions | None = None,
    *,
    progress: Progress | None = None,
    resolve: Resolver | None = None,
) -> DownloadSummary:
    """Fetch the photos of a table; those that an earlier run fetched stay as they are.

    Parameters
    ----------
    table : path
        Parquet with the columns ``id`` (unique) and ``url``, one row per photo; others are kept.
    output : path
        Folder for the images, ``ledger.parquet`` and ``photos.parquet``: the table's rows whose
        image is there, with ``path`` relative to the folder.
    options : DownloadOptions, optional
        All choices; by default the careful ones.
    progress : callable, optional
        Called as ``progress(n_new, n_left)`` with the photos just finished and, first, with 0 and
        the number of photos to do.
    resolve : async callable, optional
        ``resolve(host, port)`` gives addresses as text, in the place of the system's resolver.

    Returns
    -------
    DownloadSummary
        Photos in each state, the dead share, bytes and time.

    Raises
    ------
    GeolocError
        If the table or the folder does not fit, httpx is not installed, or the disk is full. The
        ledger is readable even then.
    KeyboardInterrupt
        When it is interrupted; all is in order, the ledger merged and ``photos.parquet`` written.

    Notes
    -----
    Memory: 13 bytes a photo, and about 23 at most (measured from 2 to 8 million photos); besides,
    what ``parallel`` requests hold, at most ``max_bytes`` each before decoding.
    """
    _check_httpx()
    options = options or DownloadOptions()
    folder = Path(output)
    rows = PhotoRows(Path(table))
    if Path(table).resolve() == (folder / TABLE).resolve():
        raise GeolocError(
            f"{table} is what the download itself writes; name the table that it came from, or "
            "another output folder."
        )
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            return _download(rows, folder, options, progress, resolve)


def _download(
    rows: PhotoRows,
    folder: Path,
    options: DownloadOptions,
    progress: Progress | None,
    resolve: Resolver | None,
) -> DownloadSummary:
    from geoloc_models.download.fetching import Fetching

    start = time.monotonic()
    for leftover in folder.glob(".part-*"):
        leftover.unlink(missing_ok=True)
    _check_same_files(folder, options)
    storage: Storage = (
        FolderStorage(folder)
        if options.shard_size is None
        else TarStorage(folder, options.shard_size)
    )
    ledger = Ledger(folder)
    ledger.merge()
    index = PhotoIndex(rows.names, rows.n_rows)
    ledger.load(index, storage)
    n_lost = storage.survey(index)
    for state in options.retry:
        index.state[index.state == CODE_OF_STATE[state]] = UNTRIED
    n_left = int(np.count_nonzero((index.state == UNTRIED) | (index.state == FOUND)))
    tell = progress or (lambda n_new, n_left: None)
    tell(0, n_left)
    fetching = Fetching(
        rows, index, storage, ledger, options, progress=lambda n: tell(n, 0), resolve=resolve
    )

    def finish(*, is_interrupted: bool) -> DownloadSummary:
        storage.close()
        ledger.merge()
        index.state[index.state == FOUND] = UNTRIED
        rows.write_fetched(folder / TABLE, index, storage)
        return DownloadSummary(
            n_photos=rows.n_rows,
            counts=index.counts(),
            n_now=fetching.n_now,
            n_fetched_now=fetching.n_fetched_now,
            n_recovered=fetching.n_recovered,
            n_lost=n_lost,
            bytes_on_disk=ledger.bytes_on_disk(),
            seconds=time.monotonic() - start,
            table=folder / TABLE,
            is_interrupted=is_interrupted,
        )

    try:
        if n_left:
            _run_to_end(fetching.run)
    except KeyboardInterrupt:
        finish(is_interrupted=True)
        raise
    except BaseException:
        # A full disk may refuse these as well; then the journal keeps what they would have told.
        with suppress(OSError):
            storage.close()
        with suppress(OSError):
            ledger.merge()
        raise
    finally:
        ledger.close()
    return finish(is_interrupted=False)


def _run_to_end(work: Callable[[], Any]) -> None:
    """Run a coroutine, inside a notebook too, whose own event loop is at work."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()


def _check_httpx() -> None:
    try:
        import httpx  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise GeolocError(
            f"A download needs the package {error.name}; run: pip install "
            "'geocells[download,models]'."
        ) from None


def _check_same_files(folder: Path, options: DownloadOptions) -> None:
    """Refuse to mix images of two kinds in one folder."""
    chosen = options.of_files()
    if not (folder / OPTIONS).exists():
        write_json(folder / OPTIONS, chosen)
        return
    before = read_json(folder / OPTIONS)
    for name, value in chosen.items():
        if not isinstance(before, dict) or before.get(name) != value:
            raise GeolocError(
                f"The images in {folder} were begun with "
                f"{name}={before.get(name) if isinstance(before, dict) else before!r}, and now "
                f"{name} is {value}. Go on with the same choice, or take another output folder."
            )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise GeolocError(
            f"The disk that holds {folder} is full ({error.strerror}); everything fetched so far "
            "is kept in the ledger. Make room, then run the same command again to go on."
        ) from error


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep a second download out of the folder; the lock ends with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GeolocError(
                f"Another download is at work in {folder}; wait for it, or take another folder."
            ) from None
        yield
