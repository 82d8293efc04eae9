"""assign: the cell of every photo, one partition at a time."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.delayed import delayed
from fsspec.core import url_to_fs

from geocells._types import IntArray
from geocells.cells import CellPartition, RepresentativePoints
from geocells.distributed._photos import Columns, Photos, coords_of_table, numbers_of
from geocells.validation import check_coords, check_groups

ADDED = ("cell", "cell_latitude", "cell_longitude")


def assign(
    cells: CellPartition,
    coords: Any,
    groups: Any = None,
    *,
    outside: str | None = None,
    to: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    storage_options: dict[str, Any] | None = None,
    client: Any = None,
) -> Any:
    """Cell of every photo of a Dask collection or Parquet dataset, partition by partition.

    Parameters
    ----------
    cells : CellPartition
        From `fit`, `CellBuilder`, or any other maker of cells.
    coords : dask DataFrame, dask array (n, 2), or str
        As `fit` takes them.
    groups : str or dask collection (n,), optional
        Column, or collection partitioned as ``coords`` is; see `CellPartition.assign`.
    outside : {"nearest", "noise", "raise"}, optional
        Where no cell holds the coordinate. Default: as the cells were built.
    to : str, optional
        Folder or URL for a Parquet dataset: the photos' own columns and ``cell``, ``cell_latitude`` and
        ``cell_longitude`` (missing where the cell is -1), a file for each partition that has rows; each appears when
        it is whole. The folder must not hold any files yet. Left out, nothing is read now.
    latitude_column, longitude_column : str, optional
        Columns of a DataFrame or dataset.
    storage_options : dict, optional
        For fsspec, where ``coords`` or ``to`` is a URL.
    client : distributed.Client, optional
        The cluster that writes. Default: Dask's current client or scheduler.

    Returns
    -------
    labels : dask Series named ``cell``, dask array (n,) of int64, or int
        Lazy, with the rows' own index and partitions; after writing, the number of rows.

    Raises
    ------
    ValueError, TypeError
        When the collection is none, or the dataset to write exists.

    Notes
    -----
    A streaming map: every worker thread holds one partition and the cells, whatever the number of partitions.

    Examples
    --------
    >>> import dask
    >>> import dask.array
    >>> import numpy as np
    >>> from geocells import CellBuilder, distributed
    >>> coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, size=(2000, 2))
    >>> cells = CellBuilder(min_images=200, method="consolidated").fit(coords).cells_
    >>> labels = distributed.assign(cells, dask.array.from_array(coords, chunks=(700, 2)))
    >>> labels.chunks
    ((700, 700, 600),)
    >>> bool((labels.compute(scheduler="synchronous") == cells.assign(coords)).all())
    True
    """
    photos = Photos.of(
        coords,
        groups=groups,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        storage_options=storage_options,
    )
    if photos.has_groups and cells.group_names is None:
        raise ValueError("These cells were built without groups: leave groups out of assign.")
    if to is None:
        return labels_of(cells, photos, outside)
    return _write(cells, photos, outside, str(to), storage_options, client)


def labels_of(cells: CellPartition, photos: Photos, outside: str | None) -> Any:
    """Lazy labels of photos."""
    shared = _shared(cells)
    if photos.columns is None:
        groups = photos.groups
        if groups is not None and not isinstance(groups, da.Array):
            raise TypeError(
                f"groups must be a Dask array as coords is; got {type(groups).__name__}."
            )
        arguments = () if groups is None else (groups, "i")
        return da.blockwise(
            _labels_of_block,
            "i",
            photos.rows,
            "ij",
            *arguments,
            dtype=np.int64,
            concatenate=True,
            meta=np.empty(0, dtype=np.int64),
            cells=shared,
            outside=outside,
        )
    return _mapped(
        photos, _labels_of_table, shared, outside, pd.Series([], dtype=np.int64, name="cell")
    )


def _shared(cells: CellPartition) -> Any:
    """Cells as one node of the graph, without the images that medoids and modes would be worked out from."""
    bare = (
        cells
        if not cells.representative_points.is_known
        else replace(cells, representative_points=RepresentativePoints())
    )
    return delayed(bare, traverse=False)


def _mapped(photos: Photos, work: Any, shared: Any, outside: str | None, meta: Any) -> Any:
    columns, groups = photos.columns, photos.groups
    if isinstance(groups, da.Array):
        raise TypeError("groups must be a column's name or a Dask Series as coords is a table.")
    if groups is not None:
        return photos.rows.map_partitions(
            work, groups, cells=shared, columns=columns, outside=outside, meta=meta
        )
    rows = photos.rows
    if isinstance(meta, pd.Series) and columns is not None:
        rows = rows[columns.needed(features=False)]
    return rows.map_partitions(work, cells=shared, columns=columns, outside=outside, meta=meta)


def _labels_of_block(
    rows: Any, groups: Any = None, *, cells: CellPartition, outside: str | None
) -> IntArray:
    checked = check_coords(rows, allow_empty=True)
    return _labels(cells, checked, groups, outside)


def _labels_of_table(
    rows: Any, groups: Any = None, *, cells: CellPartition, columns: Columns, outside: str | None
) -> Any:
    if columns.groups is not None:
        groups = rows[columns.groups]
    labels = _labels(cells, coords_of_table(rows, columns), groups, outside)
    return pd.Series(labels, index=rows.index, name="cell")


def _labels(cells: CellPartition, coords: Any, groups: Any, outside: str | None) -> IntArray:
    if groups is None or cells.group_names is None:
        return cells.assign_checked(coords, None, outside)
    numbers = numbers_of(check_groups(groups, len(coords)), cells.group_names)
    return cells.assign_checked(coords, numbers, outside)


def _with_cells(
    rows: Any, groups: Any = None, *, cells: CellPartition, columns: Columns, outside: str | None
) -> Any:
    """Table with its photos' cells and the points that those answer with."""
    labels = _labels_of_table(rows, groups, cells=cells, columns=columns, outside=outside)
    points = np.full((len(rows), 2), np.nan)
    held = labels.to_numpy() >= 0
    points[held] = cells.locations[labels.to_numpy()[held]]
    return rows.assign(cell=labels, cell_latitude=points[:, 0], cell_longitude=points[:, 1])


def _write(
    cells: CellPartition,
    photos: Photos,
    outside: str | None,
    to: str,
    storage_options: dict[str, Any] | None,
    client: Any,
) -> int:
    """Write a file a partition; return the number of rows."""
    files, folder = url_to_fs(to, **(storage_options or {}))
    if files.exists(folder) and (files.isfile(folder) or files.ls(folder)):
        raise ValueError(f"{to} exists already and is not empty: name a new folder, or remove it.")
    if photos.columns is None:
        table = dd.from_dask_array(photos.rows, columns=["latitude", "longitude"])
        groups = (
            None if photos.groups is None else dd.from_dask_array(photos.groups, columns="group")
        )
        photos = Photos(table, Columns("latitude", "longitude"), groups=groups)
    taken = [name for name in ADDED if name in photos.rows.columns]
    if taken:
        raise ValueError(f"coords has a column {taken[0]!r} already; rename or drop it.")
    files.makedirs(folder, exist_ok=True)
    shared = _shared(cells)
    parts = photos.rows.to_delayed()
    groups_of_part = [None] * len(parts) if photos.groups is None else photos.groups.to_delayed()
    write = delayed(_write_part)
    written = [
        write(
            f"{folder}/part-{number:06d}.parquet",
            files,
            part,
            own_groups,
            cells=shared,
            columns=photos.columns,
            outside=outside,
        )
        for number, (part, own_groups) in enumerate(zip(parts, groups_of_part, strict=True))
    ]
    with nullcontext() if client is None else client.as_current():
        n_rows: int = sum(dask.compute(*written))
    if n_rows == 0:
        columns = photos.columns or Columns("latitude", "longitude")
        empty = photos.rows._meta
        table = _with_cells(empty, None, cells=cells, columns=columns, outside=outside)
        _write_table(f"{folder}/part-000000.parquet", files, table)
    return n_rows


def _write_part(path: str, files: Any, rows: Any, groups: Any, **how: Any) -> int:
    """Write one partition; nothing for an empty one, which would not know the types of its columns."""
    if len(rows):
        _write_table(path, files, _with_cells(rows, groups, **how))
    return len(rows)


def _write_table(path: str, files: Any, table: Any) -> None:
    """Write a file that appears under its name only when it is whole."""
    file = files.open(path, "wb", autocommit=False)
    try:
        with file:
            table.to_parquet(file, index=False)
    except BaseException:
        file.discard()
        raise
    file.commit()
