"""Rows of JSON lines: one object a line, every value as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from geocells.tables.rows import HALF_WRITTEN, NOT_JSON, NOT_TEXT, Batch, LostRow, check_unpacked


def keys_of(text: bytes, keys: dict[str, None]) -> None:
    """Add the keys of the objects of a block to ``keys``, in their order."""
    for line in text.split(b"\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            keys.update(dict.fromkeys(value))


class JsonLinesParser:
    """Turns blocks of whole lines into rows; numbers stay as they are written."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._path, self._columns = path, columns
        self._row = 0

    def parse(self, text: bytes, bytes_read: int, last: bool) -> Batch:
        """Rows of the next block; ``last`` says that no other follows."""
        lines = text.split(b"\n")
        # A key of one line is a column of all.
        check_unpacked(self._path, 4 * text.count(b"\n") * len(self._columns))
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        lost: list[LostRow] = []
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            self._row += 1
            reason = NOT_JSON
            try:
                row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            except UnicodeDecodeError:
                row, reason = None, NOT_TEXT
            except (ValueError, RecursionError):
                row = None
                if last and number == len(lines) - 1:
                    reason = HALF_WRITTEN
            if isinstance(row, dict):
                if any(isinstance(value, list | dict) for value in row.values()):
                    row |= {k: v for k, v in json.loads(line).items() if isinstance(v, list | dict)}
                rows.append(row)
                numbers.append(self._row)
            else:
                lost.append(LostRow(self._row, reason, line.decode("utf-8", "replace")))
        table = pa.table(
            {
                name: pa.array([_text(row.get(name)) for row in rows], pa.string())
                for name in self._columns
            }
        )
        return Batch(table, np.array(numbers, dtype=np.int64), lost, bytes_read)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        # Half of a surrogate pair, as "\ud83d", is not text.
        return value.encode("utf-8", "replace").decode()
    return json.dumps(value, ensure_ascii=False)
