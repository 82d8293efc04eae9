"""Files of cells in and out: GeoParquet, and the layers that GDAL writes; no pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geocells.array_types import IntArray, ObjectArray
from geocells.cells.index import CellIndex, CodeRangeIndex, VoronoiIndex, points_of
from geocells.cells.region_index import RegionIndex
from geocells.cells.representative_points import RepresentativePoints
from geocells.files import replacing
from geocells.validation import check_choice

if TYPE_CHECKING:
    import geopandas as gpd

FORMAT_VERSION = 1
METADATA_KEY = b"geocells"
LAYERS: dict[str, dict[str, Any]] = {
    ".geojson": {"driver": "GeoJSON", "RFC7946": "YES", "COORDINATE_PRECISION": 15},
    ".gpkg": {"driver": "GPKG"},
    ".fgb": {"driver": "FlatGeobuf"},
}
"""Suffixes of files that GDAL writes, its drivers and their options."""

SUFFIXES = (".parquet", *LAYERS)
ENCODINGS = ("WKB", "geoarrow")
_TEXT = METADATA_KEY.decode()
"""Column of a layer that holds a cell's other columns as JSON, exactly; its first row the file's metadata too."""

_VERSION = "1 "  # before the JSON, lest GDAL take it for JSON of its own
KINDS: dict[str, type[CellIndex]] = {
    index.kind: index for index in (CodeRangeIndex, VoronoiIndex, RegionIndex)
}
OUTSIDE_CHOICES = ("nearest", "noise", "raise")
"""What may be answered where no cell holds a coordinate."""

_DAMAGE = (
    KeyError,
    TypeError,
    ValueError,  # pyarrow's errors too
    IndexError,
    OverflowError,
    NotImplementedError,
    AttributeError,  # a number or a text where its metadata should have an object
    RecursionError,  # metadata nested without end
)


def write(
    path: Path,
    parts: Sequence[tuple[gpd.GeoDataFrame, CellIndex, dict[str, Any]]],
    *,
    several: bool,
    geometry_encoding: str = "WKB",
) -> Path:
    """Write partitions into one file, beside its target and then renamed.

    Parameters
    ----------
    path : Path
        Its suffix, one of ``SUFFIXES``, chooses the format.
    parts : sequence of (GeoDataFrame, CellIndex, dict)
        For each partition its table (a row a cell), its index, and what else it needs as plain values.
    several : bool
        Whether the file is a list of partitions; a column ``partition`` then tells them apart.
    geometry_encoding : {"WKB", "geoarrow"}
        Of the polygons in GeoParquet.

    Raises
    ------
    ValueError
        When no format has such a suffix or encoding.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"Cells are saved as {', '.join(SUFFIXES)}; got {path.name!r}.")
    choices = ENCODINGS if suffix == ".parquet" else ENCODINGS[:1]
    check_choice(geometry_encoding, f"geometry_encoding of a {suffix} file", choices)
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    frames, metadata, columns = [], [], []
    for number, (frame, index, values) in enumerate(parts):
        frames.append(frame.assign(partition=number) if several else frame)
        of_index, index_columns = index.to_file(len(frame))
        header = {"format_version": FORMAT_VERSION, "territory": index.kind}
        metadata.append({**header, **of_index, **values})
        columns.append(index_columns)
    stored = {"format_version": FORMAT_VERSION, "partitions": metadata} if several else metadata[0]
    cells = pd.concat(frames)
    added = {
        name: pa.chunked_array([pa.array(of_part[name]) for of_part in columns])
        for name in columns[0]
    }
    with replacing(path) as draft:
        if suffix in LAYERS:
            _write_layer(draft, cells, added, stored)
            return path
        cells.to_parquet(draft, index=True, geometry_encoding=geometry_encoding)
        table = pq.ParquetFile(draft).read()
        for name, column in added.items():
            table = table.append_column(name, column)
        table = table.replace_schema_metadata(
            {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(stored).encode()}
        )
        pq.write_table(table, draft, compression="zstd")
    return path


def _write_layer(
    draft: Path, cells: gpd.GeoDataFrame, added: dict[str, Any], stored: dict[str, Any]
) -> None:
    import pyarrow as pa
    import pyogrio

    cells = cells.reset_index()
    rows = pa.Table.from_pandas(cells.drop(columns="geometry")).to_pylist()
    for name, column in added.items():
        for row, value in zip(rows, column.to_pylist(), strict=True):
            row[name] = value
    rows[0][_TEXT] = stored
    texts = [_VERSION + json.dumps(row, default=bytes.hex) for row in rows]
    content = BytesIO()  # GDAL itself says nothing of a disk that is full
    options = LAYERS[draft.suffix.lower()]
    pyogrio.write_dataframe(cells.assign(**{_TEXT: texts}), content, layer="cells", **options)
    draft.write_bytes(content.getbuffer())


def _read_layer(path: Path) -> tuple[Any, bytes | None]:
    """Table of cells without their polygons, and the metadata, of a file that `_write_layer` wrote."""
    import pyarrow as pa
    import pyogrio

    try:
        _, layer = pyogrio.read_arrow(path, read_geometry=False)
    except (pyogrio.errors.DataSourceError, pa.ArrowException) as error:
        raise ValueError(f"{path} is not a readable file of polygons ({error}).") from error
    if _TEXT not in layer.column_names or not layer.num_rows:
        return layer, None
    try:
        rows = [json.loads(text.removeprefix(_VERSION)) for text in layer[_TEXT].to_pylist()]
        rows.sort(
            key=lambda row: (row.get("partition", 0), row["cell"])
        )  # a spatial index has another order
        return pa.Table.from_pylist(rows), json.dumps(rows[0].pop(_TEXT)).encode()
    except (pa.ArrowException, *_DAMAGE) as error:
        raise ValueError(f"{path} is damaged or from another version: {error}") from error


def read(path: Path, *, several: bool) -> list[dict[str, Any]]:
    """Fields of each `CellPartition` of a file, checked; of one unless ``several``.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file holds no cells, is damaged, or holds one partition instead of several.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from geocells.tables import read_parquet

    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix.lower() in LAYERS:
        table, encoded = _read_layer(path)
    else:
        try:
            table = read_parquet(path)
        except ValueError:
            if path.suffix.lower() in ("", ".parquet"):
                raise
            raise ValueError(
                f"{path} holds no cells, which are read from {', '.join(SUFFIXES)}."
            ) from None
        encoded = (table.schema.metadata or {}).get(METADATA_KEY)
    if encoded is None:
        raise ValueError(
            f"{path} holds no cells of geocells: it has no {_TEXT!r} entry. Was it written "
            "by CellPartition.save?"
        )
    try:
        metadata = json.loads(encoded)
        if several != ("partitions" in metadata):
            if several:
                raise ValueError("it holds one partition; read it with load_cells")
            n_partitions = len(metadata["partitions"])
            raise ValueError(f"it holds {n_partitions} partitions; read it with CellHierarchy.load")
        if not several:
            return [_fields(table, metadata)]
        return [
            _fields(table.filter(pc.equal(table["partition"], number)), values)
            for number, values in enumerate(metadata["partitions"])
        ]
    except (pa.ArrowException, *_DAMAGE) as error:
        raise ValueError(f"{path} is damaged or from another version: {error}") from error


def _fields(table: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    version = metadata["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}; this library reads {FORMAT_VERSION}")
    kind = metadata.get("territory", CodeRangeIndex.kind)
    if kind not in KINDS:
        raise ValueError(f"its cells are {kind!r}; this library knows {', '.join(KINDS)}")
    if metadata["outside"] not in OUTSIDE_CHOICES:
        raise ValueError(f"outside is {metadata['outside']!r}")
    if not isinstance(metadata["parameters"], dict):
        raise ValueError("its parameters have no names")
    method, min_images = (metadata["parameters"].get(name) for name in ("method", "min_images"))
    if not (method is None or re.fullmatch("[a-z_]+", method)):
        raise ValueError(f"its method is {method!r}")
    if not (min_images is None or (type(min_images) is int and min_images >= 1)):
        raise ValueError(f"its min_images is {min_images!r}")
    # Files of version 0.1 have rank_by under the name of score.
    parameters = {
        "rank_by" if name == "score" else name: value
        for name, value in metadata["parameters"].items()
    }
    group_names, group_of_cell = _groups(table, metadata["group_names"])
    points = None
    if "medoid_latitude" in table.column_names and not table["medoid_latitude"].null_count:
        points = points_of(table, "medoid_", "medoids"), points_of(table, "mode_", "modes")
    return {
        "cell_index": KINDS[kind].from_file(metadata, table, group_of_cell),
        "centroids": points_of(table, "centroid_", "centroids"),
        "locations": points_of(table, "", "locations"),
        "counts": _integers(table, "count", least=1),
        "levels": _integers(table, "level", least=0),
        "group_names": group_names,
        "group_of_cell": group_of_cell,
        "outside": metadata["outside"],
        "parameters": parameters,
        "representative_points": RepresentativePoints(points),
    }


def _groups(table: Any, names: list[Any] | None) -> tuple[ObjectArray | None, IntArray | None]:
    """Names of the groups, and the number of each cell's."""
    if names is None:
        return None, None
    number_of = {name: number for number, name in enumerate(names)}
    if len(number_of) < len(names):
        raise ValueError("one of its groups is there twice")
    numbers = [number_of[name] for name in table["group"].to_pylist()]
    return np.array(names, dtype=object), np.array(numbers, dtype=np.int64)


def _integers(table: Any, name: str, *, least: int) -> IntArray:
    import pyarrow as pa

    from geocells.tables import as_numpy

    values = table[name]
    if not pa.types.is_integer(values.type) or values.null_count:
        raise ValueError(f"its {name} has missing numbers")
    numbers: IntArray = as_numpy(values).astype(np.int64)
    if len(numbers) and numbers.min() < least:
        raise ValueError(f"its {name} falls to {numbers.min()}")
    return numbers
