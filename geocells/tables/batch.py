"""Some rows of a table, with their numbers in its file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from geocells._types import IntArray
from geocells.tables.errors import LostRow


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
