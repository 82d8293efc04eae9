"""From metadata of any size to the table of the photos that lie in the wanted countries."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from geoloc_models._errors import GeolocError
from geoloc_models.countries import read_countries
from geoloc_models.countries.chooser import CountryChooser
from geoloc_models.countries.lookup import MAX_TOLERANCE_KM
from geoloc_models.photos.writer import PhotoWriter
from geoloc_models.tables.line_blocks import BLOCK_BYTES
from geoloc_models.tables.metadata_readers import MetadataFile, ReadOptions, as_text, metadata_files
from geoloc_models.tables.metadata_rows import RowCleaner
from geoloc_models.tables.presets import PRESETS, ROLES, URL_LIST, preset_named
from geoloc_models.tables.url_list import UrlList

METADATA_PRESETS = {name: preset.title for name, preset in PRESETS.items()}
"""Names of the presets of :func:`select_photos`, and the data sets that they stand for."""

_TEXT_ROLES = ("url", "path", "user", "time", "group")


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
    """

    n_read: int
    n_kept: int
    dropped: dict[str, int]
    countries: dict[str, int]
    examples: dict[str, str]
    columns: tuple[str, ...]


def select_photos(
    metadata: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    preset: str | None = None,
    columns: Mapping[str, str] | None = None,
    countries: Sequence[str] | None = None,
    countries_file: str | Path | None = None,
    countries_layer: str | None = None,
    countries_code_column: str | None = None,
    tolerance_km: float = 0.0,
    urls: str | Path | None = None,
    root: str | Path | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    multiline: bool = False,
    keep_zero: bool = False,
    block_bytes: int = BLOCK_BYTES,
    progress: bool = False,
) -> MetadataReport:
    """Write the photos of some countries as a table that the other steps read.

    Parameters
    ----------
    metadata : path or sequence of paths
        CSV, TSV, JSON lines (plain, ``.gz``, ``.bz2``, ``.xz``, ``.zst``, or the only file of a
        ``.zip``), Parquet files, or folders of those; of any size.
    output : path
        ``.parquet`` file, written whole or not at all.
    preset : str, optional
        Layout of a known data set, a key of ``METADATA_PRESETS``.
    columns : dict, optional
        Role (``id``, ``latitude``, ``longitude``, ``url``, ``path``, ``user``, ``time``, ``group``,
        ``country``) to column. By default the preset's columns, or those with usual names;
        ``country`` is read only where it is named here: else the polygons say it.
    countries : sequence of str, optional
        Codes or names of the countries to keep; by default all.
    countries_file, countries_layer, countries_code_column
        Polygons of your own, see :func:`read_countries`; by default the bundled ones.
    tolerance_km : float
        A photo in no country's polygon counts to the nearest country within this distance, so
        that photos of a shore or a pier are not lost. Photos in a neighbour's polygon stay there.
    urls : path, optional
        A table of ids and addresses, such as ``mp16_urls.csv``, whose addresses are joined to the
        rows by their ids. It is held in memory.
    root : path, optional
        Folder that relative image paths start from; by default that of the metadata file.
    delimiter : str, optional
        Between columns; by default a comma in ``.csv`` and a tab in ``.tsv``.
    header : bool, optional
        Whether there is a header line. Without one, columns are named by number: 1, 2, ...
    encoding : str, optional
        Such as ``latin-1``; by default UTF-8.
    multiline : bool
        Quoted texts may hold line breaks. A quote that is never closed then loses rows below it.
    keep_zero : bool
        Keep photos at 0, 0, where software puts those without a position.
    block_bytes : int
        About how much text is held at a time; the result does not depend on it.
    progress : bool
        Show a bar after two seconds.

    Returns
    -------
    MetadataReport

    Raises
    ------
    GeolocError
        If a file is missing, damaged or empty, its layout is another one (delimiter, encoding,
        columns, swapped coordinates), no row is whole, no photo lies in the countries, or an option
        is out of range. Single bad rows are dropped and counted instead.

    Notes
    -----
    Columns written: ``id`` (text, unique; the path, the address or ``row-N`` where there is no
    column of ids), ``latitude``, ``longitude``, ``country`` (ISO alpha-2), and of ``url``, ``path``
    (relative to the output's folder), ``user``, ``time`` (text) and ``group`` those that are there.
    Of rows with one id the first whole one is kept. Memory: a few blocks, and 8 bytes a row for the
    ids that came before.

    Examples
    --------
    >>> select_photos("metadata.tsv.bz2", "photos.parquet",
    ...               preset="yfcc100m", countries=["SE", "CH"])  # doctest: +SKIP
    """
    output = Path(output)
    _check_options(output, columns, tolerance_km, delimiter, encoding, block_bytes)
    options = ReadOptions(
        preset=preset_named(preset),
        columns=dict(columns or {}),
        delimiter=delimiter,
        header=header,
        encoding=encoding,
        multiline=multiline,
        block_bytes=block_bytes,
    )
    paths = [metadata] if isinstance(metadata, str | Path) else list(metadata)
    files = metadata_files(paths, options)
    for file in files:
        if output.exists() and output.resolve() == file.path.resolve():
            raise GeolocError(f"{output} is itself metadata to read. Give the output another name.")
    chooser = CountryChooser(
        countries,
        None
        if countries_file is None
        else read_countries(
            countries_file, layer=countries_layer, code_column=countries_code_column
        ),
        tolerance_km,
    )
    url_list = None if urls is None else _read_urls(urls, block_bytes)
    roles = [
        role
        for role in _TEXT_ROLES
        if any(_has(file, role) for file in files) or (role == "url" and url_list is not None)
    ]
    cleaner = RowCleaner(drop_zero=not keep_zero)
    n_whole = 0
    with PhotoWriter(output, roles) as writer:
        for file, rows in _clean_rows(files, cleaner, progress):
            n_whole += rows.num_rows
            if url_list is not None:
                rows = url_list.join(rows)  # noqa: PLW2901
            if "path" in rows.column_names:
                rows = _with_paths_from(rows, file, root, output)  # noqa: PLW2901
            writer.write(chooser.choose(rows))
        names = files[0].path.name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        cleaner.refuse_if_none(n_whole, names)
        chooser.refuse_if_none(writer.n_rows, names)
    dropped = Counter({reason: n for reason, n in cleaner.dropped.items() if n})
    dropped.update({reason: n for reason, n in chooser.dropped.items() if n})
    return MetadataReport(
        n_read=cleaner.n_read,
        n_kept=writer.n_rows,
        dropped=dict(dropped.most_common()),
        countries=dict(sorted(chooser.kept.items(), key=lambda item: (-item[1], item[0]))),
        examples=dict(cleaner.examples),
        columns=tuple(writer.schema.names),
    )


def _check_options(
    output: Path,
    columns: Mapping[str, str] | None,
    tolerance_km: float,
    delimiter: str | None,
    encoding: str | None,
    block_bytes: int,
) -> None:
    if output.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"The table is written as Parquet; end {output.name} in .parquet.")
    for role in columns or {}:
        if role not in ROLES:
            raise GeolocError(f"There is no role {role!r} of a column. Use: {', '.join(ROLES)}.")
    if not 0 <= tolerance_km <= MAX_TOLERANCE_KM:
        raise GeolocError(
            f"tolerance_km must lie between 0 and {MAX_TOLERANCE_KM:.0f}; got {tolerance_km}."
        )
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise GeolocError(f"A delimiter is one character, such as ';'; got {delimiter!r}.")
    if encoding is not None:
        try:
            codecs.getincrementaldecoder(encoding)
        except LookupError:
            raise GeolocError(f"There is no encoding {encoding!r}. Try latin-1.") from None
    if block_bytes < 1:
        raise GeolocError(f"block_bytes must be positive; got {block_bytes}.")


def _has(file: MetadataFile, role: str) -> bool:
    return role in file.columns.of_role or (role == "url" and _makes_urls(file))


def _makes_urls(file: MetadataFile) -> bool:
    preset = file.options.preset
    return (
        preset is not None
        and preset.flickr_url is not None
        and "id" in file.columns.of_role
        and len(file.columns.helpers) >= 2
    )


def _clean_rows(
    files: list[MetadataFile], cleaner: RowCleaner, progress: bool
) -> Iterator[tuple[MetadataFile, pa.Table]]:
    with _bar(sum(file.n_bytes for file in files), progress) as bar:
        n_bytes_before = 0
        for file in files:
            cleaner.start()
            for batch in file.batches():
                rows = cleaner.clean(batch, file)
                bar.update(n_bytes_before + batch.bytes_read - bar.n)
                bar.set_postfix_str(f"{cleaner.n_read:,} rows", refresh=False)
                yield file, rows
            cleaner.check(file)
            n_bytes_before += file.n_bytes


@contextmanager
def _bar(n_bytes: int, progress: bool) -> Iterator[tqdm[Any]]:
    with tqdm(
        total=n_bytes, desc="Metadata", unit="B", unit_scale=True, delay=2, leave=False,
        disable=not progress,
    ) as bar:  # fmt: skip
        yield bar


def _read_urls(path: str | Path, block_bytes: int) -> UrlList:
    options = ReadOptions(preset=URL_LIST, needed=("id", "url"), block_bytes=block_bytes)
    (file,) = metadata_files([path], options)
    ids, addresses = [], []
    for batch in file.batches():
        columns = [as_text(batch.rows[file.columns.of_role[role]]) for role in ("id", "url")]
        whole = pc.and_(pc.is_valid(columns[0]), pc.is_valid(columns[1]))
        ids.append(columns[0].filter(whole))
        addresses.append(columns[1].filter(whole))
    return UrlList.of(ids, addresses, file.path.name)


def _with_paths_from(
    rows: pa.Table, file: MetadataFile, root: str | Path | None, output: Path
) -> pa.Table:
    """Relative paths rewritten so that they start from the folder of the output."""
    folder = Path(root) if root is not None else file.path.parent
    prefix = os.path.relpath(folder.resolve(), output.parent.resolve())
    if prefix == ".":
        return rows
    paths = rows["path"]
    joined = pc.binary_join_element_wise(Path(prefix).as_posix(), paths, "/")
    joined = pc.if_else(pc.starts_with(paths, "/"), paths, joined)
    return rows.set_column(rows.column_names.index("path"), "path", joined)
