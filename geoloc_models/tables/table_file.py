"""Files of tables, read whole: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.tables.line_blocks import line_blocks

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = {".jsonl", ".ndjson"}
_PARQUET = {".parquet", ".pq", ".geoparquet"}
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}
_NOT_A_NUMBER = ["", "na", "NA", "n/a", "N/A", "nan", "NaN", "NAN", "null", "NULL", "None"]


def _kind(source: Path) -> str:
    suffixes = [suffix.lower() for suffix in source.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind not in {*_DELIMITERS, *_JSON_LINES, *_PARQUET}:
        raise GeolocError(
            f"{source.name} is of no known kind. Name a .csv, .tsv, .csv.gz, .jsonl or .parquet "
            "file."
        )
    return kind


def read_column_names(source: Path) -> list[str]:
    """Names of the columns of a file; a :class:`GeolocError` where it is missing or no table."""
    if not source.exists():
        raise GeolocError(f"There is no file {source}. Check the path to the table of photos.")
    if source.is_dir():
        raise GeolocError(f"{source} is a folder. Name the table file in it.")
    kind = _kind(source)
    if kind in _PARQUET:
        try:
            return list(pq.read_schema(source).names)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(source, "Parquet", error) from error
    if kind in _JSON_LINES:
        return [str(name) for name in _read_json_lines(source, nrows=1).columns]
    columns = [str(name) for name in _read_text(source, nrows=0).columns]
    if len(columns) == 1:
        used = next((mark for mark in ";\t|," if mark in columns[0]), None)
        if used is not None:
            raise GeolocError(
                f"{source.name} is read with {_DELIMITERS[kind]!r} between its columns but seems "
                f"to use {used!r}. Save it with commas as .csv, or with tabs as .tsv."
            )
    return columns


def read_columns(
    source: Path, columns: list[str], names: list[str], used: dict[str, str]
) -> pd.DataFrame:
    """Columns ``names`` of a file with ``columns``; ``used`` says which hold the coordinates."""
    if _kind(source) in _PARQUET:
        try:
            # The index that pandas may have left in the file is not the number of a row.
            table = _as_text(pq.read_table(source, columns=names)).replace_schema_metadata()
            table.validate(full=True)  # text that is no UTF-8 is found here, not somewhere later
            frame: pd.DataFrame = table.to_pandas()
            return frame
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(source, "Parquet", error) from error
    if _kind(source) in _JSON_LINES:
        return _read_json_lines(source).reindex(columns=names)
    numbers = {used["latitude"], used["longitude"]}
    # All columns are read, since with usecols pandas does not notice rows that are too long: a
    # decimal comma would shift the longitude into the place of the latitude's digits.
    table = _read_text(
        source,
        dtype={name: "object" for name in columns if name not in numbers},
        # Only coordinates may be "NaN": in the country column, NA is Namibia.
        na_values={name: _NOT_A_NUMBER if name in numbers else [""] for name in columns},
        keep_default_na=False,
    )
    return table[names]


def _as_text(table: pa.Table) -> pa.Table:
    """Columns of bytes as columns of text; ArrowInvalid where they are no UTF-8."""
    for number, column in enumerate(table.schema):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            table = table.set_column(number, column.name, table[number].cast(pa.string()))
    return table


def _read_text(source: Path, **options: Any) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # A row with too many columns must not pass with its end cut off.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                source,
                sep=_DELIMITERS[_kind(source)],
                encoding="utf-8-sig",
                index_col=False,
                low_memory=False,
                **options,
            )
            return frame
    except pd.errors.EmptyDataError as error:
        raise GeolocError(
            f"{source.name} is empty. It needs a header line and at least one photo."
        ) from error
    except UnicodeDecodeError as error:
        raise GeolocError(f"{source.name} is not UTF-8 text. Save it as UTF-8.") from error
    except (pd.errors.ParserWarning, ValueError, OSError, EOFError) as error:
        raise _unreadable(source, "CSV", error) from error
    except Exception as error:  # damaged archives: zlib.error, lzma.LZMAError, ...
        raise _unreadable(source, "compressed CSV", error) from error


def _read_json_lines(source: Path, nrows: int | None = None) -> pd.DataFrame:
    lines = (line for block in line_blocks(source) for line in block.text.splitlines())
    filled = (line for line in lines if line.strip())
    try:
        rows = [json.loads(line) for line in itertools.islice(filled, nrows)]
        return pd.DataFrame.from_records(rows)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(source, "JSON lines", error) from error


def _unreadable(source: Path, kind: str, error: Exception) -> GeolocError:
    reason = reason_of(error)
    return GeolocError(f"{source.name} cannot be read as {kind} ({reason}). Write it again.")
