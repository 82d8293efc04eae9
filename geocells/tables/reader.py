"""The one reader of tables: CSV and other delimited text, JSON lines, Parquet, GeoParquet, GeoJSON."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from geocells.tables.columns import check_names
from geocells.tables.delimited import (
    DelimitedParser,
    delimiter_of,
    fields_of,
    looks_like_a_row,
)
from geocells.tables.geometry import open_geojson
from geocells.tables.json_lines import JsonLinesParser, keys_of
from geocells.tables.parquet import PARQUET, open_parquet
from geocells.tables.rows import Batch, TableError
from geocells.tables.table_file import TableFile
from geocells.tables.text import BLOCK_BYTES, COMPRESSED, text_blocks

_JSON = (".jsonl", ".ndjson", ".json")

Header = bool | Callable[[list[str]], Sequence[str] | None]


def open_table(
    path: str | Path,
    *,
    quoting: bool = True,
    delimiter: str | None = None,
    header: Header = True,
    encoding: str | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> TableFile:
    """Find the layout of a table of any size.

    Parameters
    ----------
    path : path
        Delimited text (``.csv``, ``.tsv``, ``.txt``, ...), JSON lines (``.jsonl``), either also ``.gz``, ``.bz2``,
        ``.xz``, ``.zst`` or the one file of a ``.zip``; ``.parquet``, GeoParquet of points; ``.geojson`` of points.
    quoting : bool
        Double quotes enclose texts. Files of GBIF and databases hold them as plain characters: False.
    delimiter : str, optional
        Between columns; by default a comma in ``.csv``, a tab in ``.tsv``, else what the first line uses.
    header : bool or callable
        Whether the first line names the columns; without one they are 1, 2, 3, ... A callable gets the fields of the
        first line and returns the names of a file without header, or None.
    encoding : str, optional
        Of text, such as ``latin-1``; by default UTF-8, or UTF-16 with a byte-order mark.
    block_bytes : int
        About how much text is held at a time; the result does not depend on it.

    Raises
    ------
    TableError
        If the file is missing, damaged, empty or no table, or two columns have one name.
    """
    path = Path(path)
    if not path.exists():
        raise TableError(f"There is no file {path}.")
    if path.is_dir():
        raise TableError(f"{path} is a folder. Name the table in it.")
    if not path.is_file():
        raise TableError(f"{path} is a pipe, but a table is read twice. Save it as a file.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in PARQUET:
        return open_parquet(path)
    if suffix == ".geojson":
        return open_geojson(path)
    first = _first_line(path, encoding)
    blocks = partial(text_blocks, path, block_bytes=block_bytes, encoding=encoding)
    if suffix in _JSON or first.lstrip()[:1] == "{":
        return _open_json(path, first, blocks)
    delimiter = delimiter or delimiter_of(first, suffix)
    fields = fields_of(first, delimiter, quoting=quoting)
    if not fields or "\r" in first:
        raise TableError(
            f"The first line of {path.name} cannot be split into columns. Save the file with a line feed at the end "
            "of each line."
        )
    given = _names(fields, header, path.name)
    names = [name.strip() for name in fields] if given is None else given
    check_names(given or [], path.name)

    def read(columns: list[str] | None) -> Iterator[Batch]:
        parser = DelimitedParser(path.name, names, delimiter, quoting, int(given is None), columns)
        return (parser.parse(*block) for block in blocks())

    return TableFile(path, tuple(names), read)


def read_table(
    path: str | Path, *, quoting: bool = True, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a table whole.

    Parameters
    ----------
    path : path
        See :func:`open_table`.
    quoting : bool
        Double quotes enclose texts.
    columns : sequence of str, optional
        Columns to read; by default all.

    Returns
    -------
    table : Table
        Row i is row i + 1 of the file. Columns of text files are text, as it stands in the file; those of Parquet keep
        their types, and the schema keeps the metadata of pandas and GeoPandas.

    Raises
    ------
    TableError
        If the file is missing, damaged or empty, or one of its lines is no row; the message names the line.

    Examples
    --------
    >>> from geocells.tables import coordinates, find_columns, read_table
    >>> table = read_table("photos.csv")
    >>> columns = find_columns(table.column_names, {"latitude": None, "longitude": None})
    >>> coordinates(table, columns).shape
    (160, 2)
    """
    return open_table(path, quoting=quoting).read(columns)


def _first_line(path: Path, encoding: str | None) -> str:
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise TableError(f"There is no encoding {encoding!r}. Try latin-1.") from None
    blocks = text_blocks(path, block_bytes=1 << 16, encoding=encoding)
    text, _, _ = next(blocks, (b"", 0, True))
    blocks.close()  # type: ignore[attr-defined]
    if not text.strip():
        raise TableError(f"{path.name} is empty. It needs a header line and at least one photo.")
    if b"\0" in text[:4096]:
        raise TableError(
            f"{path.name} is not a table of text, JSON lines or Parquet. Save it as UTF-8 text."
        )
    line = text.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise TableError(
            f"The first line of {path.name} is not UTF-8 text. Save the file as UTF-8."
        ) from None


def _names(fields: list[str], header: Header, name: str) -> list[str] | None:
    """Names of columns without a header; None where the first line holds them."""
    if callable(header):
        given = header(fields)
        return None if given is None else list(given)
    if not header:
        return [str(number + 1) for number in range(len(fields))]
    if looks_like_a_row(fields):
        raise TableError(
            f"{name} seems to have no header line (its first line starts with {', '.join(fields[:4])!r}). Add one that "
            "names the columns; `geoloc select` also takes --no-header or a preset."
        )
    check_names([field.strip() for field in fields if field.strip()], name)
    return None


def _open_json(
    path: Path, first: str, blocks: Callable[[], Iterator[tuple[bytes, int, bool]]]
) -> TableFile:
    if first.lstrip().startswith("["):
        raise TableError(
            f"{path.name} is one JSON array. Write one object a line (jq -c '.[]' does that)."
        )
    keys: dict[str, None] = {}
    for text, _, _ in blocks():
        keys_of(text, keys)
    if not keys:
        raise TableError(
            f"{path.name} does not hold one JSON object a line (line 1: {first[:40]!r})."
        )

    def read(columns: list[str] | None) -> Iterator[Batch]:
        parser = JsonLinesParser(path, list(keys) if columns is None else columns)
        return (parser.parse(*block) for block in blocks())

    return TableFile(path, tuple(keys), read)
