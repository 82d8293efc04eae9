"""GeoParquet in and out; no pickle."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import FloatArray, IntArray, ObjectArray
from ._assign import OUTSIDE_CHOICES
from ._code_ranges import CodeRanges
from ._locations import Places
from ._territory import Territory

if TYPE_CHECKING:
    import geopandas as gpd

    from .cells import CellPartition

FORMAT_VERSION = 1
METADATA_KEY = b"geocells"
TERRITORIES: dict[str, type[Territory]] = {CodeRanges.kind: CodeRanges}


def to_geodataframe(cells: CellPartition) -> gpd.GeoDataFrame:
    """Table of the cells with their polygons; see `CellPartition.to_geodataframe`."""
    import geopandas as gpd
    import pandas as pd

    columns: dict[str, Any] = {"count": cells.counts, "level": cells.levels}
    if cells.groups is not None:
        columns["group"] = cells.groups
    columns |= {
        "latitude": cells.locations[:, 0],
        "longitude": cells.locations[:, 1],
        "centroid_latitude": cells.centroids[:, 0],
        "centroid_longitude": cells.centroids[:, 1],
    }
    index = pd.RangeIndex(cells.n_cells, name="cell")
    return gpd.GeoDataFrame(columns, index=index, geometry=cells.polygons(), crs=4326)


def _with_places(cells: CellPartition) -> gpd.GeoDataFrame:
    """Table of the cells with their medoids and modes too, where they can tell them."""
    frame = to_geodataframe(cells)
    if cells.places.can_tell:
        for name, points in (("medoid", cells.medoids), ("mode", cells.modes)):
            frame[f"{name}_latitude"], frame[f"{name}_longitude"] = points.T
    return frame


def save(cells: CellPartition, path: Path) -> Path:
    """Write GeoParquet beside ``path`` and rename it there."""
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder) / "cells.parquet"
        _with_places(cells).to_parquet(draft, index=True)
        table = pq.read_table(draft)
        of_territory, columns = cells.territory.to_file(cells.n_cells)
        for name, column in columns.items():
            table = table.append_column(name, column)
        metadata = {
            "format_version": FORMAT_VERSION,
            "territory": cells.territory.kind,
            **of_territory,
            "group_names": None if cells.group_names is None else list(cells.group_names),
            "outside": cells.outside,
            "parameters": cells.parameters,
        }
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(metadata).encode()}
        )
        pq.write_table(table, draft, compression="zstd")
        os.replace(draft, path)
    return path


def load(path: Path) -> dict[str, Any]:
    """Fields of a `CellPartition`, checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file ({error}).") from error
    encoded = (table.schema.metadata or {}).get(METADATA_KEY)
    if encoded is None:
        raise ValueError(
            f"{path} holds no cells of geocells: its metadata has no {METADATA_KEY.decode()!r} entry. Was it written "
            "by CellPartition.save?"
        )
    try:
        return _fields(table, json.loads(encoded))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged or from another version: {error}") from error


def _fields(table: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    version = metadata["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this library reads {FORMAT_VERSION}")
    kind = metadata.get("territory", CodeRanges.kind)
    if kind not in TERRITORIES:
        raise ValueError(f"its cells are {kind!r}; this library knows {', '.join(TERRITORIES)}")
    territory = TERRITORIES[kind].from_file(metadata, table)
    if metadata["outside"] not in OUTSIDE_CHOICES:
        raise ValueError(f"outside is {metadata['outside']!r}")
    if not isinstance(metadata["parameters"], dict):
        raise ValueError("its parameters have no names")
    group_names, group_of_cell = None, None
    if metadata["group_names"] is not None:
        group_names = np.array(metadata["group_names"], dtype=object)
        group_of_cell = _group_numbers(table, group_names)
    places = Places()
    if "medoid_latitude" in table.column_names and not table["medoid_latitude"].null_count:
        places = Places.of_points(
            _points(table, "medoid_", "medoids"), _points(table, "mode_", "modes")
        )
    return {
        "locations": _points(table, "", "locations"),
        "centroids": _points(table, "centroid_", "centroids"),
        "places": places,
        "territory": territory,
        "counts": _whole_numbers(table, "count", least=1),
        "levels": _whole_numbers(table, "level", least=0),
        "group_names": group_names,
        "group_of_cell": group_of_cell,
        "outside": metadata["outside"],
        "parameters": metadata["parameters"],
    }


def _points(table: Any, prefix: str, name: str) -> FloatArray:
    """Columns of latitude and longitude as (n_cells, 2) float64."""
    columns = [table[f"{prefix}{axis}"].to_numpy() for axis in ("latitude", "longitude")]
    points = np.column_stack(columns).astype(np.float64)
    if not (np.abs(points) <= (90.0, 180.0)).all():
        raise ValueError(f"its {name} are not on the globe")
    points.setflags(write=False)
    return points


def _whole_numbers(table: Any, name: str, *, least: int) -> IntArray:
    import pyarrow as pa

    values = table[name]
    if not pa.types.is_integer(values.type) or values.null_count:
        raise ValueError(f"its {name} misses whole numbers")
    numbers: IntArray = values.to_numpy().astype(np.int64)
    if len(numbers) and numbers.min() < least:
        raise ValueError(f"its {name} falls to {numbers.min()}")
    return numbers


def _group_numbers(table: Any, group_names: ObjectArray) -> Any:
    number_of = {name: number for number, name in enumerate(group_names)}
    return np.array([number_of[name] for name in table["group"].to_pylist()], dtype=np.int64)
