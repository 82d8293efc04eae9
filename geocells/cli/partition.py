"""``geocells partition``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells._output import say
from geocells.cli._shared import busy
from geocells.table_partition import partition_table
from geocells.tables import columns_note, open_table


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
    """Write a table as one GeoParquet file per cell, so that a query on a box reads few files.

    Parameters
    ----------
    photos : Path
        Table of photos, as for `geocells build`; it may be larger than memory.
    output : Path
        New folder: cell=0/part-0.parquet and so on; the cells are in _cells.parquet.
    min_rows : int
        Least rows per file.
    latitude_column : str, optional
        Column of latitudes, in degrees. Default: a usual name, such as lat or decimalLatitude.
    longitude_column : str, optional
        Column of longitudes, in degrees. Default: a usual name.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    """
    columns = open_table(photos, quoting=quoting).find_columns(
        {"latitude": latitude_column, "longitude": longitude_column}
    )
    with busy("partitioning"):
        cells = partition_table(
            photos, output, min_rows=min_rows, latitude_column=columns["latitude"],
            longitude_column=columns["longitude"], quoting=quoting,
        )  # fmt: skip
    n_rows, least, most = cells.counts.sum(), cells.counts.min(), cells.counts.max()
    say(f"{cells.n_cells} files of {n_rows} rows, {least} to {most} a file: {output}")
    say(columns_note(columns))
