"""The ledger: a Parquet file with a row per photo, and the journal of what came after it.

Every finished photo becomes one line of ``journal.jsonl``. Now and then, at the start and at the
end, the journal is merged into ``ledger.parquet``, which is written beside its target and renamed;
then the journal is removed. A kill at any moment leaves the two readable: a half line at the
journal's end counts for nothing, and a line that was merged already changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models._files import replacing
from geoloc_models.download.index import CODE_OF_STATE, PhotoIndex
from geoloc_models.download.names import safe_name
from geoloc_models.download.record import PhotoRecord, State
from geoloc_models.download.storage import Storage

logger = logging.getLogger(__name__)

LEDGER = "ledger.parquet"
JOURNAL = "journal.jsonl"
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

_LINES_AT_A_TIME = 50_000
_ROWS_AT_A_TIME = 131_072
_SHORTEST_JOURNAL, _LONGEST_JOURNAL = 100_000, 1_000_000


class Ledger:
    """State of every photo that a folder's downloads are through with.

    Parameters
    ----------
    folder : path
        The output folder.

    Raises
    ------
    GeolocError
        If ``ledger.parquet`` is there but no ledger.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._journal: Any = None
        self._end = 0
        self._n_lines = 0
        self._n_rows = _open_parquet(folder).metadata.num_rows if self._file.exists() else 0

    @property
    def _file(self) -> Path:
        return self._folder / LEDGER

    @property
    def is_due(self) -> bool:
        """Whether the journal has become long enough to be merged.

        A quarter of the ledger, within 100 000 and a million lines: so the merging stays a small
        part of the work, and of the memory.
        """
        longest = min(max(_SHORTEST_JOURNAL, self._n_rows // 4), _LONGEST_JOURNAL)
        return self._n_lines >= longest

    def append(self, record: PhotoRecord) -> None:
        """Add a line to the journal; it is the system's before the call returns."""
        if self._journal is None:
            self._journal = (self._folder / JOURNAL).open("ab", buffering=0)
            self._end = self._journal.tell()
        line = _as_line(record)
        try:
            view = memoryview(line)
            while view:
                view = view[self._journal.write(view) :]
        except OSError:
            with suppress(OSError):
                self._journal.truncate(self._end)
            raise
        self._end += len(line)
        self._n_lines += 1

    def merge(self) -> None:
        """Merge the journal into the Parquet file, atomically, and remove it."""
        self.close()
        journal = self._folder / JOURNAL
        if not journal.exists():
            return
        news = read_journal(self._folder)
        with replacing(self._file) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
            n_rows = 0
            for table in _without(self._file, news["id"]):
                writer.write_table(table)
                n_rows += table.num_rows
            writer.write_table(news, row_group_size=_ROWS_AT_A_TIME)
        journal.unlink()
        self._n_rows = n_rows + news.num_rows
        self._n_lines = 0

    def close(self) -> None:
        """Close the journal; the next line opens it again."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def load(self, index: PhotoIndex, storage: Storage) -> None:
        """Fill an index with the states and places of its photos; merge first."""
        if not self._file.exists():
            return
        parquet = _open_parquet(self._folder)
        for batch in parquet.iter_batches(_ROWS_AT_A_TIME, columns=["id", "state", "path"]):
            position = index.positions([safe_name(key) for key in batch["id"].to_pylist()])
            code = pd.Series(batch["state"].to_pylist()).map(CODE_OF_STATE)
            paths = pc.fill_null(batch["path"], "").to_pylist()
            known = (position >= 0) & code.notna().to_numpy()
            index.state[position[known]] = code.to_numpy()[known].astype(np.uint8)
            stored = known & np.array([path != "" for path in paths], dtype=bool)
            places = storage.places_of([paths[k] for k in np.flatnonzero(stored)])
            index.place[position[stored]] = places

    def bytes_on_disk(self) -> int:
        """Sum of the stored images' sizes; merge first."""
        if not self._file.exists():
            return 0
        batches = _open_parquet(self._folder).iter_batches(columns=["state", "bytes"])
        return sum(
            pc.sum(batch["bytes"].filter(pc.equal(batch["state"], "ok"))).as_py() or 0
            for batch in batches
        )


def read_ledger(folder: str | Path) -> pa.Table:
    """Ledger of a download, even one that is under way, was killed, or filled its disk.

    Parameters
    ----------
    folder : path
        The download's output folder.

    Returns
    -------
    pyarrow.Table
        One row per finished photo, the columns of :class:`PhotoRecord`: what ``ledger.parquet``
        holds, brought up to date by the journal.

    Raises
    ------
    GeolocError
        If there is no ledger, or it cannot be read.
    """
    folder = Path(folder)
    if not (folder / LEDGER).exists() and not (folder / JOURNAL).exists():
        raise GeolocError(f"There is no ledger in {folder}; `geoloc download` writes one.")
    news = read_journal(folder)
    return pa.concat_tables([*_without(folder / LEDGER, news["id"]), news])


def read_journal(folder: Path) -> pa.Table:
    """Journal of a folder, the last line of each photo; whatever is no whole line is left out."""
    journal = folder / JOURNAL
    tables = [SCHEMA.empty_table()]
    if journal.exists():
        with journal.open("rb") as file:
            while lines := list(islice(file, _LINES_AT_A_TIME)):
                tables.append(_as_table([row for row in map(_as_row, lines) if row is not None]))
    news = pa.concat_tables(tables)
    is_last = ~pd.Series(news["id"].to_pylist(), dtype=object).duplicated(keep="last")
    return news.filter(pa.array(is_last.to_numpy(dtype=bool)))


def _without(file: Path, ids: pa.ChunkedArray) -> Iterator[pa.Table]:
    """Rows of a ledger, in parts, save those of these photos."""
    if not file.exists():
        return
    new_ids = pd.Index(ids.to_pylist(), dtype=object)
    for batch in _open_parquet(file.parent).iter_batches(_ROWS_AT_A_TIME):
        table = pa.Table.from_batches([batch])
        if len(new_ids):
            old_ids = np.array(table["id"].to_pylist(), dtype=object)
            table = table.filter(pa.array(new_ids.get_indexer(old_ids) < 0))
        yield table.cast(SCHEMA)


def _open_parquet(folder: Path) -> pq.ParquetFile:
    file = folder / LEDGER
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        reason = reason_of(error)
        raise GeolocError(
            f"{file} cannot be read ({reason}). Remove it, and the images on disk are counted "
            "anew; what was found gone is asked for again."
        ) from error
    if parquet.schema_arrow.names != SCHEMA.names:
        raise GeolocError(f"{file} is no ledger of a download. Choose another output folder.")
    return parquet


def _as_line(record: PhotoRecord) -> bytes:
    content = {name: getattr(record, name) for name in SCHEMA.names}
    if record.time is not None:
        content["time"] = record.time.isoformat(timespec="milliseconds")
    return json.dumps(content, ensure_ascii=True).encode("ascii") + b"\n"


def _as_row(line: bytes) -> dict[str, Any] | None:
    """Fields of a line; None for half a line, and for one that a fault of the disk garbled."""
    if not line.endswith(b"\n"):
        return None
    try:
        row: dict[str, Any] = json.loads(line)
        row["time"] = datetime.fromisoformat(row["time"]) if row["time"] else None
        row["state"] = str(State(row["state"]))
        row["id"], row["path"] = str(row["id"]), row["path"]
    except (ValueError, TypeError, KeyError):
        logger.warning("A line of %s cannot be read; its photo is tried again.", JOURNAL)
        return None
    return row


def _as_table(rows: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowException, OverflowError, TypeError):
        if len(rows) <= 1:
            return SCHEMA.empty_table()
        half = len(rows) // 2  # the one row that does not fit is left out
        return pa.concat_tables([_as_table(rows[:half]), _as_table(rows[half:])])
