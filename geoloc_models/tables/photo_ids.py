"""Names of photos: there for each of them, and no two alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from geocells.tables import ids
from geoloc_models.errors import GeolocError


def id_texts(values: Any, where: str = "the table", first_row: int = 0) -> pa.ChunkedArray:
    """Ids as text, whole numbers as their digits.

    Raises
    ------
    GeolocError
        If one is missing; ``first_row`` is the number of the first one.
    """
    names = ids(chunked(values, "ids"), where=where)
    refuse_missing(names, "an id", where, range(first_row, first_row + len(names)))
    return names


def refuse_missing(
    values: pa.ChunkedArray, what: str, where: str, row_numbers: Sequence[int]
) -> None:
    """Raise GeolocError where a photo has no value."""
    if values.null_count:
        row = row_numbers[values.is_null().index(True).as_py()]
        raise GeolocError(
            f"Every photo needs {what}; {values.null_count} of {len(values)} rows of {where} have "
            f"none (first: row {row}). Fill in or remove these rows."
        )


def refuse_repeated(names: pd.Series, where: str, n_rows: int) -> None:
    """Raise GeolocError where two photos have one name; the index holds the numbers of their rows."""
    again = names.duplicated().to_numpy()
    if again.any():
        place = int(again.argmax())
        row, name = names.index[place], names.iloc[place]
        before = names.index[int((names == name).to_numpy().argmax())]
        raise GeolocError(
            f"Ids must be unique; {again.sum()} of {n_rows} rows of {where} repeat an earlier one "
            f"(first: row {row} that of row {before}, {name!r}). Remove one of each, or drop the "
            "column of ids."
        )


def chunked(values: Any, name: str) -> pa.ChunkedArray:
    """Values as a chunked array, whatever holds them."""
    if isinstance(values, pa.ChunkedArray):
        return values
    try:
        array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise GeolocError(f"{name} must be texts or whole numbers ({error}).") from error
    return pa.chunked_array([array])
