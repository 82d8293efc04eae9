"""Rows of a table in batches, lines that are no rows, and the errors of a table that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from geocells.array_types import IntArray

WRONG_FIELDS = "another number of fields than the header"
UNBALANCED = "a double quote that is not closed"
HALF_WRITTEN = "half-written last line"
NOT_TEXT = "not UTF-8 text"
NOT_JSON = "not a JSON object"

LEAST_LIMIT = 128 << 20
MOST_TIMES = 100


class TableError(ValueError):
    """A table that cannot be read; the message names file, row, value and remedy."""


@dataclass(frozen=True)
class LostRow:
    """A line of a text file that is no row.

    Parameters
    ----------
    row : int
        Its number in the file; the first row below the header is 1.
    reason : str
        One of the constants of this module.
    text : str
        What the line holds.
    """

    row: int
    reason: str
    text: str

    def error(self, name: str) -> TableError:
        """Return the error for a reader that needs every row of the file ``name``."""
        remedy = {
            WRONG_FIELDS: "Write decimals with a point, and enclose texts that hold the delimiter in double quotes.",
            UNBALANCED: "Close it.",
            HALF_WRITTEN: "Complete or remove it.",
            NOT_TEXT: "Save the file as UTF-8.",
            NOT_JSON: "Write one JSON object a line.",
        }[self.reason]
        if '"' in self.text and self.reason in (WRONG_FIELDS, UNBALANCED):
            remedy += " If quotes are plain characters in this file, read it without quoting (--no-quoting)."
        verb = "has" if self.reason in (WRONG_FIELDS, UNBALANCED) else "is"
        article = "a " if self.reason == HALF_WRITTEN else ""
        return TableError(
            f"Row {self.row} of {name} {verb} {article}{self.reason}: {self.text[:80]!r}. {remedy}"
        )


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Parameters
    ----------
    table : Table
        The rows; all columns of a text file are text.
    rows : ndarray (n,) int64
        Their numbers in the file: the first row below the header is 1.
    lost : list of LostRow
        Lines between them that are no rows.
    bytes_read : int
        How far into the file reading has got.
    """

    table: pa.Table
    rows: IntArray
    lost: list[LostRow] = field(default_factory=list)
    bytes_read: int = 0

    @classmethod
    def from_start(cls, table: pa.Table, start: int, bytes_read: int = 0) -> Batch:
        """Rows that follow each other in the file, ``start`` rows before them."""
        rows = np.arange(start + 1, start + 1 + table.num_rows, dtype=np.int64)
        return cls(table, rows, [], bytes_read)


def check_unpacked(path: Path, n_bytes: float) -> None:
    """Refuse a file that unpacks to more than 128 MB and more than 100 times its own size.

    A small one of the same rows again and again must not fill memory.

    Raises
    ------
    TableError
        If ``n_bytes`` are more than that.
    """
    size = path.stat().st_size
    if n_bytes > max(LEAST_LIMIT, MOST_TIMES * size):
        raise TableError(
            f"{path.name} has {size:,} bytes, which unpack to {n_bytes:,.0f} or more, as in a file made to fill "
            "memory. If you trust it, save it as uncompressed CSV."
        )
