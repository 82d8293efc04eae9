"""Values of columns: texts, ids, numbers, coordinates, and what stands for a missing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geocells.array_types import FloatArray, IntArray, ObjectArray
from geocells.errors import refuse_off_globe, refuse_rows
from geocells.tables.rows import TableError

MISSING = (
    "", r"\N", "NULL", "null", "Null", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan",
    "NAN", "None", "none", "nil", "-",
)  # fmt: skip
"""What tables write where there is no value; in columns of countries and groups, NA is Namibia."""

FILL_IN = "Fill in or remove these rows."
_COUNTRY_CODES = ("NA", "na")
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = r"^(-?[0-9]+)\.0+$"
_ROUNDED = r"^[0-9](\.[0-9]+)?[eE]\+[0-9]+$"
_EXACT = 2.0**53


def texts(column: pa.ChunkedArray, *, keep_na: bool = False) -> pa.ChunkedArray:
    """Values of any plain type as text without blanks around it; null where there is none.

    Parameters
    ----------
    column : ChunkedArray
        Whole numbers of a float column become digits without a fraction.
    keep_na : bool
        NA is a value, the code of Namibia: for columns of countries and groups.

    Returns
    -------
    texts : ChunkedArray of string
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        column = _digits(column)
    if not pa.types.is_string(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowNotImplementedError:  # lists and structures
            values = [None if value is None else str(value) for value in column.to_pylist()]
            column = pa.chunked_array([pa.array(values, pa.string())])
        except pa.ArrowInvalid:
            raise TableError("A column of bytes holds no UTF-8 text. Write it as text.") from None
    column = pc.utf8_trim_whitespace(column)
    markers = [m for m in MISSING if not (keep_na and m in _COUNTRY_CODES)]
    return pc.if_else(pc.is_in(column, value_set=pa.array(markers)), None, column)


def ids(column: pa.ChunkedArray, *, where: str = "the table") -> pa.ChunkedArray:
    """Ids as text, null where one is missing.

    Whole floats, which a table program makes of whole numbers beside a gap, become digits; leading zeros stay.

    Raises
    ------
    TableError
        When a spreadsheet or a float has rounded an id.
    """
    values = texts(column)
    rounded = pc.match_substring_regex(values, _ROUNDED)
    if pc.any(rounded).as_py():
        row = pc.index(rounded, True).as_py()
        raise TableError(
            f"The ids of {where} have lost digits: {values[row].as_py()!r} was rounded by a spreadsheet or a float. "
            "Write the ids as text again from their source."
        )
    whole = pc.match_substring_regex(values, _WHOLE)
    if pc.any(whole).as_py():
        values = pc.if_else(whole, pc.replace_substring_regex(values, _WHOLE, r"\1"), values)
    return values


def groups(column: pa.ChunkedArray, name: str, *, where: str = "the table") -> ObjectArray:
    """Group of every row, such as a country or a photographer: text, or the numbers of a column of whole numbers.

    Raises
    ------
    TableError
        When one is missing; the message names the first row. ``name`` is what it calls the column.
    """
    values = texts(column, keep_na=True)
    is_missing, must = as_numpy(pc.is_null(values)), f"Every photo needs a value in column {name!r}"
    context: dict[str, Any] = {"where": where, "first_row": 1, "error": TableError}
    refuse_rows(is_missing, must, "have none", None, FILL_IN, **context)
    names: ObjectArray = (column if pa.types.is_integer(column.type) else values).to_numpy()
    return names.astype(object)


def numbers(column: pa.ChunkedArray) -> tuple[FloatArray, Any, Any]:
    """Numbers of a column, (n,) float64: NaN where there are none.

    Returns
    -------
    values : ndarray (n,) float64
    missing : ndarray (n,) bool
        Where there is no value.
    wrong : ndarray (n,) bool
        Where there is a value that is no finite number.
    """
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        # Unsafe: whole numbers above 2**53 are rounded rather than refused.
        rounded = column.cast(pa.float64(), safe=False).fill_null(np.nan)
        values = np.asarray(rounded, dtype=np.float64)
        return values, np.isnan(values), np.isinf(values)
    written = texts(column)
    missing = np.asarray(pc.is_null(written))
    parsed = pc.if_else(pc.match_substring_regex(written, _NUMBER), written, None)
    values = np.asarray(parsed.cast(pa.float64()).fill_null(np.nan), dtype=np.float64)
    return values, missing, ~np.isfinite(values) & ~missing


def coordinates(
    table: pa.Table, columns: Mapping[str, str], *, where: str = "the table", first_row: int = 1
) -> FloatArray:
    """Coordinates of every row of a table.

    Parameters
    ----------
    table : Table
        All rows of a file, as :func:`~geocells.tables.read_table` gives them.
    columns : dict
        The columns ``latitude`` and ``longitude``, as :func:`~geocells.tables.find_columns` finds them.
    where : str
        What messages call the table.
    first_row : int
        Number of the first row in its file.

    Returns
    -------
    coords : ndarray (n, 2) float64
        Latitude, longitude in degrees.

    Raises
    ------
    TableError
        When a coordinate is missing, no number or out of range; the message names the first row, by its number in the
        file.
    """
    context: dict[str, Any] = {"where": where, "first_row": first_row, "error": TableError}
    names = columns["latitude"], columns["longitude"]
    coords = np.column_stack([_sound_numbers(table[name], name, context) for name in names])
    check_coordinates(coords[:, 0], coords[:, 1], where, first_row=first_row)
    return coords


def _sound_numbers(column: pa.ChunkedArray, name: str, context: dict[str, Any]) -> FloatArray:
    values, _, wrong = numbers(column)
    value = str(column[int(wrong.argmax())].as_py()) if wrong.any() else ""
    written = "decimals with a point." if "," in value else "decimal degrees, or remove these rows."
    must = f"Column {name!r} must hold numbers"
    refuse_rows(wrong, must, "do not", lambda _: repr(value), f"Write {written}", **context)
    return values


def check_coordinates(
    latitude: FloatArray, longitude: FloatArray, where: str, *, first_row: int = 0
) -> None:
    """Refuse coordinates that are missing, out of range or apparently swapped.

    Parameters
    ----------
    latitude, longitude : ndarray (n,) float64
        Degrees.
    where : str
        Name of the file or table, for the message.
    first_row : int
        Number of the first row, for the message: 1 for a file, 0 for an array.

    Raises
    ------
    TableError
        One sentence with the first bad row and what to do.
    """
    context: dict[str, Any] = {"where": where, "first_row": first_row, "error": TableError}
    for name, values in (("latitude", latitude), ("longitude", longitude)):
        must = f"Every photo needs a {name}"
        refuse_rows(~np.isfinite(values), must, "have none", None, FILL_IN, **context)
    refuse_off_globe(latitude, longitude, **context)


def _digits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats as text: whole ones as digits, those beyond 2**53 as they stand, NaN as null."""
    values = np.asarray(column.fill_null(np.nan), dtype=np.float64)
    whole: IntArray = (np.abs(values) < _EXACT) & (values == np.floor(values))
    digits = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    others = pa.array(
        [None if np.isnan(v) else f"{v!r}" for v in values[~whole].tolist()], pa.string()
    )
    written = pc.replace_with_mask(digits, pa.array(~whole), others)
    return pa.chunked_array([written])


def as_numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """Values of a column as NumPy has them; numbers without loading pandas, which ``to_numpy`` does (0.4 s)."""
    is_plain = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    arrays = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    chunks = [array for array in arrays if len(array)]
    if not is_plain or column.null_count or not chunks:
        values: NDArray[Any] = pa.chunked_array(arrays, column.type).to_numpy()
        return values
    return np.concatenate([np.from_dlpack(chunk) for chunk in chunks])
