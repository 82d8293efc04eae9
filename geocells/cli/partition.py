"""``geocells partition``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells.cli.common import TableOptions, busy
from geocells.output import echo
from geocells.table_partition import partition_table
from geocells.tables import columns_note, open_table


def partition(
    photos: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    min_rows: int = 50_000,
    table: TableOptions = TableOptions(),  # noqa: B008  (frozen)
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
    table : TableOptions
        How the table is read.
    """
    columns = open_table(photos, quoting=table.quoting).find_columns(
        {"latitude": table.latitude_column, "longitude": table.longitude_column}
    )
    with busy("partitioning"):
        cells = partition_table(
            photos, output, min_rows=min_rows, latitude_column=columns["latitude"],
            longitude_column=columns["longitude"], quoting=table.quoting,
        )  # fmt: skip
    n_rows, least, most = cells.counts.sum(), cells.counts.min(), cells.counts.max()
    files = f"{cells.n_cells} file{'s' if cells.n_cells != 1 else ''}"
    echo(f"{files} of {n_rows} rows, {least} to {most} a file: {output}")
    echo(columns_note(columns))
