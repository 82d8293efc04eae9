"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from geoloc_models._errors import GeolocError
from geoloc_models.tables.metadata_reasons import HALF_WRITTEN, NOT_JSON, NOT_TEXT


def json_names(path: Path, first: str) -> list[str]:
    """Keys of the first object of a file."""
    if first.lstrip().startswith("["):
        raise GeolocError(
            f"{path.name} is one JSON array. Write one object a line (jq -c '.[]' does that)."
        )
    row = _json_object(first)
    if row is None:
        raise GeolocError(
            f"{path.name} does not hold one JSON object a line (line 1: {first[:40]!r})."
        )
    return list(row)


def json_rows(
    text: bytes, cut_off: bool, wanted: list[str], kinds: dict[str, pa.DataType] | None
) -> tuple[pa.Table, Counter[str], dict[str, pa.DataType]]:
    """Rows of a block of lines.

    Parameters
    ----------
    text : bytes
        Whole lines, save perhaps the last one.
    cut_off : bool
        Whether the last line has no end.
    wanted : list of str
        Keys.
    kinds : dict or None
        Types of the values, as an earlier block of the file gave them.

    Returns
    -------
    rows : Table
        Columns ``wanted``: text, or numbers.
    lost : Counter
        Lines that were no rows, for each reason.
    kinds : dict
        Types for the next block.
    """
    lines = [line for line in text.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    if kinds is None:
        first = _json_object(lines[0].decode("utf-8", "replace")) if lines else None
        kinds = {} if first is None else _kinds(first, wanted)
    rows = _read_at_once(b"\n".join(lines), kinds, wanted)
    if rows is not None and rows.num_rows == len(lines):
        return rows, Counter(), kinds
    return *_read_line_by_line(lines, cut_off, wanted), kinds


def _kinds(first: dict[str, Any], wanted: list[str]) -> dict[str, pa.DataType]:
    """Types by which lines can be read at once; none where a value is of another type."""
    kinds: dict[str, pa.DataType] = {}
    for name in wanted:
        value = first.get(name)
        if value is None or isinstance(value, str):
            kinds[name] = pa.string()
        elif isinstance(value, int) and not isinstance(value, bool):
            kinds[name] = pa.int64()
        elif isinstance(value, float):
            kinds[name] = pa.float64()
        else:
            return {}
    return kinds


def _read_at_once(text: bytes, kinds: dict[str, pa.DataType], wanted: list[str]) -> pa.Table | None:
    """All lines by a fast reader; None where one of them does not fit."""
    if not kinds or not text:
        return None
    try:
        rows = pyarrow.json.read_json(
            pa.BufferReader(text),
            read_options=pyarrow.json.ReadOptions(block_size=max(1 << 20, len(text) // 4)),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema(kinds), unexpected_field_behavior="ignore"
            ),
        )
        rows.validate(full=True)
    except pa.ArrowException:
        return None
    return rows.select(wanted)


def _read_line_by_line(
    lines: list[bytes], cut_off: bool, wanted: list[str]
) -> tuple[pa.Table, Counter[str]]:
    lost = Counter[str]()
    values: dict[str, list[str | None]] = {name: [] for name in wanted}
    for number, line in enumerate(lines):
        try:
            row = _json_object(line.decode("utf-8"))
        except UnicodeDecodeError:
            lost[NOT_TEXT] += 1
            continue
        if row is None:
            last = cut_off and number == len(lines) - 1
            lost[HALF_WRITTEN if last else NOT_JSON] += 1
            continue
        for name in wanted:
            values[name].append(_json_text(row.get(name)))
    rows = pa.table({name: pa.array(column, pa.string()) for name, column in values.items()})
    return rows, lost


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        # Half of a surrogate pair, as "\\ud83d", is no text.
        return value.encode("utf-8", "replace").decode() if value is not None else None
    return json.dumps(value)
