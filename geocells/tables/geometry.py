"""Points of GeoParquet and GeoJSON as latitudes and longitudes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from geocells.tables.columns import check_names
from geocells.tables.rows import Batch, TableError, check_unpacked
from geocells.tables.table_file import TableFile

AXES = ("latitude", "longitude")


def open_geojson(path: Path) -> TableFile:
    """Read a GeoJSON file of points, which is in memory from then on."""
    table = _read_geojson(path)

    def read(columns: list[str] | None) -> Iterator[Batch]:
        chosen = table if columns is None else table.select(columns)
        yield Batch.from_start(chosen, 0, path.stat().st_size)

    return TableFile(path, tuple(table.column_names), read)


def with_axes(
    table: pa.Table, points: str, metadata: Mapping[bytes, bytes], name: str, n_before: int
) -> pa.Table:
    """Add the latitude and longitude of a column of points in well-known binary.

    Parameters
    ----------
    table : Table
        Rows of a GeoParquet file.
    points : str
        The column.
    metadata : dict
        Of the file.
    name : str
        Of the file, for messages.
    n_before : int
        Rows of the file before these.
    """
    import geopandas as gpd

    if points not in table.column_names:
        return table
    crs = json.loads(metadata[b"geo"])["columns"][points].get("crs", "OGC:CRS84")
    geometry = gpd.GeoSeries.from_wkb(table[points].to_pylist(), crs=crs)
    return _with_axes_of(geometry, table, name, n_before)


def _read_geojson(path: Path) -> pa.Table:
    import geopandas as gpd
    import pyogrio

    try:
        layer = pyogrio.read_info(path, force_feature_count=True)
        check_unpacked(path, 8 * layer["features"] * len(layer["fields"]))
        frame = gpd.read_file(path)
        geometry = frame.geometry
    except TableError:
        raise
    except Exception as error:  # GDAL's own, whatever its kind
        reason = " ".join(str(error).split()).rstrip(".")
        raise TableError(
            f"{path.name} cannot be read as GeoJSON ({reason}). Write it again."
        ) from error
    frame = frame.drop(columns=geometry.name)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    table = _with_axes_of(geometry, table, path.name, 0)
    check_names(table.column_names, path.name)
    return table


def _with_axes_of(geometry: Any, table: pa.Table, name: str, n_before: int) -> pa.Table:
    """Table with the latitudes and longitudes of points in place of its own; NaN where there is none."""
    kinds = geometry.geom_type
    bad = (kinds.notna() & (kinds != "Point")).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise TableError(
            f"{name} must hold points; row {n_before + row + 1} is a {kinds.iloc[row]}. Give one point per photo."
        )
    if geometry.crs is not None and not geometry.crs.is_geographic:
        geometry = geometry.to_crs(4326)
    axes = dict(zip(AXES, (geometry.y, geometry.x), strict=True))
    table = table.drop_columns([name for name in axes if name in table.column_names])
    for axis, degrees in axes.items():
        table = table.append_column(axis, pa.array(degrees.to_numpy()))
    return table
