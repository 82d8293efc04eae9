"""From whatever the caller holds to the arrays that everything below works on.

Public calls come through here once; below, arrays are contiguous, finite and of the right type.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from geocells import _validation_kernels
from geocells._jit import row_blocks, run_blocks
from geocells._types import ArrayLike, FloatArray, IntArray, ObjectArray

LATITUDE_NAMES = ("latitude", "lat", "y")
LONGITUDE_NAMES = ("longitude", "lon", "lng", "long", "x")
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
    index : pandas.Index or None
        The rows' labels, where the caller's object had some.
    """

    array: FloatArray
    extremes: tuple[float, float, float, float]
    index: Any = None

    def __len__(self) -> int:
        return len(self.array)


def check_coords(
    coords: ArrayLike, *, name: str = "coords", allow_empty: bool = False
) -> Coordinates:
    """Coordinates from anything that holds them.

    Parameters
    ----------
    coords : array-like (n, 2), DataFrame, GeoSeries or GeoDataFrame
        Latitude, longitude in degrees; a DataFrame with latitude and longitude columns; points in any coordinate
        reference system.
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
    index = index_of(coords)
    array = np.ascontiguousarray(_as_pairs(coords, name), dtype=np.float64)
    if len(array) == 0 and not allow_empty:
        raise ValueError(
            f"{name} holds no rows (0 samples, shape {array.shape}) while a minimum of 1 is required: at least "
            "one image is needed."
        )
    blocks = row_blocks(len(array))
    faults = np.zeros((len(blocks), 4, 2), dtype=np.int64)
    extremes = np.zeros((len(blocks), 4))
    run_blocks(
        _validation_kernels.survey,
        [(*block, array, faults[i], extremes[i]) for i, block in enumerate(blocks)],
    )
    _refuse_faults(array, faults, name)
    south, west = extremes[:, :2].min(axis=0)
    north, east = extremes[:, 2:].max(axis=0)
    return Coordinates(array, (float(south), float(west), float(north), float(east)), index)


def index_of(coords: ArrayLike) -> Any:
    """Return the labels of the rows, a pandas Index, or None where the object has none."""
    index = getattr(coords, "index", None)
    return index if hasattr(index, "get_indexer") else None


def with_index(labels: IntArray, index: Any) -> Any:
    """Return cell numbers as they are, or as a Series named ``cell`` where the rows have labels of their own."""
    if index is None:
        return labels
    import pandas as pd

    return pd.Series(labels, index=index, name="cell")


def _as_pairs(coords: ArrayLike, name: str) -> Any:
    if hasattr(coords, "geometry") and hasattr(coords, "crs"):
        return _from_points(coords, name)
    if hasattr(coords, "columns"):
        return _from_columns(coords, name)
    if hasattr(coords, "toarray") and hasattr(coords, "nnz"):
        raise TypeError(
            f"{name} is a sparse matrix; coordinates must be dense: use {name}.toarray()."
        )
    pairs = np.asarray(coords)
    if pairs.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers, got {pairs.dtype}."
        )
    if pairs.dtype.kind not in "fiub":
        try:
            pairs = pairs.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{name} must hold numbers, latitude and longitude in degrees; got {pairs.dtype} ({error})."
            ) from None
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        if pairs.size == 0 and pairs.ndim == 1:
            return pairs.reshape(0, 2)
        short = ""
        if pairs.ndim == 2 and pairs.shape[1] < 2:
            short = f" It has {pairs.shape[1]} feature(s) (shape={pairs.shape}) while a minimum of 2 is required."
        raise ValueError(
            f"{name} must hold one (latitude, longitude) pair a row, shape (n, 2); got shape {pairs.shape}.{short} "
            "Reshape your data: a single point is [[latitude, longitude]]."
        )
    return pairs


def _from_columns(frame: Any, name: str) -> Any:
    by_name = {str(column).strip().lower(): column for column in frame.columns}
    latitude = next((by_name[key] for key in LATITUDE_NAMES if key in by_name), None)
    longitude = next((by_name[key] for key in LONGITUDE_NAMES if key in by_name), None)
    if latitude is None or longitude is None:
        if frame.shape[1] == 2:
            return _as_pairs(frame.to_numpy(), name)
        raise ValueError(
            f"{name} is a table without latitude and longitude columns; it has {list(map(str, frame.columns))}. "
            "Rename them, or pass the two columns in that order."
        )
    return _as_pairs(frame[[latitude, longitude]].to_numpy(), name)


def _from_points(points: Any, name: str) -> FloatArray:
    geometry = points.geometry
    bad = np.flatnonzero((geometry.geom_type != "Point").to_numpy() | geometry.is_empty.to_numpy())
    if len(bad):
        kind = geometry.iloc[bad[0]]
        kind = "nothing" if kind is None else "an empty point" if kind.is_empty else kind.geom_type
        raise ValueError(
            f"{name} must hold points; {len(bad)} of {len(geometry)} rows do not (first: row {bad[0]}, {kind})."
        )
    if geometry.crs is not None:
        geometry = geometry.to_crs(4326)
    return np.column_stack([geometry.y.to_numpy(), geometry.x.to_numpy()])


def _refuse_faults(array: FloatArray, faults: IntArray, name: str) -> None:
    n_faults = faults[:, :, 0].sum(axis=0)
    if not n_faults[:3].any():
        return
    first = [
        int(faults[np.flatnonzero(faults[:, kind, 0])[0], kind, 1]) if n_faults[kind] else -1
        for kind in range(4)
    ]
    n_rows = len(array)
    if n_faults[0]:
        row = first[0]
        latitude, longitude = array[row]
        raise ValueError(
            f"{name} must be finite; {n_faults[0]} of {n_rows} rows hold NaN or infinity (first: row {row}, "
            f"latitude {latitude}, longitude {longitude}). Drop those rows."
        )
    if n_faults[1]:
        row = first[1]
        hint = (
            " Are latitude and longitude swapped?"
            if n_faults[3] == n_faults[1]
            else " Correct or drop those rows."
        )
        raise ValueError(
            f"Latitude must lie in [-90, 90] degrees; {n_faults[1]} of {n_rows} rows do not "
            f"(first: row {row}, {array[row, 0]}).{hint}"
        )
    row = first[2]
    raise ValueError(
        f"Longitude must lie in [-180, 180] degrees; {n_faults[2]} of {n_rows} rows do not "
        f"(first: row {row}, {array[row, 1]}). If they run from 0 to 360, use (longitude + 180) % 360 - 180."
    )


def check_groups(groups: ArrayLike, n_rows: int) -> ObjectArray:
    """Return one group name a row, as (n,) objects; a missing one or a wrong length is refused."""
    import pandas as pd

    names = np.asarray(groups, dtype=object)
    if names.ndim != 1 or len(names) != n_rows:
        raise ValueError(
            f"groups must name one group a row, shape ({n_rows},) like coords; got shape {names.shape}."
        )
    missing = np.flatnonzero(pd.isna(names))
    if len(missing):
        raise ValueError(
            f"Every image needs a group; {len(missing)} of {n_rows} rows have none (first: row {missing[0]}). "
            "Drop those rows or name a group for them."
        )
    return names


def check_feats(feats: ArrayLike | None, n_rows: int) -> Any:
    """Return one feature vector a row, (n, d) of real numbers; a memory map stays one. Values are checked when read."""
    if feats is None:
        return None
    if hasattr(feats, "to_numpy"):
        feats = feats.to_numpy()
    array = np.asanyarray(feats)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"feats must hold real numbers, float32 or float64; got {array.dtype}.")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"feats must hold one feature vector a row, shape (n, n_features); got shape {array.shape}."
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
            f"{kind} values."
        )
    plain = [name.item() if isinstance(name, np.generic) else name for name in unique]
    return numbers_.astype(np.int64), np.array(plain, dtype=object)


def check_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, *, allow_zeros: bool = False
) -> IntArray | None:
    """Return whole, non-negative weights (n,) int64, or None where every row counts once.

    All of them may be 0 only with ``allow_zeros``: of a part of the images.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.ndim != 1 or len(weights) != n_rows:
        raise ValueError(
            f"sample_weight must have one number a row, shape ({n_rows},) like coords; got shape {weights.shape}."
        )
    try:
        weights = weights.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"sample_weight must hold numbers; got {weights.dtype}.") from None
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0) & (weights == np.floor(weights))))
    if len(bad):
        raise ValueError(
            f"sample_weight says how many images a row stands for: whole numbers of at least 0; {len(bad)} of "
            f"{n_rows} rows are not (first: row {bad[0]}, {weights[bad[0]]})."
        )
    if not allow_zeros and not weights.any():
        raise ValueError("sample_weight is zero everywhere: no image is left.")
    if weights.sum() >= 2**53:
        raise ValueError("sample_weight adds up to 2**53 or more images; scale it down.")
    return weights.astype(np.int64)


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number of at least ``least``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number of at least {least}; got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {value}.")
    return int(value)


def check_positive(value: Any, name: str, unit: str) -> float:
    """Return a finite number above 0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number of {unit} above 0; got {value!r}.")
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number of {unit} above 0; got {value}.")
    return number


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return one of the words of ``choices``."""
    if value not in choices:
        words = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {words}; got {value!r}.")
    return str(value)
