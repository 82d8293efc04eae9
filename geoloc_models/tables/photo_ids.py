"""Names of photos: there for each of them, and no two alike."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from geocells.tables import ids
from geoloc_models._errors import GeolocError


def id_texts(values: Any, where: str = "the table", first_row: int = 0) -> pa.ChunkedArray:
    """Ids as text, whole numbers as their digits.

    Raises
    ------
    GeolocError
        If one is missing; ``first_row`` is the number of the first one.
    """
    names = ids(chunked(values, "ids"), where=where)
    if names.null_count:
        row = pc.index(pc.is_null(names), True).as_py() + first_row
        raise GeolocError(
            f"Every photo needs an id; {names.null_count} of {len(names)} have none (first: row "
            f"{row} of {where}). Fill in or remove such rows."
        )
    return names


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
