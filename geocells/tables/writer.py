"""Tables written as they were read, with the columns that a command adds."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from geocells.array_types import FloatArray
from geocells.files import replacing
from geocells.tables.parquet import PARQUET
from geocells.tables.rows import TableError

WRITABLE = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".geojson")
"""Endings that :func:`write_table` knows."""


def table_suffix(path: str | Path) -> str:
    """Ending of a table's name, with that of its compression: ``.csv.gz``."""
    name = Path(path).name.lower()
    return next((s for s in WRITABLE if name.endswith(s)), Path(name).suffix)


def write_table(table: pa.Table, path: str | Path, *, coords: FloatArray | None = None) -> None:
    """Write a table whole or not at all.

    Parameters
    ----------
    table : Table
        As :func:`~geocells.tables.read_table` gives it, perhaps with further columns. Text is written as it stands to
        delimited files; Parquet keeps types, the index columns of pandas and the metadata of GeoParquet.
    path : path
        Ends in ``.csv``, ``.tsv`` (either also ``.gz``), ``.parquet`` or ``.geojson``.
    coords : ndarray (n, 2) float64, optional
        Latitude, longitude of the points of GeoJSON.

    Raises
    ------
    TableError
        If the file's ending is another.
    """
    suffix = table_suffix(path)
    if suffix not in WRITABLE and suffix not in PARQUET:
        raise TableError(f"A table is written as {', '.join(WRITABLE)}; got {Path(path).name}.")
    with replacing(path) as draft:
        if suffix in PARQUET:
            pq.write_table(table, draft)
        elif suffix == ".geojson":
            _write_geojson(table, draft, coords)
        else:
            opener: Any = gzip.open if suffix.endswith(".gz") else open
            with opener(draft, "wb") as stream:
                _write_text(table, stream, "\t" if suffix.startswith(".tsv") else ",")


def write_batches(tables: Iterable[pa.Table], path: str | Path) -> None:
    """Write tables that follow each other as one Parquet file, whole or not at all; the first gives the schema."""
    with replacing(path) as draft, ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(draft, table.schema, compression="zstd")
                stack.enter_context(writer)
            writer.write_table(table.cast(writer.schema))


def with_column(table: pa.Table, name: str, column: pa.ChunkedArray | pa.Array) -> pa.Table:
    """Table with a column replaced, in its place, or added."""
    if name not in table.column_names:
        return table.append_column(name, column)
    return table.set_column(table.column_names.index(name), name, column)


def _write_text(table: pa.Table, stream: Any, delimiter: str) -> None:
    """Values in quotes only where they need them."""
    writer = csv.writer(_Encoded(stream), delimiter=delimiter, lineterminator="\n")
    writer.writerow(table.column_names)
    options = pyarrow.csv.WriteOptions(
        include_header=False, delimiter=delimiter, quoting_style="none"
    )
    for batch in table.to_batches(max_chunksize=1 << 16):
        plain = pa.Table.from_batches([batch])
        nested = [n for n, f in enumerate(plain.schema) if pa.types.is_nested(f.type)]
        for number in nested:
            values = pa.array([str(value) for value in plain[number].to_pylist()])
            plain = plain.set_column(number, plain.column_names[number], values)
        text = pa.BufferOutputStream()
        try:
            pyarrow.csv.write_csv(plain, text, options)
            stream.write(text.getvalue())
        except pa.ArrowInvalid:  # a value with a delimiter, a quote or a line break
            columns = [column.to_pylist() for column in plain.columns]
            writer.writerows(zip(*columns, strict=True))


class _Encoded:
    """A text stream for the csv module, over one of bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write text as UTF-8."""
        self._stream.write(text.encode())


def _write_geojson(table: pa.Table, draft: Path, coords: FloatArray | None) -> None:
    import geopandas as gpd

    if coords is None:
        raise TableError("GeoJSON needs coordinates.")
    frame = table.replace_schema_metadata(None).to_pandas()
    frame = frame.drop(columns=[name for name in frame.columns if name == "geometry"])
    points = gpd.points_from_xy(coords[:, 1], coords[:, 0], crs=4326)
    content = io.BytesIO()  # GDAL itself says nothing of a disk that is full
    gpd.GeoDataFrame(frame, geometry=points).to_file(content, driver="GeoJSON")
    draft.write_bytes(content.getbuffer())
