"""``geocells assign``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from cyclopts import Parameter

from geocells import CellPartition, load_cells
from geocells.cli.common import (
    CLUSTER,
    GroupedTableOptions,
    busy,
    check_output,
    cluster,
    read_photos,
)
from geocells.output import echo
from geocells.tables import WRITABLE, TableError, write_table

_ROWS_AT_A_TIME = 1_000_000
_ADDED = ("cell", "cell_latitude", "cell_longitude")


def assign(
    cells: Path,
    photos: str,
    /,
    *,
    output: Annotated[str, Parameter(alias="-o")],
    outside: Literal["nearest", "noise", "raise"] | None = None,
    table: GroupedTableOptions = GroupedTableOptions(),  # noqa: B008  (frozen)
    dask: Annotated[str | None, Parameter(group=CLUSTER)] = None,
) -> None:
    """Add the cell of each photo to a table; all other columns stay.

    Parameters
    ----------
    cells : Path
        File of `geocells build`, in any format but .csv.
    photos : str
        Table of photos, as for `geocells build`. With --dask: folder, glob or URL of a Parquet dataset.
    output : str
        Table to write, with the new columns cell, cell_latitude and cell_longitude: .csv, .tsv (.gz too),
        .parquet, or .geojson with the photos as points. With --dask: a new folder or URL for a Parquet dataset.
    outside : {"nearest", "noise", "raise"}, optional
        What a photo in no cell gets: the cell with the nearest centroid, -1, or an error. Default: as the cells
        were built.
    dask : str, optional
        Address of a Dask scheduler (tcp://host:8786), or local: worker processes on this machine.
    """
    if dask is not None:
        from geocells import dask as over_dask

        partition = load_cells(cells)
        with cluster(dask), busy("assigning"):
            n_rows = over_dask.assign(
                partition,
                photos,
                table.group_column,
                outside=outside,
                to=output,
                latitude_column=table.latitude_column,
                longitude_column=table.longitude_column,
            )
        echo(f"{n_rows} photos: {output}")
        return
    target = Path(output)
    check_output(target, WRITABLE, cells)
    partition = load_cells(cells)
    read = read_photos(Path(photos), table, others=None)
    taken = [name for name in _ADDED if name in read.table.column_names]
    if taken:
        raise TableError(f"{photos} has a column {taken[0]!r} already; rename or drop it.")
    labels = _labels(partition, read.coords, read.groups, outside)
    assigned = labels >= 0
    points = np.full((len(labels), 2), np.nan)
    points[assigned] = partition.locations[labels[assigned]]
    written = read.table.append_column("cell", pa.array(labels))
    for axis, name in enumerate(_ADDED[1:]):
        written = written.append_column(name, pa.array(points[:, axis], mask=~assigned))
    with busy("writing the table"):
        write_table(written, target, coords=read.coords)
    n_none = int((~assigned).sum())
    left = f", {n_none} in none" if n_none else ""
    echo(f"{len(labels)} photos in {len(np.unique(labels[assigned]))} cells{left}: {output}")
    echo(read.note)


def _labels(
    cells: CellPartition, coords: np.ndarray, groups: np.ndarray | None, outside: str | None
) -> np.ndarray:
    """Labels, a million rows at a time under a progress bar."""
    from tqdm import tqdm

    if groups is not None and cells.groups is not None:
        # The same groups are text in a CSV file and may have been numbers in the one the cells were built from.
        names: dict[Any, Any] = {str(name): name for name in np.unique(cells.groups)}
        groups = np.array([names.get(str(group), group) for group in groups], dtype=object)
    labels = np.empty(len(coords), dtype=np.int64)
    with tqdm(total=len(coords), desc="assigning", unit="photo", delay=2, disable=None) as bar:
        for start in range(0, len(coords), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            some = None if groups is None else groups[rows]
            labels[rows] = cells.assign(coords[rows], some, outside=outside)
            bar.update(len(coords[rows]))
    return labels
