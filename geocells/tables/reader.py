"""The one reader of tables: CSV and other delimited text, JSON lines, Parquet, GeoParquet, GeoJSON."""

from __future__ import annotations

import codecs
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from geocells._output import printable
from geocells.tables.columns import (
    ROLE_NAMES,
    candidates,
    check_names,
    columns_note,
    find_columns,
)
from geocells.tables.delimited import (
    DelimitedParser,
    delimiter_of,
    fields_of,
    looks_like_a_row,
)
from geocells.tables.json_lines import JsonLinesParser, keys_of
from geocells.tables.rows import Batch, TableError
from geocells.tables.text import BLOCK_BYTES, COMPRESSED, text_blocks
from geocells.tables.unpacked import check_unpacked, damage_of_parquet, parquet_batches
from geocells.tables.values import texts

logger = logging.getLogger(__name__)

PARQUET = (".parquet", ".pq", ".geoparquet")
_JSON = (".jsonl", ".ndjson", ".json")
_GEOJSON = ".geojson"
_BATCH_ROWS = 1 << 17

Header = bool | Callable[[list[str]], Sequence[str] | None]


@dataclass(frozen=True)
class TableFile:
    """A table whose layout is known and whose rows are not read yet; made by :func:`open_table`.

    Parameters
    ----------
    path : Path
    kind : {"parquet", "geojson", "json", "text"}
    names : tuple of str
        Columns. Points of GeoParquet and GeoJSON are the columns ``latitude`` and ``longitude``, where there are no
        others that could be these.
    metadata : dict
        Of the Arrow schema: what pandas and GeoPandas noted in a Parquet file.
    """

    path: Path
    kind: Literal["parquet", "geojson", "json", "text"]
    names: tuple[str, ...]
    metadata: Mapping[bytes, bytes] = field(default_factory=dict)
    delimiter: str = ","
    quoting: bool = True
    n_header_lines: int = 0
    encoding: str | None = None
    block_bytes: int = BLOCK_BYTES
    points: str | None = None

    @property
    def n_bytes(self) -> int:
        """Size on disk."""
        return self.path.stat().st_size

    def find_columns(
        self,
        wanted: Mapping[str, str | None],
        *,
        needed: Collection[str] = ("latitude", "longitude"),
        role_names: Mapping[str, Sequence[str]] = ROLE_NAMES,
    ) -> dict[str, str]:
        """Column of each role, see :func:`~geocells.tables.find_columns`; columns without a value come last.

        Values are looked at only where two columns may hold one role, and only until the first one has a value.
        """
        groups = {
            role: candidates(self.names, role, role_names)
            for role, given in wanted.items()
            if given is None
        }
        several = {role: names for role, names in groups.items() if len(names) > 1}
        columns = find_columns(
            self.names,
            wanted,
            needed=needed,
            empty=self._empty_columns(several),
            role_names=role_names,
            where=self.path.name,
        )
        logger.info("%s: %s", self.path.name, columns_note(columns))
        return columns

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All rows in the file's order; of these columns only, or of all."""
        chosen = None if columns is None else list(dict.fromkeys(columns))
        if self.kind == "parquet":
            yield from self._parquet_batches(chosen)
        elif self.kind == "geojson":
            table = _read_geojson(self.path)
            yield Batch.from_start(
                table if chosen is None else table.select(chosen), 0, self.n_bytes
            )
        else:
            yield from self._text_batches(chosen)

    def read(self, columns: Sequence[str] | None = None, *, progress: bool = False) -> pa.Table:
        """All rows at once; row i of the table is row i + 1 of the file.

        Raises
        ------
        TableError
            When the file has no rows, or a line that is no row.
        """
        from tqdm import tqdm

        tables = []
        with tqdm(
            total=self.n_bytes, desc=f"reading {printable(self.path.name)}", unit="B", unit_scale=True, delay=2,
            disable=not progress or None,
        ) as bar:  # fmt: skip
            for batch in self.batches(columns):
                if batch.lost:
                    raise batch.lost[0].error(self.path.name)
                tables.append(batch.table)
                bar.update(batch.bytes_read - bar.n)
        table = pa.concat_tables(tables) if tables else None
        if table is None or not table.num_rows:
            raise TableError(f"{self.path.name} holds no rows. Give at least one photo.")
        return table.replace_schema_metadata(dict(self.metadata) or None)

    def _empty_columns(self, several: Mapping[str, list[str]]) -> set[str]:
        """Columns without a value, among those of which one must be chosen."""
        if not several:
            return set()
        unknown = {name for names in several.values() for name in names}
        decisive = {names[0] for names in several.values()}
        for role in ("latitude", "longitude"):
            decisive.update(several.get(role, ()))
        for batch in self.batches(sorted(unknown)):
            for name in sorted(unknown):
                values = texts(batch.table[name])
                if values.null_count < len(values):
                    unknown.discard(name)
            if not unknown & decisive:
                return set()
        return unknown

    def _parquet_batches(self, columns: list[str] | None) -> Iterator[Batch]:
        stored = None if columns is None else [c for c in columns if not self._is_axis(c)]
        if stored is not None and self.points is not None and len(stored) < len(columns or []):
            stored = list(dict.fromkeys([*stored, self.points]))
        with damage_of_parquet(self.path):
            n_rows, n_read = max(pq.read_metadata(self.path).num_rows, 1), 0
            for part in parquet_batches(self.path, stored):
                part.validate(full=True)  # text that is no UTF-8 is found here
                table = pa.Table.from_batches([part])
                if self.points is not None:
                    table = _with_axes(table, self.points, self.metadata, self.path.name, n_read)
                    table = table if columns is None else table.select(columns)
                batch = Batch.from_start(table, n_read, self.n_bytes * n_read // n_rows)
                n_read += part.num_rows
                yield batch
            if not n_read:
                table = pq.ParquetFile(self.path).read(columns=stored).slice(0, 0)
                yield Batch.from_start(table, 0)

    def _is_axis(self, name: str) -> bool:
        return self.points is not None and name in ("latitude", "longitude")

    def _text_batches(self, columns: list[str] | None) -> Iterator[Batch]:
        parser: Any
        if self.kind == "json":
            parser = JsonLinesParser(list(self.names) if columns is None else columns)
        else:
            parser = DelimitedParser(
                self.path.name, list(self.names), self.delimiter, self.quoting,
                self.n_header_lines, columns,
            )  # fmt: skip
        blocks = text_blocks(self.path, block_bytes=self.block_bytes, encoding=self.encoding)
        before = next(blocks, None)
        for block in blocks:
            assert before is not None
            yield self._parsed(parser, *before)
            before = block
        yield self._parsed(parser, *(before or (b"", 0)), last=True)

    def _parsed(self, parser: Any, text: bytes, bytes_read: int, *, last: bool = False) -> Batch:
        if self.kind == "json":  # a key of one line is a column of all
            check_unpacked(self.path, 4 * text.count(b"\n") * len(parser.columns))
        batch: Batch = parser.parse(text, bytes_read, last=last)
        return batch


def open_table(
    path: str | Path,
    *,
    quoting: bool = True,
    delimiter: str | None = None,
    header: Header = True,
    encoding: str | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> TableFile:
    """Find the layout of a table of any size.

    Parameters
    ----------
    path : path
        Delimited text (``.csv``, ``.tsv``, ``.txt``, ...), JSON lines (``.jsonl``), either also ``.gz``, ``.bz2``,
        ``.xz``, ``.zst`` or the one file of a ``.zip``; ``.parquet``, GeoParquet of points; ``.geojson`` of points.
    quoting : bool
        Double quotes enclose texts. Files of GBIF and databases hold them as plain characters: False.
    delimiter : str, optional
        Between columns; by default a comma in ``.csv``, a tab in ``.tsv``, else what the first line uses.
    header : bool or callable
        Whether the first line names the columns; without one they are 1, 2, 3, ... A callable gets the fields of the
        first line and returns the names of a file without header, or None.
    encoding : str, optional
        Of text, such as ``latin-1``; by default UTF-8, or UTF-16 with a byte-order mark.
    block_bytes : int
        About how much text is held at a time; the result does not depend on it.

    Raises
    ------
    TableError
        If the file is missing, damaged, empty or no table, or two columns have one name.
    """
    path = Path(path)
    if not path.exists():
        raise TableError(f"There is no file {path}.")
    if path.is_dir():
        raise TableError(f"{path} is a folder. Name the table in it.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in PARQUET:
        return _open_parquet(path)
    if suffix == _GEOJSON:
        return TableFile(path, "geojson", tuple(_read_geojson(path).column_names))
    first = _first_line(path, encoding)
    if suffix in _JSON or first.lstrip()[:1] == "{":
        return _open_json(path, first, encoding, block_bytes)
    delimiter = delimiter or delimiter_of(first, suffix)
    fields = fields_of(first, delimiter, quoting=quoting)
    if not fields or "\r" in first:
        raise TableError(
            f"The first line of {path.name} cannot be split into columns. Save the file with a line feed at the end "
            "of each line."
        )
    names = _names(fields, header, path.name)
    check_names(names or [], path.name)
    return TableFile(
        path,
        "text",
        tuple(names or [name.strip() for name in fields]),
        delimiter=delimiter,
        quoting=quoting,
        n_header_lines=int(names is None),
        encoding=encoding,
        block_bytes=block_bytes,
    )


def read_table(
    path: str | Path, *, quoting: bool = True, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a table whole.

    Parameters
    ----------
    path : path
        See :func:`open_table`.
    quoting : bool
        Double quotes enclose texts.
    columns : sequence of str, optional
        Columns to read; by default all.

    Returns
    -------
    table : Table
        Row i is row i + 1 of the file. Columns of text files are text, as it stands in the file; those of Parquet keep
        their types, and the schema keeps the metadata of pandas and GeoPandas.

    Raises
    ------
    TableError
        If the file is missing, damaged or empty, or one of its lines is no row; the message names the line.

    Examples
    --------
    >>> from geocells.tables import coordinates, find_columns, read_table
    >>> table = read_table("photos.csv")
    >>> columns = find_columns(table.column_names, {"latitude": None, "longitude": None})
    >>> coordinates(table, columns).shape
    (160, 2)
    """
    return open_table(path, quoting=quoting).read(columns)


def _first_line(path: Path, encoding: str | None) -> str:
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise TableError(f"There is no encoding {encoding!r}. Try latin-1.") from None
    blocks = text_blocks(path, block_bytes=1 << 16, encoding=encoding)
    text, _ = next(blocks, (b"", 0))
    blocks.close()  # type: ignore[attr-defined]
    if not text.strip():
        raise TableError(f"{path.name} is empty. It needs a header line and at least one photo.")
    if b"\0" in text[:4096]:
        raise TableError(
            f"{path.name} is no table of text, JSON lines or Parquet. Save it as UTF-8 text."
        )
    line = text.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise TableError(
            f"The first line of {path.name} is not UTF-8 text. Save the file as UTF-8."
        ) from None


def _names(fields: list[str], header: Header, name: str) -> list[str] | None:
    """Names of columns without a header; None where the first line holds them."""
    if callable(header):
        given = header(fields)
        return None if given is None else list(given)
    if not header:
        return [str(number + 1) for number in range(len(fields))]
    if looks_like_a_row(fields):
        raise TableError(
            f"{name} seems to have no header line (its first line starts with {', '.join(fields[:4])!r}). Add one that "
            "names the columns; `geoloc select` also takes --no-header or a preset."
        )
    check_names([field.strip() for field in fields if field.strip()], name)
    return None


def _open_json(path: Path, first: str, encoding: str | None, block_bytes: int) -> TableFile:
    if first.lstrip().startswith("["):
        raise TableError(
            f"{path.name} is one JSON array. Write one object a line (jq -c '.[]' does that)."
        )
    keys: dict[str, None] = {}
    for text, _ in text_blocks(path, block_bytes=block_bytes, encoding=encoding):
        keys_of(text, keys)
    if not keys:
        raise TableError(
            f"{path.name} does not hold one JSON object a line (line 1: {first[:40]!r})."
        )
    return TableFile(path, "json", tuple(keys), encoding=encoding, block_bytes=block_bytes)


def _open_parquet(path: Path) -> TableFile:
    with damage_of_parquet(path):
        schema = pq.read_schema(path)
    names, metadata = list(schema.names), dict(schema.metadata or {})
    check_names(names, path.name)
    points = None
    if b"geo" in metadata and not all(candidates(names, r) for r in ("latitude", "longitude")):
        with damage_of_parquet(path):
            points = str(json.loads(metadata[b"geo"])["primary_column"])
        names = [
            *(name for name in names if name not in ("latitude", "longitude")),
            "latitude",
            "longitude",
        ]
    return TableFile(path, "parquet", tuple(names), metadata, points=points)


def _with_axes(
    table: pa.Table, points: str, metadata: Mapping[bytes, bytes], name: str, n_before: int
) -> pa.Table:
    """Add the latitude and longitude of a column of points in well-known binary."""
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
    axes = {"latitude": geometry.y, "longitude": geometry.x}
    table = table.drop_columns([name for name in axes if name in table.column_names])
    for axis, degrees in axes.items():
        table = table.append_column(axis, pa.array(degrees.to_numpy()))
    return table
