"""The queue of a download: a row per photo in SQLite, exported to ``ledger.parquet`` at the end.

Every finished photo is one transaction of ``queue.sqlite`` (write-ahead log), so a kill at any
moment leaves the queue readable and costs only the photos under way. A run that ends in order
exports the queue and removes it; the next run takes the ledger up again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from geoloc_models.download.download_options import State
from geoloc_models.download.store import StoredImage, safe_name
from geoloc_models.errors import GeolocError, reason_of
from geoloc_models.files import replacing

LEDGER = "ledger.parquet"
QUEUE = "queue.sqlite"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("status", pa.int16()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("path", pa.string()),
        ("attempts", pa.int16()),
        ("time", pa.timestamp("ms", tz="UTC")),
    ]
)

_COLUMNS = ", ".join(SCHEMA.names)
_ROWS_AT_A_TIME = 100_000
_CACHE_KB = 65_536
# `position` is the row in the table, NULL for photos of earlier tables.
_CREATE = f"""
    CREATE TABLE photos (name TEXT PRIMARY KEY, position INTEGER,
        waiting INTEGER NOT NULL DEFAULT 0, {_COLUMNS});
    CREATE INDEX by_position ON photos (position);
    PRAGMA user_version = 1;
"""
# The tar file that a photo lies in, if it lies in one.
_SHARD_OF_PATH = "substr(path, 1, instr(path, '.tar/') + 3)"


@dataclass(frozen=True)
class PhotoRecord:
    """A row of the ledger.

    Parameters
    ----------
    id, url : str
        The photo, as the table names it; a table may lack a photo's URL.
    state : State
        How its download ended.
    reason : str
        Why it is not ``ok``, in a few words.
    status : int, optional
        Last HTTP status; None where no server answered.
    bytes, width, height : int, optional
        Size in bytes and pixels of the image as stored.
    path : str, optional
        Where it lies, relative to the ledger's folder; ``shards/00012.tar/NAME.jpg`` is a member of
        a tar file.
    attempts : int
        How often it was tried; redirects belong to the attempt that met them.
    time : datetime
        When it ended, in UTC, to the millisecond; by default now.
    """

    id: str
    url: str | None
    state: State
    reason: str = ""
    status: int | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    path: str | None = None
    attempts: int = 0
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


class QueuedPhoto(NamedTuple):
    """A photo of the table: its row (from 1), id, file name and URL."""

    position: int
    id: str
    name: str
    url: str | None


class DownloadQueue:
    """All photos of a folder with their states.

    Parameters
    ----------
    folder : path
        The output folder. What ``queue.sqlite`` or, without it, ``ledger.parquet`` holds is gone on
        with.

    Raises
    ------
    GeolocError
        If one of these files is there but damaged, or no ledger.

    Notes
    -----
    Methods may be called from any thread, one at a time.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._db = _open(folder / QUEUE)
        try:
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                if not _is_filled(self._db):
                    for statement in _CREATE.split(";"):
                        self._db.execute(statement)
                    self._import_ledger()
        except BaseException:
            self._db.close()
            raise

    def _import_ledger(self) -> None:
        if not (self._folder / LEDGER).exists():
            return
        marks = ", ".join("?" * (len(SCHEMA) + 1))
        for batch in _open_parquet(self._folder).iter_batches(_ROWS_AT_A_TIME):
            table = pa.table(batch).cast(SCHEMA)
            time = table["time"].cast(pa.int64())
            columns = [c.to_pylist() for c in (*table.drop_columns("time").columns, time)]
            names = map(safe_name, columns[0])
            self._db.executemany(
                f"INSERT OR REPLACE INTO photos (name, {_COLUMNS}) VALUES ({marks})",
                zip(names, *columns, strict=True),
            )

    def fill(self, batches: Iterable[Sequence[QueuedPhoto]], retry: Sequence[str] = ()) -> int:
        """Put all photos of a table into the queue; those without a state wait.

        Parameters
        ----------
        batches : iterable of sequences of QueuedPhoto
            The whole table.
        retry : sequence of str
            States whose photos wait again.

        Returns
        -------
        int
            Photos of the table.

        Raises
        ------
        GeolocError
            If two photos share an id.
        """
        n_photos = 0
        with self._db:
            self._db.execute("UPDATE photos SET position = NULL, waiting = 0")
            for batch in batches:
                n_photos += len(batch)
                changed = self._db.executemany(
                    "INSERT INTO photos (position, id, name, url) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET position = excluded.position, "
                    "url = excluded.url WHERE position IS NULL",
                    batch,
                )
                if changed.rowcount != len(batch):
                    self._raise_repeated(batch)
            marks = ", ".join("?" * len(retry))
            self._db.execute(
                "UPDATE photos SET waiting = 1 WHERE position IS NOT NULL "
                f"AND (state IS NULL OR state IN ({marks}))",
                tuple(retry),
            )
        return n_photos

    def _raise_repeated(self, batch: Sequence[QueuedPhoto]) -> None:
        for photo in batch:
            first = self._value("SELECT position FROM photos WHERE name = ?", photo.name)
            if first != photo.position:
                raise GeolocError(
                    f"Every photo needs an id of its own; rows {first} and "
                    f"{photo.position} share one ({photo.id}). Remove the repeated rows."
                )

    def shards(self) -> set[str]:
        """Tar files, as paths from the folder, in which photos are ``ok``."""
        query = f"SELECT DISTINCT {_SHARD_OF_PATH} FROM photos WHERE state = 'ok'"
        return {shard for (shard,) in self._db.execute(query)}

    def compare(
        self, images: Iterable[StoredImage], unread_shards: Iterable[str]
    ) -> tuple[int, list[tuple[str, str | None, StoredImage]]]:
        """Compare the queue with what is on disk; photos whose image is lost wait again.

        Parameters
        ----------
        images : iterable of StoredImage
            All images on disk but those in ``unread_shards``.
        unread_shards : iterable of str
            Tar files whose photos are where the queue has them.

        Returns
        -------
        n_lost : int
            Photos of the table that were ``ok`` and are not there any more.
        found : list of (id, URL, StoredImage)
            Photos of the table that are there, and not ``ok``.
        """
        db = self._db
        db.execute("CREATE TEMP TABLE found (name TEXT PRIMARY KEY, path, bytes, width, height)")
        db.execute("CREATE TEMP TABLE unread (shard TEXT PRIMARY KEY)")
        with db:
            db.executemany("INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?)", images)
            db.executemany("INSERT INTO unread VALUES (?)", ((shard,) for shard in unread_shards))
            n_lost = db.execute(
                "UPDATE photos SET state = NULL, waiting = 1 "
                "WHERE position IS NOT NULL AND state = 'ok' AND NOT EXISTS "
                "(SELECT 1 FROM found WHERE found.name = photos.name AND found.path = photos.path) "
                f"AND {_SHARD_OF_PATH} NOT IN (SELECT shard FROM unread)"
            ).rowcount
        rows = db.execute(
            "SELECT id, url, found.* FROM photos JOIN found USING (name) "
            "WHERE position IS NOT NULL AND state IS NOT 'ok'"
        ).fetchall()
        db.execute("DROP TABLE found")
        db.execute("DROP TABLE unread")
        return n_lost, [(row[0], row[1], StoredImage(*row[2:])) for row in rows]

    def waiting(self, after: int, n: int) -> list[QueuedPhoto]:
        """The next ``n`` photos that wait, after row ``after`` of the table."""
        query = (
            "SELECT position, id, name, url FROM photos "
            "WHERE waiting AND position > ? ORDER BY position LIMIT ?"
        )
        return [QueuedPhoto(*row) for row in self._db.execute(query, (after, n))]

    def finish(self, records: Iterable[PhotoRecord]) -> int:
        """Write how photos ended, all or none; they wait no longer. The number of records."""
        assignments = ", ".join(f"{name} = :{name}" for name in SCHEMA.names)
        with self._db:
            changed = self._db.executemany(
                f"UPDATE photos SET waiting = 0, {assignments} WHERE name = :name",
                map(_values, records),
            )
        return changed.rowcount

    def n_waiting(self) -> int:
        """Photos that are still to be fetched."""
        return int(self._value("SELECT count(*) FROM photos WHERE waiting"))

    def counts(self) -> dict[State, int]:
        """Photos of the table in each state."""
        query = "SELECT state, count(*) FROM photos WHERE position IS NOT NULL GROUP BY state"
        counted = dict(self._db.execute(query).fetchall())
        return {state: int(counted.get(str(state), 0)) for state in State}

    def bytes_on_disk(self) -> int:
        """Sum of the sizes of all images in the folder."""
        return int(self._value("SELECT coalesce(sum(bytes), 0) FROM photos WHERE state = 'ok'"))

    def paths(self, start: int, stop: int) -> dict[int, str]:
        """Paths of the images that are there, by row of the table, for rows start to stop - 1."""
        query = (
            "SELECT position, path FROM photos WHERE position >= ? AND position < ? "
            "AND state = 'ok'"
        )
        return dict(self._db.execute(query, (start, stop)).fetchall())

    def export(self) -> None:
        """Write ``ledger.parquet``, atomically."""
        with (
            replacing(self._folder / LEDGER) as partial,
            pq.ParquetWriter(partial, SCHEMA) as writer,
        ):
            for batch in _batches(self._db):
                writer.write_batch(batch)

    def close(self, *, remove: bool = False) -> None:
        """Close the queue; with ``remove``, after an export, its files go too."""
        self._db.close()
        if remove:
            for ending in ("-wal", "-shm", ""):
                (self._folder / f"{QUEUE}{ending}").unlink(missing_ok=True)

    def _value(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()[0]


def read_ledger(folder: str | Path) -> pa.Table:
    r"""Ledger of a download, even one that is under way, was killed, or filled its disk.

    Parameters
    ----------
    folder : path
        The download's output folder.

    Returns
    -------
    pyarrow.Table
        One row per finished photo, the columns of :class:`PhotoRecord`.

    Raises
    ------
    GeolocError
        If there is no ledger, or it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from geoloc_models.download import download_photos, read_ledger
    >>> _ = Path("urls.csv").write_text("id,url\n1,ftp://example.org/1.jpg\n")
    >>> _ = download_photos("urls.csv", "ledger")
    >>> read_ledger("ledger")["state"].to_pylist()
    ['refused']
    """
    folder = Path(folder)
    if (folder / QUEUE).exists():
        with closing(_open(folder / QUEUE)) as db:
            if _is_filled(db):
                return pa.Table.from_batches(_batches(db), SCHEMA)
    if not (folder / LEDGER).exists():
        raise GeolocError(f"There is no ledger in {folder}; `geoloc download` writes one.")
    return _open_parquet(folder).read().cast(SCHEMA)


def _open(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level="IMMEDIATE", check_same_thread=False, timeout=60)
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        db.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise GeolocError(
            f"{file} cannot be read ({error}). Remove it: the images on disk are then counted again."
        ) from error
    return db


def _is_filled(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA user_version").fetchone()[0] == 1)


def _batches(db: sqlite3.Connection) -> Iterator[pa.RecordBatch]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM photos WHERE state IS NOT NULL ORDER BY rowid")
    while part := list(islice(rows, _ROWS_AT_A_TIME)):
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*part, strict=True), SCHEMA, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _values(record: PhotoRecord) -> dict[str, Any]:
    time = int(record.time.timestamp() * 1000)
    name = safe_name(record.id)
    return {**asdict(record), "state": str(record.state), "time": time, "name": name}


def _open_parquet(folder: Path) -> pq.ParquetFile:
    file = folder / LEDGER
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise GeolocError(
            f"{file} cannot be read ({reason_of(error)}). Remove it: the images on disk are "
            "then counted again, and photos that were gone are asked for again."
        ) from error
    if parquet.schema_arrow.names != SCHEMA.names:
        raise GeolocError(f"{file} is no ledger of a download. Choose another output folder.")
    return parquet
