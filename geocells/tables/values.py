"""Values of columns: texts, ids, numbers, coordinates, and what stands for a missing one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.tables.rows import TableError

MISSING = (
    "", r"\N", "NULL", "null", "Null", "NA", "na", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan",
    "NAN", "None", "none", "nil", "-",
)  # fmt: skip
"""What tables write where there is no value; in columns of countries and groups, NA is Namibia."""

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
    if values.null_count:
        row = pc.index(pc.is_null(values), True).as_py()
        raise TableError(
            f"Every photo needs a value in column {name!r}; {values.null_count} of {len(values)} rows of {where} have "
            f"none (first: row {row + 1}). Fill in or remove these rows."
        )
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
    coords = np.empty((table.num_rows, 2))
    for axis, role in enumerate(("latitude", "longitude")):
        column = table[columns[role]]
        values, _, wrong = numbers(column)
        if wrong.any():
            row = int(wrong.argmax())
            value = str(column[row].as_py())
            remedy = (
                "Write decimals with a point."
                if "," in value
                else "Write decimal degrees, or remove these rows."
            )
            raise TableError(
                f"Column {columns[role]!r} must hold numbers; {wrong.sum()} of {len(values)} rows of {where} do not "
                f"(first: row {first_row + row}, {value!r}). {remedy}"
            )
        coords[:, axis] = values
    check_coordinates(coords[:, 0], coords[:, 1], where, first_row=first_row)
    return coords


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
    n_rows = len(latitude)
    for name, values in (("latitude", latitude), ("longitude", longitude)):
        bad = ~np.isfinite(values)
        if bad.any():
            raise TableError(
                f"Every photo needs a {name}; {bad.sum()} of {n_rows} rows of {where} have none "
                f"(first: row {int(bad.argmax()) + first_row}). Fill in or remove these rows."
            )
    high, wide = np.abs(latitude) > 90, np.abs(longitude) > 180
    if high.any():
        # One odd row among many is a slip; swapped columns show in all rows that can show it.
        swapped = (np.abs(longitude[high]) <= 90).all() and (np.abs(latitude[high]) <= 180).all()
        swapped &= high.sum() > 1 or n_rows == 1 or bool((np.abs(longitude) <= 90).all())
        hint = "Are latitude and longitude swapped?" if swapped else "Correct or remove these rows."
        raise _out_of_range("Latitude", 90, latitude, high, where, first_row, hint)
    if wide.any():
        turned = bool(((longitude[wide] > 180) & (longitude[wide] <= 360)).all())
        hint = (
            "If they run from 0 to 360, subtract 360 from those above 180."
            if turned
            else "Correct or remove these rows."
        )
        raise _out_of_range("Longitude", 180, longitude, wide, where, first_row, hint)


def _out_of_range(
    name: str, most: int, values: FloatArray, bad: Any, where: str, first_row: int, hint: str
) -> TableError:
    row = int(bad.argmax())
    return TableError(
        f"{name} must lie in [-{most}, {most}] degrees; {bad.sum()} of {len(values)} rows of {where} do not "
        f"(first: row {row + first_row}, {values[row]:g}). {hint}"
    )


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
