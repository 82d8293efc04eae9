"""``geocells partition``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells.cli._shared import busy
from geocells.table_partition import partition_table
from geocells.tables import columns_note


def partition(
    photos: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    min_rows: int = 50_000,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    quoting: bool = True,
) -> None:
    """Write a table as one GeoParquet file a cell: a query on a box then reads few files.

    Parameters
    ----------
    photos : Path
        Table of photos, as for `geocells build`; it may be larger than memory.
    output : Path
        New folder: cell=0/part-0.parquet and so on, and the cells in _cells.parquet.
    min_rows : int
        Rows that a file holds at least.
    latitude_column : str, optional
        Column of latitudes, in degrees; by default the one with a usual name.
    longitude_column : str, optional
        Column of longitudes, in degrees; by default the one with a usual name.
    quoting : bool
        Double quotes enclose texts.
    """
    with busy("partitioning"):
        written = partition_table(
            photos, output, min_rows=min_rows, latitude_column=latitude_column,
            longitude_column=longitude_column, quoting=quoting,
        )  # fmt: skip
    counts = written.cells.counts
    print(
        f"{len(counts)} files of {written.n_rows} rows, {counts.min()} to {counts.max()} a file: {output}"
    )
    print(columns_note(written.columns))
