"""``download_photos``: what lies on disk, the run, and what is left behind in order."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from geocells.tables import TableFile, ids, open_table, texts, write_batches
from geoloc_models.download.download_options import DownloadOptions, State
from geoloc_models.download.queue import DownloadQueue, PhotoRecord, QueuedPhoto
from geoloc_models.download.store import FolderStore, StoredImage, TarStore, safe_name
from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.files import locked, read_json, write_json
from geoloc_models.photos.opening import open_header
from geoloc_models.tables.photo_ids import refuse_missing

if TYPE_CHECKING:
    from geoloc_models.download.addresses import Resolver

TABLE = "photos.parquet"
OPTIONS = "download.json"

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
# SQLite tells a limit on file size (EFBIG) as an error of input and output.
_SQLITE_FULL = frozenset([sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
_SQLITE_PRIMARY = 0xFF

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DownloadSummary:
    """Outcome of a download.

    Parameters
    ----------
    n_photos : int
        Photos of the table.
    counts : dict
        Photos in each state, earlier runs included.
    n_now, n_fetched_now : int
        Photos that this run finished, and those of them whose image is there.
    n_recovered : int
        Images of a killed run that the queue did not list.
    n_lost : int
        Images that the queue lists but that are gone.
    bytes_on_disk : int
        Size of all images in the folder.
    seconds : float
        How long this run took.
    table : path
        The table of fetched photos.

    Examples
    --------
    >>> from geoloc_models.download import DownloadSummary, State
    >>> counts = {State.OK: 6, State.GONE: 2}
    >>> DownloadSummary(8, counts, 8, 6, 0, 0, 90_000, 1.5, "photos.parquet").dead_share
    0.25
    """

    n_photos: int
    counts: dict[State, int]
    n_now: int
    n_fetched_now: int
    n_recovered: int
    n_lost: int
    bytes_on_disk: int
    seconds: float
    table: Path

    @property
    def n_done(self) -> int:
        """Photos that have a state."""
        return sum(self.counts.values())

    @property
    def dead_share(self) -> float:
        """Share of gone photos among those that have a state, 0 to 1; 0 where none has."""
        return self.counts[State.GONE] / self.n_done if self.n_done else 0.0

    def text(self) -> str:
        """Lines for a reader."""
        width = len(f"{self.n_photos:,}")
        lines = [f"{'photos':<16} {self.n_photos:>{width},}"]
        for state in State:
            words = "refused address" if state == State.REFUSED else state.replace("_", " ")
            share = 100 * self.counts[state] / self.n_photos if self.n_photos else 0.0
            lines.append(f"{words:<16} {self.counts[state]:>{width},}  {share:5.1f} %")
        n_left = self.n_photos - self.n_done
        if n_left:
            lines.append(f"{'not tried yet':<16} {n_left:>{width},}")
        lines.append("")
        lines.append(f"Dead share: {100 * self.dead_share:.1f} % of {_photos(self.n_done)} tried.")
        lines.append(f"On disk: {self.bytes_on_disk / 1e6:,.1f} MB of images.")
        if self.n_recovered:
            lines.append(
                f"{_photos(self.n_recovered)} fetched by a run that was cut off, and kept."
            )
        if self.n_lost:
            lines.append(f"{_photos(self.n_lost)} in the ledger but not on disk: asked for again.")
        if self.counts[State.FAILED]:
            lines.append("--retry failed asks for those that failed again.")
        rate = self.n_now / self.seconds if self.seconds else 0.0
        lines.append(
            f"This run: {_photos(self.n_now)}, {self.n_fetched_now:,} of them fetched, in "
            f"{self.seconds:.1f} s ({rate:.1f} a second)."
        )
        return "\n".join(lines)


def download_photos(
    table: str | Path,
    output: str | Path,
    options: DownloadOptions | None = None,
    *,
    id_column: str | None = None,
    url_column: str | None = None,
    quoting: bool = True,
    progress: Progress | None = None,
    resolve: Resolver | None = None,
) -> DownloadSummary:
    r"""Fetch the photos of a table; those that an earlier run fetched stay as they are.

    Parameters
    ----------
    table : path
        Table that :func:`geocells.tables.open_table` reads, with an id and a URL for each photo; its
        other columns are kept.
    output : path
        Folder for the images, ``ledger.parquet`` and ``photos.parquet``: the table's rows whose
        image is there, with ``path`` relative to the folder.
    options : DownloadOptions, optional
        All choices; by default the careful ones.
    id_column, url_column : str, optional
        Their columns; by default ``id`` and ``url``, or others of the usual names.
    quoting : bool
        Double quotes enclose texts; not so in files of GBIF.
    progress : callable, optional
        Called as ``progress(n_done, n_in_all)`` before the first photo and after each one.
    resolve : async callable, optional
        ``resolve(host, port)`` gives addresses as text, in the place of the system's resolver.

    Returns
    -------
    DownloadSummary
        Photos in each state, the dead share, bytes and time.

    Raises
    ------
    ValueError
        If the table or the folder does not fit, or the disk is full. The ledger is readable even
        then.
    ImportError
        If aiohttp is not installed.
    KeyboardInterrupt
        When it is interrupted; the ledger and ``photos.parquet`` are written first.

    Notes
    -----
    The queue takes about 140 bytes a photo on disk. Memory: 64 MB, and ``max_bytes`` at most for each of ``parallel``
    requests.

    Examples
    --------
    >>> from pathlib import Path
    >>> from geoloc_models.download import download_photos
    >>> _ = Path("urls.csv").write_text("id,url\n1,ftp://example.org/1.jpg\n")
    >>> summary = download_photos("urls.csv", "images")  # neither http nor https
    >>> {state.value: n for state, n in summary.counts.items() if n}
    {'refused': 1}
    """
    from geoloc_models.download.fetching import Fetching  # needs aiohttp

    options = options or DownloadOptions()
    folder = Path(output)
    file = open_table(table, quoting=quoting)
    rows = _PhotoRows(file, id_column, url_column)
    if Path(table).resolve() == (folder / TABLE).resolve():
        raise GeolocError(
            f"{table} is what the download itself writes; name the table that it came from, or "
            "another output folder."
        )
    report = progress or (lambda n_done, n_in_all: None)
    start = time.monotonic()
    with _disk_errors(folder), _open_folder(folder, options) as (queue, store):
        n_photos = queue.fill(rows.batches(), options.retry)
        images, unread_shards = store.scan(queue.shards() if options.shard_size else ())
        n_lost, downloaded = queue.compare(images, unread_shards)
        n_recovered = queue.finish(_found_records(downloaded, folder))
        n_left = queue.n_waiting()
        report(0, n_left)
        fetching = Fetching(
            queue, store, options, progress=lambda n: report(n, n_left), resolve=resolve
        )
        interruption = None
        try:
            if n_left:
                _run_to_end(fetching.run)
        except KeyboardInterrupt as error:
            interruption = error
        store.close()
        write_batches(rows.fetched(queue), folder / TABLE)
        queue.export()
        summary = DownloadSummary(
            n_photos=n_photos,
            counts=queue.counts(),
            n_now=fetching.n_now,
            n_fetched_now=fetching.n_fetched_now,
            n_recovered=n_recovered,
            n_lost=n_lost,
            bytes_on_disk=queue.bytes_on_disk(),
            seconds=time.monotonic() - start,
            table=folder / TABLE,
        )
        queue.close(remove=True)
        if interruption is not None:
            raise interruption
        return summary


@contextmanager
def _open_folder(
    folder: Path, options: DownloadOptions
) -> Iterator[tuple[DownloadQueue, FolderStore | TarStore]]:
    """Queue and store of a folder, for one download at a time; closed whatever happens."""
    with locked(folder):
        _check_same_files(folder, options)
        size = options.shard_size
        store = FolderStore(folder) if size is None else TarStore(folder, size)
        with closing(DownloadQueue(folder)) as queue:
            try:
                yield queue, store
            except BaseException:
                with suppress(OSError):  # a full disk may refuse this; the queue has all states
                    store.close()
                raise


def _found_records(
    downloaded: list[tuple[str, str | None, StoredImage]], folder: Path
) -> Iterator[PhotoRecord]:
    """Records of images that a killed run stored before it could say so, if they are whole."""
    for photo_id, url, image in downloaded:
        sizes = image.bytes, image.width, image.height
        if image.width is None:  # a file, whose header tells
            try:
                with open_header(folder / image.path) as opened:
                    sizes = (folder / image.path).stat().st_size, *opened.size
            except (OSError, BrokenImageError):
                continue
        yield PhotoRecord(photo_id, url, State.OK, "found on disk", None, *sizes, image.path)


class _PhotoRows:
    """Rows of a table of photos, read in batches."""

    def __init__(self, file: TableFile, id_column: str | None, url_column: str | None):
        self._file = file
        given = {
            role: role if column is None and role in file.names else column
            for role, column in (("id", id_column), ("url", url_column))
        }
        self._columns = file.find_columns(given, needed=given)

    def batches(self) -> Iterator[list[QueuedPhoto]]:
        """All photos, in batches."""
        name = self._file.path.name
        for rows, table in self._batches(list(self._columns.values())):
            keys = ids(table[self._columns["id"]], where=name)
            refuse_missing(keys, "an id", name, rows)
            urls = texts(table[self._columns["url"]])
            yield [
                QueuedPhoto(row, key, safe_name(key), url)
                for row, key, url in zip(rows, keys.to_pylist(), urls.to_pylist(), strict=True)
            ]

    def fetched(self, queue: DownloadQueue) -> Iterator[pa.Table]:
        """The rows whose images are there, with a column ``path``, in tables that follow each other."""
        for rows, table in self._batches(None):
            others = [name for name in table.column_names if name != "path"]
            path_of_row = queue.paths(rows[0], rows[-1] + 1) if rows else {}
            paths = pa.array([path_of_row.get(row) for row in rows], pa.string())
            fetched = table.select(others).append_column("path", paths).filter(paths.is_valid())
            yield fetched.replace_schema_metadata(dict(self._file.metadata) or None)

    def _batches(self, columns: list[str] | None) -> Iterator[tuple[list[int], pa.Table]]:
        for batch in self._file.batches(columns):
            if batch.lost:
                raise batch.lost[0].error(self._file.path.name)
            yield batch.rows.tolist(), batch.table


def _run_to_end(work: Callable[[], Any]) -> None:
    """Run a coroutine, inside a notebook too, whose own event loop is at work."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()


def _check_same_files(folder: Path, options: DownloadOptions) -> None:
    """Refuse to mix images of two kinds in one folder."""
    chosen = options.shared_by_all_images()
    if not (folder / OPTIONS).exists():
        write_json(folder / OPTIONS, chosen)
        return
    before = read_json(folder / OPTIONS)
    for name, value in chosen.items():
        previous = before.get(name) if isinstance(before, dict) else before
        if previous != value:
            raise GeolocError(
                f"The images in {folder} were begun with {name}={previous!r}, and now {name} is "
                f"{value}. Keep that choice, or take another output folder."
            )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError):
            is_full, reason = error.errno in _FULL, error.strerror
        else:
            is_full, reason = error.sqlite_errorcode & _SQLITE_PRIMARY in _SQLITE_FULL, str(error)
        if not is_full:
            raise
        raise GeolocError(
            f"The disk that holds {folder} is full ({reason}); everything fetched so far is kept "
            "in the ledger. Make room, then run the same command again to continue."
        ) from error


def _photos(n: int) -> str:
    return "1 photo" if n == 1 else f"{n:,} photos"
