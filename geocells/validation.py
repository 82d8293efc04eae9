"""From whatever the caller holds to the arrays that everything below works on.

Public calls come through here once; below, arrays are contiguous, finite and of the right type.
"""

from __future__ import annotations

import math
import numbers
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from geocells.array_types import ArrayLike, BoolArray, FloatArray, IntArray, ObjectArray
from geocells.errors import refuse_off_globe, refuse_rows
from geocells.frames import columns_of, names_of, shapes_of
from geocells.jit import over_rows

_UNNAMED = re.compile(r"(column_?)?\d+")  # as pandas, Polars and DuckDB call columns without names
GROUP_KINDS = ("string", "boolean", "integer", "floating", "mixed-integer-float")


@dataclass(frozen=True)
class Coordinates:
    """Sound coordinates.

    Attributes
    ----------
    array : (n, 2) float64
        Latitude, longitude in degrees, C-contiguous.
    extremes : tuple of float
        Least latitude, least longitude, greatest latitude, greatest longitude; infinite when there are no rows.
    table : object
        The table that they are columns of, where they are; groups may be another of its columns.
    """

    array: FloatArray
    extremes: tuple[float, float, float, float]
    table: Any = None

    def __len__(self) -> int:
        return len(self.array)


def check_coords(
    coords: ArrayLike, *, name: str = "coords", allow_empty: bool = False
) -> Coordinates:
    """Coordinates from anything that holds them.

    Parameters
    ----------
    coords : array-like (n, 2), table or points
        Latitude, longitude in degrees; a table of pandas, Polars (eager or lazy), pyarrow or DuckDB with columns that
        are named so, or two without names; points of shapely, or of GeoPandas in any coordinate reference system.
    name : str
        What the messages call it.
    allow_empty : bool
        Accept no rows.

    Returns
    -------
    coordinates : Coordinates

    Raises
    ------
    TypeError
        When the object holds no coordinates.
    ValueError
        When a row is missing, infinite or off the globe; the message names the first one.
    """
    table = _as_table(coords)
    pairs: Any = coords
    if hasattr(coords, "crs"):
        pairs = _from_points(shapes_of(coords), name)
    elif table is not None:
        pairs = _from_columns(table, name)
    array = np.ascontiguousarray(_as_pairs(pairs, name), dtype=np.float64)
    if len(array) == 0 and not allow_empty:
        raise ValueError(
            f"{name} holds no rows (0 samples, shape {array.shape}) while a minimum of 1 is required: at least "
            "one image is needed."
        )
    if len(array) == 0:
        return Coordinates(array, (np.inf, np.inf, -np.inf, -np.inf), table)
    extremes = np.array(over_rows(_extremes, len(array), array))
    south, west = extremes[:, 0].min(axis=0).tolist()
    north, east = extremes[:, 1].max(axis=0).tolist()
    # One of these is NaN where any coordinate is.
    if not (-90.0 <= south <= north <= 90.0 and -180.0 <= west <= east <= 180.0):
        _refuse_off_globe(array, name)
    return Coordinates(array, (south, west, north, east), table)


def _extremes(start: int, stop: int, coords: FloatArray) -> list[list[float]]:
    """Least latitude and longitude, and the greatest, of a block of rows; NaN where there is one."""
    columns = coords[start:stop].T
    return [[column.min() for column in columns], [column.max() for column in columns]]


def _refuse_off_globe(coords: FloatArray, name: str) -> None:
    """Raise where a coordinate is not on the globe."""
    latitude, longitude = coords.T
    refuse_rows(
        ~(np.isfinite(latitude) & np.isfinite(longitude)),
        f"{name} must be finite",
        "hold NaN or infinity",
        lambda row: f"latitude {latitude[row]}, longitude {longitude[row]}",
        "Drop those rows.",
    )
    refuse_off_globe(latitude, longitude)


def _as_pairs(coords: ArrayLike, name: str) -> Any:
    if hasattr(coords, "toarray") and hasattr(coords, "nnz"):
        raise TypeError(
            f"{name} is a sparse matrix; coordinates must be dense: use {name}.toarray()."
        )
    try:
        pairs = np.asanyarray(coords)
    except ValueError:
        lengths = [np.size(row) for row in coords]
        row = int(np.argmax(np.array(lengths) != 2))
        raise ValueError(
            f"{name} must hold one (latitude, longitude) pair per row; row {row} holds {coords[row]!r}. "
            "Correct or drop it."
        ) from None
    if pairs.ndim == 0 and pairs.dtype.kind in "OUS":
        raise TypeError(
            f"{name} must hold (latitude, longitude) pairs: an array, a table or points; got {coords!r}. "
            "Read files first."
        )
    if pairs.dtype.kind == "O" and pairs.ndim == 1 and shapely.is_geometry(pairs).any():
        return _from_points(pairs, name)
    _refuse_missing(pairs, name, "a latitude and a longitude")
    if pairs.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers, got {pairs.dtype}."
        )
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        if pairs.size == 0 and pairs.ndim == 1:
            return pairs.reshape(0, 2)
        short = ""
        if pairs.ndim == 2 and pairs.shape[1] < 2:
            short = f" It has {pairs.shape[1]} feature(s) (shape={pairs.shape}) while a minimum of 2 is required."
        raise ValueError(
            f"{name} must hold one (latitude, longitude) pair per row, shape (n, 2); got shape {pairs.shape}.{short} "
            "Reshape your data: a single point is [[latitude, longitude]]."
        )
    return as_numbers(pairs, f"{name} must hold numbers, latitude and longitude in degrees")


def as_numbers(values: Any, must: str) -> FloatArray:
    """Return values as float64; the message names the first row that holds no number."""
    try:
        numbers_: FloatArray = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        for row, value in enumerate(values):
            try:
                np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError):
                raise type(error)(
                    f"{must}; row {row} holds {value!s} ({error}). Correct or drop it."
                ) from None
        raise type(error)(f"{must}; the rows differ in length.") from None
    return numbers_


def _as_table(coords: Any) -> Any:
    """Return the table that an object is, None where it is none. A stream that can be read only once is read."""
    if hasattr(coords, "collect_schema") or hasattr(coords, "columns"):
        return coords
    if hasattr(coords, "read_all") and hasattr(coords, "schema"):
        return coords.read_all()
    return None


def _refuse_missing(values: Any, name: str, what: str) -> None:
    """Raise where values are masked, or None, pd.NA and the like."""
    is_missing: Any = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    if values.dtype.kind == "O":
        import pandas as pd

        is_missing = pd.isna(values)
    if is_missing is not None and values.ndim:
        refuse_rows(
            is_missing.any(axis=tuple(range(1, values.ndim))),
            f"{name} must hold {what} in every row",
            "miss one",
            lambda row: np.ma.MaskedArray(values)[row : row + 1].tolist()[0],
            "Drop those rows.",
        )


def _from_columns(table: Any, name: str) -> Any:
    from geocells.tables.columns import candidates

    columns = names_of(table)
    by_name = {str(column): column for column in columns}
    if len(by_name) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise ValueError(f"{name} has the column {twice!r} twice. Rename one of them.")
    chosen = []
    for role in ("latitude", "longitude"):
        there = candidates(list(by_name), role)
        if len(there) > 1:
            raise ValueError(
                f"{name} has {len(there)} columns that may hold the {role}, {there}. Leave out all but the right one."
            )
        chosen += [by_name[column] for column in there]
    if len(chosen) < 2:
        chosen = columns
        if len(columns) != 2 or not all(map(_UNNAMED.fullmatch, by_name)):
            raise ValueError(
                f"{name} is a table without latitude and longitude columns; it has {list(by_name)}. Rename them, or "
                "pass an array of latitude and longitude, in that order."
            )
    return columns_of(table, chosen).to_numpy()


def _from_points(points: ObjectArray, name: str) -> FloatArray:
    def kind(row: int) -> str:
        shape: Any = points[row]
        if shape is None:
            return "nothing"
        return "an empty point" if shapely.is_empty(shape) else str(shape.geom_type)

    refuse_rows(
        (shapely.get_type_id(points) != shapely.GeometryType.POINT) | shapely.is_empty(points),
        f"{name} must hold points",
        "do not",
        kind,
        "Drop those rows.",
    )
    return np.column_stack([shapely.get_y(points), shapely.get_x(points)])


def check_groups(groups: ArrayLike, n_rows: int, table: Any = None) -> ObjectArray:
    """Return one group name a row, as (n,) objects; a missing one or a wrong length is refused.

    A text names a column of the table that the coordinates come from.
    """
    if isinstance(groups, str):
        columns = [] if table is None else names_of(table)
        if groups not in columns:
            raise ValueError(
                f"groups must be a column of coords; got {groups!r}, and coords "
                f"{f'has {columns}' if columns else 'has no columns'}."
            )
        groups = columns_of(table, [groups])[groups]
    names = np.asarray(groups, dtype=object)
    if np.ma.isMaskedArray(groups):
        names = names.copy()
        names[np.ma.getmaskarray(groups)] = None
    if names.ndim != 1 or len(names) != n_rows:
        raise ValueError(
            f"groups must name one group per row, shape ({n_rows},) like coords; got shape {names.shape}."
        )
    refuse_rows(
        _is_missing(names),
        "Every image needs a group",
        "have none",
        lambda row: names[row],
        "Drop those rows or name a group for them.",
    )
    return names


def _is_missing(names: ObjectArray) -> BoolArray:
    pandas = sys.modules.get("pandas")  # which takes 0.4 s to import; who has its NA has done so
    if pandas is not None:
        missing: BoolArray = pandas.isna(names)
        return missing
    return np.array([name is None or name != name for name in names], dtype=bool)  # noqa: PLR0124


def check_feats(feats: ArrayLike | None, n_rows: int) -> Any:
    """Return one feature vector per row, (n, d) of real numbers; a memory map stays one. Values are checked later."""
    if feats is None:
        return None
    if hasattr(feats, "to_numpy"):
        feats = feats.to_numpy()
    array = np.asanyarray(feats)
    _refuse_missing(array, "feats", "a number of every feature")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"feats must hold real numbers, float32 or float64; got {array.dtype}.")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"feats must hold one feature vector per row, shape (n, n_features); got shape {array.shape}."
        )
    if len(array) != n_rows:
        raise ValueError(
            f"feats must have one row for each of the {n_rows} coordinates; got {len(array)} rows."
        )
    return array


def number_groups(names: ObjectArray) -> tuple[IntArray, ObjectArray]:
    """Number of each row's group, and the groups' names in order, as plain Python values."""
    import pandas as pd

    try:
        numbers_, unique = pd.factorize(names, sort=True)
        kind = pd.api.types.infer_dtype(unique, skipna=False)
    except TypeError:
        kind = "mixed"
    if kind not in GROUP_KINDS:
        raise TypeError(
            "groups must be all strings or all numbers, so that they have an order and can be saved; got "
            f"{kind} values, the first being {names[0]!r}. Make them text."
        )
    plain = [name.item() if isinstance(name, np.generic) else name for name in unique]
    return numbers_.astype(np.int64), np.array(plain, dtype=object)


MOST_IMAGES = 2**40
"""Total weight with which sums of unit vectors in 64 bits keep 3 m on the ground."""

UNIT_BITS = 36
"""Weights that are not whole add up to less than ``2**36`` units, which keeps 20 cm."""


def check_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, *, is_part: bool = False
) -> tuple[IntArray | None, int]:
    """Weights in whole units, whose sums are exact in every order.

    Parameters
    ----------
    sample_weight : array-like (n,) or number, optional
        Images that each row stands for.
    n_rows : int
    is_part : bool
        Of a part of the images: all may be 0, and none have a fraction, since parts must share their unit.

    Returns
    -------
    weights : (n,) int64 or None
        None where every row counts once.
    unit_bits : int
        A unit is ``2**-unit_bits`` images. 0 where all weights are whole; else the greatest with which they add up to
        less than ``2**36`` units: 16 for a million images, 12 for ten million.
    """
    if sample_weight is None:
        return None, 0
    weights = np.asanyarray(sample_weight)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.ndim != 1 or len(weights) != n_rows:
        raise ValueError(
            f"sample_weight must have one number per row, shape ({n_rows},) like coords; got shape {weights.shape}."
        )
    _refuse_missing(weights, "sample_weight", "a number")
    weights = as_numbers(weights, "sample_weight must hold numbers")
    refuse_rows(
        ~(np.isfinite(weights) & (weights >= 0)),
        "sample_weight says how many images a row stands for, a number of at least 0",
        "do not",
        lambda row: weights[row],
        "Drop those rows, or give them 0.",
    )
    has_fraction = weights != np.floor(weights)
    if is_part:
        refuse_rows(
            has_fraction,
            "sample_weight must be whole in parts of a table",
            "are not",
            lambda row: weights[row],
            "Round them, or fit on one machine.",
        )
    total = math.fsum(weights) if has_fraction.any() else float(weights.sum())
    if total > MOST_IMAGES:
        row = int(weights.argmax())
        raise ValueError(
            f"sample_weight adds up to more than 2**40 images (most: row {row}, {weights[row]:g}); scale it down."
        )
    bits = max(0, UNIT_BITS - math.frexp(total)[1]) if has_fraction.any() else 0
    units = np.rint(np.ldexp(weights, bits)).astype(np.int64)
    if not is_part and not units.any():
        raise ValueError("sample_weight is zero everywhere: no image is left.")
    return units, bits


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """Return an integer of at least ``least``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer of at least {least}; got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {value}.")
    if int(value) >= 2**63:
        raise ValueError(f"{name} must be below 2**63; got {value}.")
    return int(value)


def check_positive(value: Any, name: str, unit: str) -> float:
    """Return a finite number above 0."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not (np.isfinite(float(value)) and value > 0):
        error = ValueError if is_number else TypeError
        raise error(f"{name} must be a finite number of {unit} above 0; got {value!r}.")
    return float(value)


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return one of the words of ``choices``."""
    if value not in choices:
        words = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {words}; got {value!r}.")
    return str(value)
