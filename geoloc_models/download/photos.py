"""The table of photos, read and written in batches: it may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models._files import replacing
from geoloc_models.download.index import OK, PhotoIndex
from geoloc_models.download.names import safe_name
from geoloc_models.download.storage import Storage

_BATCH = 16_384
_ABOUT = ("latitude", "longitude", "country")


@dataclass(frozen=True)
class PhotoBatch:
    """Ids, file names and URLs of some photos, and what else a shard's JSON says of each."""

    ids: list[str]
    names: list[str]
    urls: list[str | None]
    about: list[dict[str, Any]]


class PhotoRows:
    """Rows of a Parquet table with the columns ``id`` and ``url``.

    Parameters
    ----------
    path : path
        The table.

    Raises
    ------
    GeolocError
        If it cannot be read as Parquet, or lacks a column.
    """

    def __init__(self, path: Path):
        self._path = path
        if not path.is_file():
            raise GeolocError(f"There is no file {path}.")
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise GeolocError(
                f"{path.name} cannot be read as Parquet. `geoloc select` makes a table of photos "
                "from metadata in other formats."
            ) from error
        missing = [column for column in ("id", "url") if column not in schema.names]
        if missing:
            raise GeolocError(
                f"{path.name} has no column {' and no column '.join(map(repr, missing))} (columns "
                f"there: {', '.join(map(repr, schema.names))}). A download needs every photo's id "
                "and url; `geoloc select` writes them."
            )
        self._schema = schema
        self.n_rows: int = pq.read_metadata(path).num_rows

    def names(self) -> Iterator[list[str]]:
        """File names of all photos, in batches."""
        row = 0
        for batch in self._batches(["id"]):
            yield [safe_name(key) for key in self._ids(batch, row)]
            row += batch.num_rows

    def batches(self) -> Iterator[PhotoBatch]:
        """All photos, in batches."""
        others = [column for column in _ABOUT if column in self._schema.names]
        row = 0
        for batch in self._batches(["id", "url", *others]):
            ids = self._ids(batch, row)
            urls = batch.column("url").cast(pa.string()).to_pylist()
            about = batch.select(others).to_pylist() if others else [{} for _ in ids]
            yield PhotoBatch(ids, [safe_name(key) for key in ids], urls, about)
            row += batch.num_rows

    def write_fetched(self, path: Path, index: PhotoIndex, storage: Storage) -> int:
        """Write the rows whose images are there, with a column ``path``; how many they are."""
        at = self._schema.get_field_index("path")
        schema = self._schema.remove(at) if at >= 0 else self._schema
        schema = schema.append(pa.field("path", pa.string()))
        n_rows = 0
        with replacing(path) as partial, pq.ParquetWriter(partial, schema) as writer:
            for batch in self._batches(None):
                names = [safe_name(key) for key in self._ids(batch, 0)]
                position = index.positions(names)
                is_there = index.state[position] == OK
                place = index.place[position]
                paths = [storage.path_of(names[k], place[k]) for k in np.flatnonzero(is_there)]
                table = pa.Table.from_batches([batch]).filter(pa.array(is_there))
                if at >= 0:
                    table = table.drop_columns(["path"])
                table = table.append_column("path", pa.array(paths, type=pa.string()))
                writer.write_table(table.cast(schema))
                n_rows += table.num_rows
        return n_rows

    def _batches(self, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        try:
            yield from pq.ParquetFile(self._path).iter_batches(_BATCH, columns=columns)
        except pa.ArrowException as error:
            reason = reason_of(error)
            raise GeolocError(f"{self._path.name} breaks off or is damaged ({reason}).") from error

    def _ids(self, batch: pa.RecordBatch, first_row: int) -> list[str]:
        ids = batch.column("id")
        if ids.null_count:
            row = first_row + int(pc.index(ids.is_null(), value=True).as_py()) + 1
            raise GeolocError(
                f"Every photo needs an id; row {row} of {self._path.name} has none. Fill in or "
                "remove such rows."
            )
        texts: list[str] = ids.cast(pa.string()).to_pylist()
        return texts
