"""Rows of Parquet and GeoParquet, in batches that fit into memory whatever the file says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geocells.tables.columns import candidates, check_names
from geocells.tables.geometry import AXES, with_axes
from geocells.tables.rows import Batch, TableError, check_unpacked
from geocells.tables.table_file import TableFile

PARQUET = (".parquet", ".pq", ".geoparquet")
_BATCH_ROWS = 1 << 17
_BATCH_BYTES = 32 << 20
_BYTES_OF_TYPE = {
    "BOOLEAN": 0.125, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4,
}  # fmt: skip


def open_parquet(path: Path) -> TableFile:
    """Find the columns of a Parquet file, and its column of points if it has no coordinates in numbers."""
    with damage_of_parquet(path):
        schema = pq.read_schema(path)
    names, metadata = list(schema.names), dict(schema.metadata or {})
    check_names(names, path.name)
    points = None
    if b"geo" in metadata and not all(candidates(names, role) for role in AXES):
        with damage_of_parquet(path):
            points = str(json.loads(metadata[b"geo"])["primary_column"])
        names = [*(name for name in names if name not in AXES), *AXES]
    read = partial(_batches, path, points, metadata)
    return TableFile(path, tuple(names), read, metadata, points)


def _batches(
    path: Path, points: str | None, metadata: Mapping[bytes, bytes], columns: list[str] | None
) -> Iterator[Batch]:
    stored = columns
    if points is not None and columns is not None and set(AXES) & set(columns):
        stored = list(dict.fromkeys([*(c for c in columns if c not in AXES), points]))
    with damage_of_parquet(path):
        n_rows, n_read = max(pq.read_metadata(path).num_rows, 1), 0
        n_bytes = path.stat().st_size
        for part in parquet_batches(path, stored):
            part.validate(full=True)  # text that is no UTF-8 is found here
            table = pa.Table.from_batches([part])
            if points is not None:
                table = with_axes(table, points, metadata, path.name, n_read)
                table = table if columns is None else table.select(columns)
            batch = Batch.from_start(table, n_read, n_bytes * n_read // n_rows)
            n_read += part.num_rows
            yield batch
        if not n_read:
            yield Batch.from_start(pq.ParquetFile(path).read(columns=stored).slice(0, 0), 0)


@contextmanager
def damage_of_parquet(path: Path) -> Iterator[None]:
    """Raise what a damaged Parquet file causes as one sentence."""
    try:
        yield
    except TableError:
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise TableError(
            f"{path.name} cannot be read as Parquet ({reason}). Write it again."
        ) from error


def parquet_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file; what they take in memory is looked at before they are decoded.

    Parameters
    ----------
    path : Path
    columns : sequence of str, optional
        By default all.

    Raises
    ------
    TableError
        As :func:`check_unpacked`, or if the file is damaged.

    Notes
    -----
    The file's metadata tell how many values there are. A text that is stored once may stand in every row: the longest
    of them bounds the rows of a batch, and the bytes of all batches are added up.
    """
    with damage_of_parquet(path), pq.ParquetFile(path) as file:
        names = set(file.schema_arrow.names if columns is None else columns)
        leaves = [
            (number, leaf)
            for number, leaf in enumerate(map(file.schema.column, range(len(file.schema))))
            if leaf.path.split(".")[0] in names
        ]
        n_bytes, n_a_row = 0.0, 1
        for place in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(place)
            for number, leaf in leaves:
                n_values = group.num_rows
                if leaf.max_repetition_level:
                    # Read first: Arrow ends the process where a column's metadata alone are asked for and are damaged.
                    next(file.iter_batches(1, row_groups=[place], columns=[leaf.path]), None)
                    n_values = group.column(number).num_values
                n_bytes += n_values * _BYTES_OF_TYPE.get(leaf.physical_type, leaf.length)
                n_a_row = max(n_a_row, n_values // max(group.num_rows, 1))  # more than 1 in lists
        check_unpacked(path, n_bytes)
        texts = [leaf.path for _, leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        bytes_a_row = n_a_row * _longest_stored_once(path, texts)
        n_rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // bytes_a_row))
        n_bytes = 0
        for batch in file.iter_batches(n_rows, columns=None if columns is None else list(columns)):
            n_bytes += batch.nbytes
            check_unpacked(path, n_bytes)
            yield batch


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file whole; see :func:`parquet_batches`."""
    with damage_of_parquet(path):
        schema = pq.read_schema(path)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns], schema.metadata)
    return pa.Table.from_batches(list(parquet_batches(path, columns)), schema)


def _longest_stored_once(path: Path, texts: list[str]) -> int:
    """Bytes of the longest text in each column's dictionaries, summed over the columns; at least 1."""
    longest = 1
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for group in range(file.metadata.num_row_groups if texts else 0):
            # With its first row comes the whole dictionary of a row group.
            first = next(file.iter_batches(1, row_groups=[group], columns=texts), None)
            longest = max(longest, sum(map(_longest, first.columns if first else ())))
    return longest


def _longest(column: pa.Array) -> int:
    while pa.types.is_nested(column.type) and not pa.types.is_dictionary(column.type):
        column = column.values if hasattr(column, "values") else column.field(0)
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    return int(pc.max(pc.binary_length(column.dictionary)).as_py())
