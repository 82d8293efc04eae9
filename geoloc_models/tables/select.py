"""From metadata of any size to the table of the photos that lie in the wanted countries."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from geocells.tables import PARQUET, TableFile, ids, texts, with_column, write_batches
from geoloc_models.countries.polygons import read_countries
from geoloc_models.errors import GeolocError
from geoloc_models.files import refuse_input
from geoloc_models.tables.chooser import CountryChooser
from geoloc_models.tables.cleaning import RowCleaner, SeenIds, refuse_if_none
from geoloc_models.tables.hashing import hash_texts, stream_start
from geoloc_models.tables.presets import ROLES, URL_LIST, preset_named
from geoloc_models.tables.relative_paths import with_paths_from
from geoloc_models.tables.select_options import SelectOptions

_TEXT_ROLES = ("url", "path", "user", "time", "group")
_ROW_GROUP_ROWS = 1 << 17
_URL_HASHES = stream_start("metadata/url", 0)


@dataclass(frozen=True)
class MetadataReport:
    """What became of the rows of some metadata.

    Parameters
    ----------
    n_read : int
        Rows in the files, half-written ones too, headers and blank lines not.
    n_kept : int
        Rows of the table written.
    dropped : dict
        Reason to number of rows, most frequent first; a row has one reason, the first that
        applies. ``n_read == n_kept + sum(dropped.values())``.
    countries : dict
        Code to number of photos kept, most frequent first.
    examples : dict
        Reason to the first value it was given for, where one tells more.
    columns : tuple of str
        Columns of the table written.
    sources : dict
        Role to the column of the first file that was taken for it.
    """

    n_read: int
    n_kept: int
    dropped: dict[str, int]
    countries: dict[str, int]
    examples: dict[str, str]
    columns: tuple[str, ...]
    sources: dict[str, str]


def select_photos(
    metadata: str | Path | Sequence[str | Path],
    output: str | Path,
    options: SelectOptions | None = None,
    *,
    progress: bool = False,
) -> MetadataReport:
    """Write the photos of some countries as a table that the other steps read.

    Parameters
    ----------
    metadata : path or sequence of paths
        Tables of any size and any kind that :func:`geocells.tables.open_table` reads, or folders of
        Parquet files.
    output : path
        ``.parquet`` file, written whole or not at all.
    options : SelectOptions, optional
        Which photos, and how the files are laid out; by default all, by the usual names.
    progress : bool
        Show a bar after two seconds.

    Returns
    -------
    MetadataReport

    Raises
    ------
    ValueError
        If a file is missing, damaged or empty, its layout is another one (delimiter, encoding,
        columns, swapped coordinates), no row is whole, no photo lies in the countries, or an option
        is out of range. Single bad rows are dropped and counted instead.
    ValueError
        If the output is one of the files.

    Notes
    -----
    Columns written: ``id`` (text, unique; the path, the address or ``row-N``, with the file's name
    where there are several, where there is no column of ids), ``latitude``, ``longitude``,
    ``country`` (ISO alpha-2), and of ``url``, ``path``, ``user``, ``time`` and ``group`` those that
    are there. Of rows with one id the first whole one is kept. Memory: a few blocks, and 8 bytes a
    row for the ids that came before.

    Examples
    --------
    >>> from geoloc_models.tables import SelectOptions, select_photos
    >>> select_photos("photos.csv", "swedish.parquet", SelectOptions(countries=("SE",))).n_read
    160
    """
    options, output = options or SelectOptions(), Path(output)
    if output.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"The table is written as Parquet; end {output.name} in .parquet.")
    delimiter = {"tab": "\t", r"\t": "\t"}.get(options.delimiter or "", options.delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise GeolocError(f"A delimiter is one character, such as ';'; got {delimiter!r}.")
    layout = preset_named(options.preset)
    paths = _files([metadata] if isinstance(metadata, str | Path) else metadata, output)
    areas = None
    if options.countries_file is not None:
        areas = read_countries(
            options.countries_file,
            layer=options.countries_layer,
            code_column=options.countries_code_column,
        )
    chooser = CountryChooser(options.countries, areas, options.tolerance_km)
    named = {role: getattr(options, f"{role}_column") for role in ROLES}
    wanted = {role: name for role, name in named.items() if name or role in layout.columns}
    files = []
    for path in paths:
        file = layout.open(
            path,
            header=options.header,
            delimiter=delimiter,
            quoting=options.quoting,
            encoding=options.encoding,
        )
        files.append((file, file.find_columns(wanted, role_names=layout.columns)))
    addresses = None if options.urls is None else _Addresses(Path(options.urls))
    makes_urls = {"url"} if addresses is not None or layout.flickr_url is not None else set()
    present = {"country"}.union(makes_urls, *(taken for _, taken in files))
    seen = SeenIds()
    cleaners = [
        RowCleaner(
            file,
            columns,
            layout,
            id_prefix=f"{file.path.stem}-row" if len(files) > 1 else "row",
            seen=seen,
            drop_zero=not options.keep_zero,
        )
        for file, columns in files
    ]
    schema = pa.schema(
        [
            *(("id", pa.string()), ("latitude", pa.float64()), ("longitude", pa.float64())),
            *((role, pa.string()) for role in ("country", *_TEXT_ROLES) if role in present),
        ]
    )

    def chosen_rows() -> Iterator[pa.Table]:
        for file, rows in _clean_rows(cleaners, progress):
            if addresses is not None:
                rows = addresses.join(rows)  # noqa: PLW2901
            if "path" in rows.column_names:
                folder = Path(options.root or file.path.parent)
                rows = with_paths_from(rows, "path", folder, output.parent)  # noqa: PLW2901
            yield _fitted(chooser.choose(rows), schema)
        names = paths[0].name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        refuse_if_none(cleaners, names)
        chooser.refuse_if_none(names)

    write_batches(_row_groups(chosen_rows()), output)
    dropped = sum((cleaner.dropped for cleaner in cleaners), Counter()) + chooser.dropped
    return MetadataReport(
        n_read=sum(cleaner.n_read for cleaner in cleaners),
        n_kept=sum(chooser.kept.values()),
        dropped=dict(dropped.most_common()),
        countries=dict(sorted(chooser.kept.items(), key=lambda item: (-item[1], item[0]))),
        examples=dict(ChainMap(*(cleaner.examples for cleaner in cleaners))),
        columns=tuple(schema.names),
        sources=files[0][1],
    )


def _files(metadata: Sequence[str | Path], output: Path) -> list[Path]:
    """Files, those of folders too."""
    files: list[Path] = []
    for path in map(Path, metadata):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for ending in PARQUET for file in path.rglob(f"*{ending}"))
        if not inside:
            raise GeolocError(
                f"There are no .parquet files in the folder {path}. Name the files themselves."
            )
        files += inside
    if not files:
        raise GeolocError("Name at least one file of metadata.")
    refuse_input(output, *files)
    return files


def _clean_rows(
    cleaners: Sequence[RowCleaner], progress: bool
) -> Iterator[tuple[TableFile, pa.Table]]:
    with tqdm(
        total=sum(cleaner.file.n_bytes for cleaner in cleaners), desc="Metadata", unit="B",
        unit_scale=True, delay=2, leave=False, disable=not progress or None,
    ) as bar:  # fmt: skip
        n_bytes_before = 0
        for cleaner in cleaners:
            for batch in cleaner.file.batches(cleaner.needed_columns()):
                rows = cleaner.clean(batch)
                bar.update(n_bytes_before + batch.bytes_read - bar.n)
                yield cleaner.file, rows
            cleaner.check()
            n_bytes_before += cleaner.file.n_bytes


class _Addresses:
    """Addresses of photos by sorted hashes of their ids, from a table beside the metadata."""

    def __init__(self, path: Path) -> None:
        file = URL_LIST.open(path)
        columns = file.find_columns(
            dict.fromkeys(("id", "url")), needed=("id", "url"), role_names=URL_LIST.columns
        )
        hashes, addresses = [], []
        for batch in file.batches(list(columns.values())):
            photo_ids = ids(batch.table[columns["id"]], where=path.name)
            urls = texts(batch.table[columns["url"]])
            whole = pc.and_(pc.is_valid(photo_ids), pc.is_valid(urls))
            hashes.append(hash_texts(photo_ids.filter(whole).combine_chunks(), _URL_HASHES))
            addresses.append(urls.filter(whole).cast(pa.large_string()).combine_chunks())
        self._hashes, first = np.unique(np.concatenate(hashes), return_index=True)
        if not len(self._hashes):
            raise GeolocError(f"{path.name} has no row with an id and an address.")
        self._addresses = pa.concat_arrays(addresses).take(pa.array(first))

    def join(self, rows: pa.Table) -> pa.Table:
        """Rows with the column ``url``: the address of their id, or what was there before."""
        hashes = hash_texts(rows["id"].combine_chunks(), _URL_HASHES)
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[place] == hashes
        urls = self._addresses.take(pa.array(place, mask=~known)).cast(pa.string())
        if "url" in rows.column_names:
            urls = pc.coalesce(urls, rows["url"])
        return with_column(rows, "url", urls)


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns of the schema; one that is not there is empty."""
    columns = [
        rows[name].cast(kind) if name in rows.column_names else pa.nulls(rows.num_rows, kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of a good size for a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.num_rows for each in waiting) >= _ROW_GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
