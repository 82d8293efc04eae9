"""GeoParquet in and out; no pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geocells._types import FloatArray, IntArray, ObjectArray
from geocells.cells._assign import OUTSIDE_CHOICES
from geocells.cells._code_ranges import CodeRangeIndex
from geocells.cells._locations import RepresentativePoints
from geocells.cells._regions import RegionIndex
from geocells.cells._voronoi import VoronoiIndex
from geocells.cells.index import CellIndex

if TYPE_CHECKING:
    import geopandas as gpd

    from geocells.cells.partition import CellPartition

FORMAT_VERSION = 1
METADATA_KEY = b"geocells"
_DAMAGE = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    OverflowError,
    AttributeError,  # a number or a text where its metadata should have an object
    RecursionError,  # metadata nested without end
)
KINDS: dict[str, type[CellIndex]] = {
    CodeRangeIndex.kind: CodeRangeIndex,
    VoronoiIndex.kind: VoronoiIndex,
    RegionIndex.kind: RegionIndex,
}


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
    if cells.representative_points.is_known:
        for name, points in (("medoid", cells.medoids), ("mode", cells.modes)):
            frame[f"{name}_latitude"], frame[f"{name}_longitude"] = points.T
    return frame


def save(cells: CellPartition, path: Path) -> Path:
    """Write GeoParquet beside ``path`` and rename it there."""
    return _write(path, _with_places(cells), [cells], _metadata(cells))


def save_several(partitions: Sequence[CellPartition], path: Path) -> Path:
    """Write several partitions into one GeoParquet, a column ``partition`` telling them apart."""
    import pandas as pd

    frames = [
        _with_places(cells).assign(partition=number) for number, cells in enumerate(partitions)
    ]
    metadata = {
        "format_version": FORMAT_VERSION,
        "partitions": [_metadata(cells) for cells in partitions],
    }
    return _write(path, pd.concat(frames), partitions, metadata)


def _metadata(cells: CellPartition) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "territory": cells.cell_index.kind,
        **cells.cell_index.to_file(cells.n_cells)[0],
        "group_names": None if cells.group_names is None else list(cells.group_names),
        "outside": cells.outside,
        "parameters": cells.parameters,
    }


def _write(
    path: Path,
    frame: gpd.GeoDataFrame,
    partitions: Sequence[CellPartition],
    metadata: dict[str, Any],
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder) / "cells.parquet"
        frame.to_parquet(draft, index=True)
        table = pq.read_table(draft)
        columns = [cells.cell_index.to_file(cells.n_cells)[1] for cells in partitions]
        for name in columns[0]:
            table = table.append_column(name, pa.chunked_array([own[name] for own in columns]))
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(metadata).encode()}
        )
        pq.write_table(table, draft, compression="zstd")
        os.replace(draft, path)
    return path


def load(path: Path) -> dict[str, Any]:
    """Fields of a `CellPartition`, checked."""

    def fields_of(table: Any, metadata: dict[str, Any]) -> dict[str, Any]:
        if "partitions" in metadata:
            raise ValueError(
                f"it holds {len(metadata['partitions'])} partitions; read it with CellHierarchy.load"
            )
        return _fields(table, metadata)

    fields: dict[str, Any] = _read(path, fields_of)
    return fields


def load_several(path: Path) -> list[dict[str, Any]]:
    """Fields of every `CellPartition` of a file, checked."""

    def fields_of(table: Any, metadata: dict[str, Any]) -> list[dict[str, Any]]:
        import pyarrow.compute as pc

        if "partitions" not in metadata:
            raise ValueError("it holds one partition; read it with load_cells")
        return [
            _fields(table.filter(pc.equal(table["partition"], number)), own)
            for number, own in enumerate(metadata["partitions"])
        ]

    fields: list[dict[str, Any]] = _read(path, fields_of)
    return fields


def _read(path: Path, fields_of: Callable[[Any, dict[str, Any]], Any]) -> Any:
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
        return fields_of(table, json.loads(encoded))
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged or from another version: {error}") from error
    except pa.ArrowException as error:
        raise ValueError(f"{path} is damaged or from another version: {error}") from error


def _fields(table: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    version = metadata["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this library reads {FORMAT_VERSION}")
    kind = metadata.get("territory", CodeRangeIndex.kind)
    if kind not in KINDS:
        raise ValueError(f"its cells are {kind!r}; this library knows {', '.join(KINDS)}")
    cell_index = KINDS[kind].from_file(metadata, table)
    if metadata["outside"] not in OUTSIDE_CHOICES:
        raise ValueError(f"outside is {metadata['outside']!r}")
    if not isinstance(metadata["parameters"], dict):
        raise ValueError("its parameters have no names")
    group_names, group_of_cell = None, None
    if metadata["group_names"] is not None:
        group_names = np.array(metadata["group_names"], dtype=object)
        if len(set(metadata["group_names"])) < len(group_names):
            raise ValueError("one of its groups is there twice")
        group_of_cell = _group_numbers(table, group_names)
    points = RepresentativePoints()
    if "medoid_latitude" in table.column_names and not table["medoid_latitude"].null_count:
        points = RepresentativePoints.from_points(
            _points(table, "medoid_", "medoids"), _points(table, "mode_", "modes")
        )
    return {
        "locations": _points(table, "", "locations"),
        "centroids": _points(table, "centroid_", "centroids"),
        "representative_points": points,
        "cell_index": cell_index,
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
