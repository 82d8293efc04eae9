"""A table of photos as one GeoParquet file a cell, so that a query on a box reads few files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from geocells.array_types import FloatArray, IntArray
from geocells.builder import CellBuilder
from geocells.cells import CellPartition
from geocells.errors import GeocellsWarning
from geocells.files import replacing_folder
from geocells.tables import TableError, TableFile, coordinates, open_table
from geocells.tables.writer import with_column
from geocells.validation import check_count

CELLS_FILE = "_cells.parquet"
_RUN_BYTES = 1 << 28
_GROUP_ROWS = 10_000
_GEOMETRY = "geometry"


def partition_table(
    photos: str | Path,
    folder: str | Path,
    *,
    min_rows: int = 50_000,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    quoting: bool = True,
    run_bytes: int = _RUN_BYTES,
) -> CellPartition:
    """Write a table as one GeoParquet file a cell, in Hive's layout of folders.

    Parameters
    ----------
    photos : path
        Any table that `geocells.tables.open_table` reads; it may be larger than memory.
    folder : path
        New, or empty.
    min_rows : int
        Rows that a file holds at least, where the table has so many.
    latitude_column, longitude_column : str, optional
        By default the columns with usual names.
    quoting : bool
        Double quotes enclose texts.
    run_bytes : int
        Memory for rows that are sorted at a time.

    Returns
    -------
    cells : CellPartition
        Cell i is the folder ``cell=i``; also in ``_cells.parquet``.

    Raises
    ------
    TableError, ValueError
        When a row or an option is unsound. The folder is then left as it was.

    Notes
    -----
    The table is read twice, its rows sorted in runs beside the folder. Memory: 16 bytes a row, one run, and the
    largest cell. Cells are consolidated ones on the world's quadtree. Each file has the bounding box of its points in
    GeoParquet's metadata, and a geometry of points where the table had none; its rows lie in the order of their leaf
    codes, so that row groups of 10 000 are small on the map too. Columns of coordinates become numbers.

    Examples
    --------
    >>> from geocells import partition_table
    >>> cells = partition_table("photos.csv", "photos-by-cell", min_rows=50)
    """
    check_count(min_rows, "min_rows")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already. Name a new folder.")
    file = open_table(photos, quoting=quoting)
    columns = file.find_columns({"latitude": latitude_column, "longitude": longitude_column})
    if _GEOMETRY in file.names and b"geo" not in file.metadata:
        raise TableError(
            f"{file.path.name} has a column {_GEOMETRY!r} that is no GeoParquet geometry. Rename or drop it."
        )
    coords = _coordinates(file, columns)
    builder = CellBuilder(
        min_rows, method="consolidated", min_cell_size=1e-4, bounds=(-90.0, -180.0, 90.0, 180.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeocellsWarning)  # of too few cells for a classifier
        builder.fit(coords)
    cells: CellPartition = builder.cells_
    labels = builder.labels_
    codes = cells.grid.encode(coords)
    with replacing_folder(folder) as draft:
        runs = _Runs(draft.parent, run_bytes)
        start = 0
        for batch in file.batches():
            rows = slice(start, start + batch.table.num_rows)
            table = batch.table.replace_schema_metadata(None)
            for axis, role in enumerate(("latitude", "longitude")):
                table = with_column(table, columns[role], pa.array(coords[rows, axis]))
            runs.add(table, labels[rows], codes[rows])
            start = rows.stop
        runs.flush()
        for cell in range(cells.n_cells):
            target = draft / f"cell={cell}" / "part-0.parquet"
            target.parent.mkdir(parents=True)
            _write_cell(runs.table_of(cell), file, columns, target)
        cells.save(draft / CELLS_FILE)
    return cells


def _coordinates(file: TableFile, columns: Mapping[str, str]) -> FloatArray:
    """Coordinates of all rows, (n, 2) degrees."""
    parts = []
    for batch in file.batches(list(columns.values())):
        if batch.lost:
            raise batch.lost[0].error(file.path.name)
        if batch.table.num_rows:
            first_row = int(batch.rows[0])
            parts.append(
                coordinates(batch.table, columns, where=file.path.name, first_row=first_row)
            )
    if not parts:
        raise TableError(f"{file.path.name} holds no rows. Give at least one photo.")
    return np.concatenate(parts)


@dataclass
class _Runs:
    """Sorted runs of rows on disk: Arrow files with one record batch a cell."""

    folder: Path
    run_bytes: int
    _tables: list[pa.Table] = field(default_factory=list)
    _n_bytes: int = 0
    _batch_of_cell: list[dict[int, int]] = field(default_factory=list)

    def add(self, table: pa.Table, labels: IntArray, codes: Any) -> None:
        """Hold rows until there are enough for a run."""
        table = table.append_column("__cell", pa.array(labels.astype(np.int64)))
        self._tables.append(table.append_column("__code", pa.array(codes.astype(np.uint64))))
        self._n_bytes += table.nbytes
        if self._n_bytes >= self.run_bytes:
            self.flush()

    def flush(self) -> None:
        """Sort what is held by cell and code, and write it as a run."""
        if not self._tables:
            return
        table = pa.concat_tables(self._tables).unify_dictionaries()
        self._tables, self._n_bytes = [], 0
        labels = table["__cell"].to_numpy()
        order = np.lexsort((table["__code"].to_numpy(), labels))
        cells_of_batch, starts = np.unique(labels[order], return_index=True)
        table = table.drop_columns(["__cell"])
        with pa.ipc.new_file(self._path(len(self._batch_of_cell)), table.schema) as writer:
            for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
                part = table.take(pa.array(order[start:stop]))
                writer.write_batch(part.combine_chunks().to_batches()[0])
        self._batch_of_cell.append({int(cell): place for place, cell in enumerate(cells_of_batch)})

    def table_of(self, cell: int) -> pa.Table:
        """All rows of a cell, by code."""
        tables = []
        for run, places in enumerate(self._batch_of_cell):
            if cell in places:
                source = pa.ipc.open_file(pa.memory_map(str(self._path(run))))
                tables.append(pa.Table.from_batches([source.get_batch(places[cell])]))
        table = pa.concat_tables(tables).unify_dictionaries()
        order = np.argsort(table["__code"].to_numpy(), kind="stable")
        return table.drop_columns(["__code"]).take(pa.array(order))

    def _path(self, run: int) -> Path:
        return self.folder / f"{run}.arrow"


def _write_cell(table: pa.Table, file: TableFile, columns: Mapping[str, str], target: Path) -> None:
    if b"geo" in file.metadata:
        geo = json.loads(file.metadata[b"geo"])
        points = shapely.from_wkb(table[geo["primary_column"]].to_numpy())
    else:
        points = shapely.points(*(table[columns[role]] for role in ("longitude", "latitude")))
        table = table.append_column(_GEOMETRY, pa.array(shapely.to_wkb(points), pa.binary()))
        column = {"encoding": "WKB", "geometry_types": ["Point"]}
        geo = {"version": "1.1.0", "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}
    geo["columns"][geo["primary_column"]]["bbox"] = shapely.total_bounds(points).tolist()
    table = table.replace_schema_metadata({**file.metadata, b"geo": json.dumps(geo).encode()})
    pq.write_table(table, target, row_group_size=_GROUP_ROWS, compression="zstd")
