"""Rows of CSV and other delimited text: a fast parser, and a careful one for what it refuses."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv

from geocells.tables.rows import (
    HALF_WRITTEN,
    NOT_TEXT,
    UNBALANCED,
    WRONG_FIELDS,
    Batch,
    LostRow,
    TableError,
)

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_MOST_LINES = 1000
_MOST_BYTES = 1 << 20
_SURPLUS = "\0surplus"


def fields_of(line: str, delimiter: str, *, quoting: bool) -> list[str]:
    """Fields of one line; none where it cannot be split."""
    if not quoting or '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter), [])
    except csv.Error:  # a carriage return inside a line, or a field of more than 128 KB
        return []


def delimiter_of(first_line: str, suffix: str) -> str:
    """What the file's ending says, or what the first line uses where that is not in it."""
    usual = _DELIMITERS.get(suffix)
    if usual is not None and usual in first_line:
        return usual
    used = max("\t,;|", key=first_line.count)
    return used if used in first_line else usual or ","


def looks_like_a_row(fields: Sequence[str]) -> bool:
    """Two or more plain numbers with a fraction: coordinates, not names of columns."""
    n_numbers = 0
    for text in fields:
        try:
            float(text)
        except ValueError:
            continue
        n_numbers += "." in text
    return n_numbers >= 2


@dataclass
class DelimitedParser:
    """Turns blocks of whole lines into rows.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    names : list of str
        Its columns.
    delimiter : str
    quoting : bool
        Double quotes enclose texts, which may hold line breaks.
    to_skip : int
        Lines of the header.
    columns : list of str or None
        Columns that are read; by default all.
    """

    name: str
    names: list[str]
    delimiter: str
    quoting: bool
    to_skip: int
    columns: list[str] | None = None

    def __post_init__(self) -> None:
        self._row = 0
        self._open = b""  # lines of a quoted text whose end is in the next block
        self._surplus: bool | None = None
        self._wanted = self.names if self.columns is None else self.columns

    def parse(self, text: bytes, bytes_read: int, last: bool) -> Batch:
        """Rows of the next block; ``last`` says that no other follows."""
        text = self._open + text
        while self.to_skip and text:
            line, _, text = text.partition(b"\n")
            self.to_skip -= bool(line.strip())
        if self._surplus is None and text.strip():
            self._surplus = self._has_surplus_delimiter(text)
        start = self._row
        table = None if self._needs_care(text, last) else self._read(text, text.count(b"\n"))
        if table is not None:
            self._row += table.num_rows
            self._open = b""
            return Batch.from_start(table, start, bytes_read)
        records, numbers, lost = self._records(text, last)
        table = self._read(b"\n".join(records) + b"\n", len(records)) if records else self._none()
        if table is None:
            raise TableError(
                f"{self.name} cannot be read as a table: its quotes and its line breaks do not match."
            )
        return Batch(table, np.array(numbers, dtype=np.int64), lost, bytes_read)

    def _has_surplus_delimiter(self, text: bytes) -> bool:
        """Whether the first row has one delimiter more than the header, with nothing behind it."""
        first = next(line for line in text.splitlines() if line.strip()).decode("utf-8", "replace")
        fields = fields_of(first, self.delimiter, quoting=self.quoting)
        return len(fields) == len(self.names) + 1 and not fields[-1]

    @property
    def _all_names(self) -> list[str]:
        return [*self.names, _SURPLUS] if self._surplus else self.names

    def _needs_care(self, text: bytes, last: bool) -> bool:
        if not _is_utf8(text) or (text and not text.endswith(b"\n")):
            return True
        if not self.quoting:
            return False
        final = text[text.rfind(b"\n", 0, -1) + 1 :]
        is_open = not last and b'"' in final and self._is_open(final)
        return is_open or text.count(b'"') % 2 == 1

    def _read(self, text: bytes, n_rows: int) -> pa.Table | None:
        """All rows by the fast parser; None where one is wrong or their number is not ``n_rows``."""
        if not text:
            return self._none()
        quoted = self.quoting and b'"' in text
        names = self._all_names
        wanted = [*self._wanted, _SURPLUS] if self._surplus else self._wanted
        # Memory of Arrow's own: a thread of its that lets go of Python's as the process ends would abort it.
        copied = pa.BufferOutputStream()
        copied.write(text)
        block_size = len(text) + 1 if quoted else 1 << 22
        quote = '"' if self.quoting else False
        as_text = {name: pa.string() for name in wanted}
        options = (
            pyarrow.csv.ReadOptions(column_names=names, block_size=block_size),
            pyarrow.csv.ParseOptions(
                delimiter=self.delimiter, quote_char=quote, newlines_in_values=quoted
            ),
            pyarrow.csv.ConvertOptions(include_columns=wanted, column_types=as_text),
        )
        try:
            table = pyarrow.csv.read_csv(pa.BufferReader(copied.getvalue()), *options)
        except pa.ArrowInvalid:
            return None
        if table.num_rows != n_rows:
            return None
        if self._surplus:
            if any(table[_SURPLUS].to_pylist()):
                return None
            table = table.drop_columns([_SURPLUS])
        return table

    def _none(self) -> pa.Table:
        return pa.table({name: pa.array([], pa.string()) for name in self._wanted})

    def _records(self, text: bytes, last: bool) -> tuple[list[bytes], list[int], list[LostRow]]:
        """Rows of the right number of fields, their numbers, and the lines that are none."""
        lines = text.split(b"\n")
        unfinished = bool(lines[-1])
        records: list[bytes] = []
        numbers: list[int] = []
        lost: list[LostRow] = []
        self._open = b""
        i = 0
        while i < len(lines):
            record, n_lines, reason = lines[i], 1, None
            if not record.strip(b"\r"):
                i += 1
                continue
            if self.quoting and b'"' in record and self._is_open(record):
                closed = self._closed(lines, i)
                if closed is None and not last and _may_close_later(lines, i):
                    self._open = b"\n".join(lines[i:])
                    break
                if closed is None:
                    reason = UNBALANCED
                else:
                    record, n_lines = closed
            self._row += 1
            i += n_lines
            if reason is None:
                reason = self._fault(record)
            if reason is not None and unfinished and i == len(lines):
                reason = NOT_TEXT if reason == NOT_TEXT else HALF_WRITTEN
            if reason is None:
                records.append(record)
                numbers.append(self._row)
            else:
                shown = record.decode("utf-8", "replace").rstrip("\r")
                lost.append(LostRow(self._row, reason, shown))
        return records, numbers, lost

    def _closed(self, lines: list[bytes], first: int) -> tuple[bytes, int] | None:
        """The whole row whose quoted text goes on below its first line, and its number of lines."""
        record = lines[first]
        for n_lines in range(2, min(_MOST_LINES, len(lines) - first) + 1):
            line = lines[first + n_lines - 1]
            record += b"\n" + line
            if len(record) > _MOST_BYTES:
                return None
            if b'"' in line and not self._is_open(record):
                try:
                    rows = self._rows(record)
                except csv.Error:
                    return None
                whole = len(rows) == 1 and len(rows[0]) == len(self._all_names)
                return (record, n_lines) if whole else None
        return None

    def _is_open(self, record: bytes) -> bool:
        """Whether a quoted text begins in a record and does not end in it."""
        try:
            self._rows(record.rstrip(b"\r\n"))
        except csv.Error as error:
            return "unexpected end of data" in str(error)
        return False

    def _rows(self, text: bytes, *, strict: bool = True) -> list[list[str]]:
        """Rows of a text as Python's reader has them."""
        stream = io.StringIO(text.decode("utf-8", "replace"), newline="")
        return list(csv.reader(stream, delimiter=self.delimiter, strict=strict))

    def _fault(self, record: bytes) -> str | None:
        if not _is_utf8(record):
            return NOT_TEXT
        if not self.quoting or b'"' not in record:
            n_fields = record.count(self.delimiter.encode()) + 1
            surplus = record.rstrip(b"\r").rsplit(self.delimiter.encode(), 1)[-1]
        else:
            fields = (self._rows(record.rstrip(b"\r"), strict=False) or [[""]])[0]
            n_fields, surplus = len(fields), fields[-1].encode()
        if n_fields != len(self._all_names) or (self._surplus and surplus):
            return WRONG_FIELDS
        return None


def _may_close_later(lines: list[bytes], first: int) -> bool:
    return len(lines) - first < _MOST_LINES and sum(map(len, lines[first:])) < _MOST_BYTES


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
