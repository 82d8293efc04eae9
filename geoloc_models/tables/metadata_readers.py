"""Rows of metadata files, a batch at a time: one reader for each kind of file."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.tables.line_blocks import BLOCK_BYTES, COMPRESSED, line_blocks
from geoloc_models.tables.metadata_json import json_names, json_rows
from geoloc_models.tables.metadata_reasons import HALF_WRITTEN, NOT_TEXT, UNBALANCED, WRONG_FIELDS
from geoloc_models.tables.presets import Columns, Preset, find_columns, plain_name

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq", ".geoparquet")
_JSON = (".jsonl", ".ndjson", ".json")
_BATCH_ROWS = 1 << 17


@dataclass(frozen=True)
class Batch:
    """Rows as they are in the file.

    Parameters
    ----------
    rows : Table
        Columns named as in the file, only those asked for; text, or numbers as Parquet and JSON
        have them.
    lost : Counter
        Lines that were no rows: their number for each reason.
    bytes_read : int
        How far into the file reading has got.
    """

    rows: pa.Table
    lost: Counter[str]
    bytes_read: int


@dataclass(frozen=True)
class ReadOptions:
    """How files are read; see :func:`~geoloc_models.tables.select.select_photos`."""

    preset: Preset | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    multiline: bool = False
    block_bytes: int = BLOCK_BYTES
    needed: tuple[str, ...] = ("latitude", "longitude")


@dataclass(frozen=True)
class MetadataFile:
    """One file, its layout found, its rows not yet read."""

    path: Path
    kind: str
    names: tuple[str, ...]
    columns: Columns
    delimiter: str
    n_header_lines: int
    options: ReadOptions

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size

    def batches(self) -> Iterator[Batch]:
        """All rows, in order."""
        if self.kind == "parquet":
            return _parquet_batches(self)
        return _json_batches(self) if self.kind == "json" else _delimited_batches(self)


def metadata_files(paths: list[str | Path], options: ReadOptions) -> list[MetadataFile]:
    """Open files and folders of Parquet files, and find their columns.

    Raises
    ------
    GeolocError
        If one is missing, of another kind, empty, not text, or lacks a column.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for kind in _PARQUET for p in path.rglob(f"*{kind}"))
            if not inside:
                raise GeolocError(
                    f"There are no .parquet files in the folder {path}. Name the files themselves."
                )
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise GeolocError(f"There is no file {path}. Check the path to the metadata.")
    if not files:
        raise GeolocError("Name at least one file of metadata.")
    return [_open(path, options) for path in files]


def _open(path: Path, options: ReadOptions) -> MetadataFile:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _PARQUET:
        with _one_sentence(path):
            names = list(pq.read_schema(path).names)
        return _found(path, "parquet", names, "", 0, options)
    first = _first_lines(path, options)
    if suffix in _JSON or first.lstrip()[:1] == "{":
        return _found(path, "json", json_names(path, first), "", 0, options)
    return _open_delimited(path, suffix, first, options)


def _found(
    path: Path, kind: str, names: list[str], delimiter: str, n_header: int, options: ReadOptions
) -> MetadataFile:
    columns = find_columns(names, options.columns, options.preset, path.name, options.needed)
    twice = next((name for name in columns.all if names.count(name) > 1), None)
    if twice is not None:
        raise GeolocError(f"{path.name} has the column {twice!r} twice. Rename one of them.")
    return MetadataFile(path, kind, tuple(names), columns, delimiter, n_header, options)


def _first_lines(path: Path, options: ReadOptions) -> str:
    """The first line, decoded."""
    blocks = line_blocks(path, block_bytes=1 << 16, encoding=options.encoding)
    text = next(blocks, None)
    blocks.close()  # type: ignore[attr-defined]
    if text is None or not text.text.strip():
        raise GeolocError(f"{path.name} is empty. It needs at least one row.")
    if text.text[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in text.text[:4096]:
        raise GeolocError(f"{path.name} is not UTF-8 text. If it is UTF-16, say --encoding utf-16.")
    line = text.text.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise GeolocError(
            f"The first line of {path.name} is not UTF-8 text. Save the file as UTF-8, or name its "
            "encoding (--encoding latin-1)."
        ) from None


def _open_delimited(path: Path, suffix: str, first: str, options: ReadOptions) -> MetadataFile:
    preset = options.preset
    delimiter = options.delimiter or (preset.delimiter if preset is not None else None)
    if delimiter is None:
        delimiter = _DELIMITERS.get(suffix) or max("\t,;|", key=first.count)
    fields = _fields(first, delimiter, _quotes(options))
    if not fields:
        raise GeolocError(
            f"The first line of {path.name} cannot be split into columns. Save the file with a line "
            "feed at the end of each line."
        )
    other = max("\t,;|", key=first.count)
    if len(fields) == 1 and other != delimiter and first.count(other) > 1:
        raise GeolocError(
            f"{path.name} is read with {delimiter!r} between its columns but seems to use "
            f"{other!r}. Say so by --delimiter {_shown(other)}."
        )
    headers = preset.headers if preset is not None else {}
    has_header = options.header
    if has_header is None:
        has_header = preset is None or preset.header == "yes"
        if preset is not None and preset.header == "maybe":
            known = {plain_name(name) for names in preset.columns.values() for name in names}
            has_header = any(plain_name(name) in known for name in fields)
    if has_header:
        if _looks_like_a_row(fields):
            raise GeolocError(
                f"{path.name} seems to have no header line (its first line starts with "
                f"{', '.join(fields[:4])!r}). Say --no-header, and name columns by number, or name "
                "a preset."
            )
        names = [name.strip() for name in fields]
    elif headers:
        if len(fields) not in headers:
            assert preset is not None
            raise GeolocError(
                f"{path.name} has {len(fields)} columns between {_shown(delimiter)}; "
                f"{preset.title} has {' or '.join(map(str, headers))}. Check the preset."
            )
        names = list(headers[len(fields)])
    else:
        names = [str(number + 1) for number in range(len(fields))]
    return _found(path, "delimited", names, delimiter, int(has_header), options)


def _quotes(options: ReadOptions) -> bool:
    return options.preset is None or options.preset.quotes


def _looks_like_a_row(fields: list[str]) -> bool:
    """Two or more plain numbers with a fraction: coordinates, not names of columns."""
    n_numbers = 0
    for text in fields:
        try:
            float(text)
            n_numbers += "." in text
        except ValueError:
            continue
    return n_numbers >= 2


def _fields(line: str, delimiter: str, quotes: bool) -> list[str]:
    if not quotes:
        return line.split(delimiter)
    try:
        return next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    except csv.Error:  # a carriage return inside a line, or a field of more than 128 KB
        return []


def _delimited_batches(file: MetadataFile) -> Iterator[Batch]:
    options = file.options
    quotes = _quotes(options)
    # With quotes and no multi-line texts, a stray quote must not swallow the lines below it.
    quoted_lines = quotes and options.multiline
    blocks = line_blocks(
        file.path,
        block_bytes=options.block_bytes,
        quoted_lines=quoted_lines,
        encoding=options.encoding,
    )
    to_skip = file.n_header_lines
    for number, block in enumerate(blocks):
        text, lost = block.text, Counter[str]()
        if number == 0:
            text = text.removeprefix(b"\xef\xbb\xbf")
        while to_skip and text:
            line, _, text = text.partition(b"\n")
            to_skip -= bool(line.strip())
        if text and block.cut_off:
            text, lost = _without_half_line(text, file, quotes)
        rows = _parsed(text, file, quotes, quoted_lines, lost)
        yield Batch(rows, lost, block.bytes_read)


def _without_half_line(text: bytes, file: MetadataFile, quotes: bool) -> tuple[bytes, Counter[str]]:
    """A last line without its end stays only if all fields are there and none can be cut short.

    Where the last field is a coordinate, nobody can tell 18.06 from the start of 18.0686.
    """
    start = text.rfind(b"\n") + 1
    line = text[start:].decode("utf-8", "replace")
    last = file.names[-1]
    coordinates = {file.columns.of_role.get(role) for role in ("latitude", "longitude")}
    whole = len(_fields(line, file.delimiter, quotes)) == len(file.names)
    if not line.strip() or (whole and last not in coordinates):
        return text + b"\n", Counter()
    return text[:start], Counter({HALF_WRITTEN: 1})


def _parsed(
    text: bytes, file: MetadataFile, quotes: bool, quoted_lines: bool, lost: Counter[str]
) -> pa.Table:
    rows, n_wrong = _parse(text, file, quotes)
    n_lines = text.count(b"\n")
    if quotes and not quoted_lines and (n_wrong or rows.num_rows != n_lines) and b'"' in text:
        # Perhaps a quote that is open at the end of its line: each line is looked at.
        lines = [line for line in text.splitlines(keepends=True) if line.strip()]
        closed = [line for line in lines if line.count(b'"') % 2 == 0]
        rows, n_wrong = _parse(b"".join(closed), file, quotes)
        lost[UNBALANCED] += len(lines) - len(closed)
        n_wrong = len(closed) - rows.num_rows
    lost[WRONG_FIELDS] += n_wrong
    return _with_valid_text(rows, lost)


def _parse(text: bytes, file: MetadataFile, quotes: bool) -> tuple[pa.Table, int]:
    """Columns as bytes, and the number of rows with another number of fields."""
    wanted = file.columns.all
    if not text or text.isspace():
        return pa.table({name: pa.array([], pa.binary()) for name in wanted}), 0
    text, n_lost = _without_wrong_lines_of_no_text(text, file, quotes)
    wrong: list[int] = []

    def skip(_: Any) -> str:
        wrong.append(1)
        return "skip"

    for block_size in (1 << 20, len(text) + 1):
        wrong.clear()
        try:
            rows = pyarrow.csv.read_csv(
                pa.BufferReader(text),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=list(file.names), block_size=block_size
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=file.delimiter,
                    quote_char='"' if quotes else False,
                    newlines_in_values=file.options.multiline and quotes,
                    invalid_row_handler=skip,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types={name: pa.binary() for name in wanted},
                ),
            )
            return rows, n_lost + len(wrong)
        except pa.ArrowInvalid as error:
            failure = error
    raise GeolocError(
        f"{file.path.name} cannot be read as a table ({' '.join(str(failure).split())})."
    )


def _without_wrong_lines_of_no_text(
    text: bytes, file: MetadataFile, quotes: bool
) -> tuple[bytes, int]:
    """Text without lines that are neither UTF-8 nor of the right number of fields, and how many.

    The parser, asked to skip such a line, cannot even tell of it.
    """
    if _is_utf8(text) or (quotes and file.options.multiline):
        return text, 0
    lines = text.splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if _is_utf8(line)
        or len(_fields(line.decode("utf-8", "replace").rstrip("\r\n"), file.delimiter, quotes))
        == len(file.names)
    ]
    return b"".join(kept), len(lines) - len(kept)


def _with_valid_text(rows: pa.Table, lost: Counter[str]) -> pa.Table:
    try:
        return pa.table({name: rows[name].cast(pa.string()) for name in rows.column_names})
    except pa.ArrowInvalid:
        valid = [True] * rows.num_rows
        for name in rows.column_names:
            for row, value in enumerate(rows[name].to_pylist()):
                valid[row] = valid[row] and _is_utf8(value)
        kept = rows.filter(pa.array(valid))
        lost[NOT_TEXT] += rows.num_rows - kept.num_rows
        return pa.table({name: kept[name].cast(pa.string()) for name in kept.column_names})


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _json_batches(file: MetadataFile) -> Iterator[Batch]:
    blocks = line_blocks(
        file.path, block_bytes=file.options.block_bytes, encoding=file.options.encoding
    )
    kinds = None
    for block in blocks:
        rows, lost, kinds = json_rows(block.text, block.cut_off, file.columns.all, kinds)
        yield Batch(rows, lost, block.bytes_read)


def _parquet_batches(file: MetadataFile) -> Iterator[Batch]:
    with _one_sentence(file.path), pq.ParquetFile(file.path) as source:
        n_rows = max(source.metadata.num_rows, 1)
        n_read = 0
        for batch in source.iter_batches(_BATCH_ROWS, columns=file.columns.all):
            n_read += batch.num_rows
            batch.validate(full=True)  # text that is no UTF-8
            yield Batch(
                pa.Table.from_batches([batch]),
                Counter(),
                int(file.n_bytes * n_read / n_rows),
            )


class _one_sentence:  # noqa: N801  (a context manager)
    """Damage in a Parquet file becomes one sentence."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, OSError | pa.ArrowException) and not isinstance(error, GeolocError):
            reason = reason_of(error)
            raise GeolocError(
                f"{self.path.name} cannot be read as Parquet ({reason}). Write it again."
            ) from error


def as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values of any plain type as strings without blanks around them; empty ones are missing."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not pa.types.is_string(values.type):
        try:
            values = values.cast(pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            values = pa.chunked_array(
                [pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())]
            )
    values = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.equal(pc.binary_length(values), 0), None, values)


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else f"'{delimiter}'"
