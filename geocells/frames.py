"""Tables of pandas, Polars, pyarrow and DuckDB: their columns in, and labels as a column of the same kind out.

Only those that the caller has imported are; whatever is not pandas comes in by Arrow's stream of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geocells.array_types import IntArray


def index_of(coords: Any) -> Any:
    """Return the labels of the rows, a pandas Index, or None where the object has none."""
    index = getattr(coords, "index", None)
    return index if hasattr(index, "get_indexer") else None


def shapes_of(frame: Any) -> Any:
    """Shapes of a GeoDataFrame or GeoSeries in (longitude, latitude) degrees, (n,); None where it is neither."""
    if not (hasattr(frame, "geometry") and hasattr(frame, "crs")):
        return None
    shapes = frame.geometry
    return (shapes if shapes.crs is None else shapes.to_crs(4326)).to_numpy()


def names_of(table: Any) -> list[Any]:
    """Names of the columns."""
    if hasattr(table, "collect_schema"):
        return list(table.collect_schema().names())
    return list(table.schema.names if _library(table) == "pyarrow" else table.columns)


def columns_of(table: Any, names: Sequence[Any]) -> Any:
    """Columns as a pandas DataFrame.

    Raises
    ------
    TypeError
        When the table is of another library.
    """
    if index_of(table) is not None:
        return table[list(names)]
    import pyarrow as pa

    try:
        chosen = table.select(*names) if _library(table) == "duckdb" else table.select(list(names))
        return pa.table(chosen.collect() if hasattr(chosen, "collect") else chosen).to_pandas()
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"Tables must be of pandas, Polars, pyarrow or DuckDB; got {type(table).__qualname__} of "
            f"{_library(table)}. Convert it to one of them."
        ) from error


def labels_like(labels: IntArray, coords: Any) -> Any:
    """Labels in the kind of table that the coordinates came in.

    Parameters
    ----------
    labels : (n,) or (n, n_partitions) int64
        Columns ``cell``, or ``partition_0`` and so on.
    coords : object
        What the caller gave.

    Returns
    -------
    labels : object
        Series or DataFrame of pandas, with the rows' own index, or of Polars; ChunkedArray or Table of pyarrow;
        relation of DuckDB; the array itself for anything else.
    """
    columns = {"cell": labels}
    if labels.ndim == 2:
        columns = {f"partition_{number}": column for number, column in enumerate(labels.T)}
    table: Any
    library, index = _library(coords), index_of(coords)
    if index is not None:
        import pandas as pd

        table = pd.DataFrame(columns, index=index)
    elif library == "polars":
        import polars as pl

        table = pl.DataFrame(columns)
    elif library in ("pyarrow", "duckdb"):
        import pyarrow as pa

        table = pa.table(columns)
    else:
        return labels
    if library == "duckdb":
        import duckdb

        return duckdb.from_arrow(table)
    return table if labels.ndim == 2 else table["cell"]


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]
