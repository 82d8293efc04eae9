"""Photos over the partitions of Dask collections, of one kind whatever they came in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
from dask.delayed import Delayed, delayed

from geocells._types import IntArray, ObjectArray
from geocells.fitting import Images
from geocells.validation import (
    LATITUDE_NAMES,
    LONGITUDE_NAMES,
    Coordinates,
    check_coords,
    check_feats,
    check_groups,
    check_sample_weight,
)


@dataclass(frozen=True)
class Part:
    """Photos of one partition, checked; ``feats`` only where the pass reads them."""

    coords: Coordinates
    feats: Any = None
    groups: ObjectArray | None = None
    weights: IntArray | None = None

    def images(self, group_names: ObjectArray | None) -> Images:
        """Return the partition's images, their groups numbered as in all of them."""
        numbers = None
        if self.groups is not None and group_names is not None:
            numbers = numbers_of(self.groups, group_names)
        return Images(self.coords, self.feats, self.weights, numbers, group_names)


def numbers_of(groups: ObjectArray, group_names: ObjectArray) -> IntArray:
    """Number of each row's group among the names; -1 for an unknown one."""
    import pandas as pd

    known = pd.Index(group_names, dtype=object)
    numbers: IntArray = known.get_indexer(pd.Index(groups, dtype=object)).astype(np.int64)
    return numbers


@dataclass(frozen=True)
class Columns:
    """Where a table keeps what; None for what it does not hold."""

    latitude: Any
    longitude: Any
    feats: Any = None
    groups: Any = None
    weights: Any = None

    def needed(self, *, features: bool) -> list[Any]:
        """Columns to read."""
        names = [self.latitude, self.longitude]
        names += [name for name in (self.groups, self.weights) if name is not None]
        if features and self.feats is not None:
            names += self.feats if isinstance(self.feats, list) else [self.feats]
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class RawPart:
    """What a partition gave, checked when called, so that an error can name the partition."""

    rows: Any
    columns: Columns | None
    feats: Any = None
    groups: Any = None
    weights: Any = None

    def __call__(self) -> Part:
        """Check the rows."""
        feats, groups, weights = self.feats, self.groups, self.weights
        if self.columns is None:
            coords = check_coords(self.rows, allow_empty=True)
        else:
            names = self.columns
            coords = coords_of_table(self.rows, names)
            groups = self.rows[names.groups] if names.groups is not None else groups
            weights = self.rows[names.weights] if names.weights is not None else weights
            if isinstance(names.feats, list) and names.feats[0] in self.rows.columns:
                feats = self.rows[names.feats].to_numpy()
            elif names.feats is not None and not isinstance(names.feats, list):
                feats = _vectors(self.rows, names.feats) if names.feats in self.rows else None
        n_rows = len(coords)
        if n_rows == 0:
            return Part(coords, None, None if groups is None else np.empty(0, dtype=object))
        return Part(
            coords,
            check_feats(feats, n_rows),
            None if groups is None else check_groups(groups, n_rows),
            check_sample_weight(weights, n_rows, allow_zeros=True),
        )


def coords_of_table(rows: Any, columns: Columns) -> Coordinates:
    """Coordinates of a pandas table, which may be empty."""
    pairs = rows[[columns.latitude, columns.longitude]].to_numpy(dtype=np.float64, na_value=np.nan)
    return check_coords(pairs, allow_empty=True)


def _vectors(rows: Any, column: Any) -> Any:
    """Feature vectors of a column of lists, (n, n_features)."""
    values = rows[column].to_numpy()
    if not len(values):
        return None
    if isinstance(values[0], str):
        raise ValueError(
            f"Dask turned the lists of column {column!r} into text: make the table under "
            "dask.config.set({'dataframe.convert-string': False}), or read it from Parquet."
        )
    try:
        return np.stack([np.asarray(value) for value in values])
    except ValueError:
        raise ValueError(
            f"Column {column!r} must hold feature vectors that are all as long as the first."
        ) from None


@dataclass(frozen=True)
class Photos:
    """Photos over partitions.

    Attributes
    ----------
    rows : dask DataFrame or dask array (n, 2)
    columns : Columns or None
        Of a DataFrame.
    feats, groups, weights : dask collection or None
        Those that are no columns of it.
    """

    rows: Any
    columns: Columns | None
    feats: Any = None
    groups: Any = None
    weights: Any = None

    @classmethod
    def of(
        cls,
        coords: Any,
        feats: Any = None,
        groups: Any = None,
        sample_weight: Any = None,
        *,
        latitude_column: Any = None,
        longitude_column: Any = None,
        storage_options: dict[str, Any] | None = None,
    ) -> Photos:
        """Photos of what the caller gave.

        Raises
        ------
        TypeError, ValueError
            When it is no Dask collection, or its parts don't fit together.
        """
        rows = open_collection(coords, storage_options)
        if isinstance(rows, da.Array):
            return cls._of_array(rows, feats, groups, sample_weight)
        feats = list(feats) if isinstance(feats, (list, tuple)) else feats
        columns = columns_of(rows, latitude_column, longitude_column, feats, groups, sample_weight)
        others = [None if _is_columns(value) else value for value in (feats, groups, sample_weight)]
        for name, value in zip(("feats", "groups", "sample_weight"), others, strict=True):
            _check_partitions(name, value, rows.npartitions)
        return cls(rows, columns, *others)

    @classmethod
    def _of_array(cls, rows: Any, feats: Any, groups: Any, sample_weight: Any) -> Photos:
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(
                "coords must hold one (latitude, longitude) pair a row, shape (n, 2); got shape "
                f"{rows.shape}."
            )
        others: list[Any] = []
        for name, value in (("feats", feats), ("groups", groups), ("sample_weight", sample_weight)):
            if _is_columns(value) and value is not None:
                raise TypeError(
                    f"{name}={value!r} names a column, but coords is a Dask array: give a Dask collection."
                )
            others.append(value)
        # Features are the widest: the others are cut as they are.
        widest = others[0] if isinstance(others[0], da.Array) else rows
        cuts = widest.chunks[0]
        arrays = [rows, *others]
        for place, array in enumerate(arrays):
            if isinstance(array, da.Array):
                arrays[place] = _cut(array, cuts)
        rows, *others = arrays
        for name, value in zip(("feats", "groups", "sample_weight"), others, strict=True):
            _check_partitions(name, value, rows.numblocks[0])
        return cls(rows, None, *others)

    @property
    def has_groups(self) -> bool:
        """Whether each photo has a group."""
        return self.groups is not None or (
            self.columns is not None and self.columns.groups is not None
        )

    def parts(self, *, features: bool) -> list[Delayed]:
        """One `RawPart` a partition, lazily; only the columns that are needed are read."""
        rows = self.rows
        if self.columns is not None:
            rows = rows[self.columns.needed(features=features)]
        lists = [
            _delayed_parts(collection)
            for collection in (
                rows,
                self.feats if features else None,
                self.groups,
                self.weights,
            )
        ]
        n_parts = len(lists[0])
        make = delayed(RawPart, traverse=False)
        return [
            make(
                lists[0][number],
                self.columns,
                *(parts[number] if parts else None for parts in lists[1:]),
            )
            for number in range(n_parts)
        ]


def open_collection(coords: Any, storage_options: dict[str, Any] | None = None) -> Any:
    """Dask DataFrame or array of a collection, or of a Parquet dataset by its path, glob or URL."""
    if isinstance(coords, (da.Array, dd.DataFrame)):
        return coords
    if isinstance(coords, str) or hasattr(coords, "__fspath__"):
        try:
            table = dd.read_parquet(str(coords), storage_options=storage_options)
        except (OSError, ValueError, IndexError) as error:
            raise ValueError(
                f"{coords} is not a readable Parquet dataset ({' '.join(str(error).split())})."
            ) from error
        if not len(table.columns):
            raise ValueError(f"There is no Parquet file at {coords}.")
        return table
    raise TypeError(
        "coords must be a Dask DataFrame, a Dask array (n, 2), or the path, glob or URL of a Parquet dataset; got "
        f"{type(coords).__name__}. CellBuilder takes arrays in memory."
    )


def columns_of(
    table: Any, latitude: Any, longitude: Any, feats: Any, groups: Any, weights: Any
) -> Columns:
    """Return the columns of a table by their names, those of coordinates guessed where they are not given."""
    by_name = {str(column).strip().lower(): column for column in table.columns}
    places = []
    for name, guesses, axis in (
        (latitude, LATITUDE_NAMES, "latitude"),
        (longitude, LONGITUDE_NAMES, "longitude"),
    ):
        guess = next((by_name[word] for word in guesses if word in by_name), None)
        found = guess if name is None else name
        if found is None:
            raise ValueError(
                f"coords is a table without a column of {axis}s ({', '.join(guesses)}); it has "
                f"{list(map(str, table.columns))}. Name it by {axis}_column."
            )
        places.append(found)
    columns = Columns(
        *places, *(value if _is_columns(value) else None for value in (feats, groups, weights))
    )
    missing = [name for name in columns.needed(features=True) if name not in table.columns]
    if missing:
        raise ValueError(
            f"coords is a table without a column {missing[0]!r}; it has {list(map(str, table.columns))}."
        )
    return columns


def _is_columns(value: Any) -> bool:
    return isinstance(value, (str, list))


def _cut(array: Any, cuts: Sequence[float]) -> Any:
    """Array with all its columns in one chunk, and the given chunks of rows where their sizes are known."""
    if array.ndim == 2:
        array = array.rechunk({1: -1})
    known = not any(map(math.isnan, (*cuts, *array.chunks[0])))
    if known and sum(cuts) == array.shape[0] and array.chunks[0] != tuple(cuts):
        array = array.rechunk({0: tuple(cuts)})
    return array


def _check_partitions(name: str, value: Any, n_partitions: int) -> None:
    if value is None:
        return
    if not hasattr(value, "to_delayed"):
        raise TypeError(
            f"{name} must be a Dask collection as coords is, or of a table the name of a column; got "
            f"{type(value).__name__}."
        )
    own = value.numblocks[0] if isinstance(value, da.Array) else value.npartitions
    if own != n_partitions:
        raise ValueError(
            f"{name} must be partitioned as coords is, into {n_partitions} partitions; it has {own}."
        )


def _delayed_parts(collection: Any) -> list[Delayed]:
    if collection is None:
        return []
    if isinstance(collection, da.Array):
        return list(_cut(collection, collection.chunks[0]).to_delayed().ravel())
    return list(collection.to_delayed())
