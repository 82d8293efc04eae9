"""Split a table of photos on disk, whatever its size: two passes in batches of rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from geoloc_models._errors import GeolocError
from geoloc_models._files import replacing
from geoloc_models.tables.coordinates import check_coordinates
from geoloc_models.tables.hashing import HASH_VERSION, hash_texts, stream_start
from geoloc_models.tables.parts import (
    UNITS,
    By,
    as_texts,
    assign_parts,
    check_seed,
    known_texts,
    ranks_of_hashes,
)
from geoloc_models.tables.row_batches import RowBatches
from geoloc_models.tables.split import PARTS, checked_fractions

SUBSETS = (1_000, 10_000, 20_000, 100_000)
_NEEDED = {"id": [], "user": ["user"], "place": ["latitude", "longitude"]}
_NO_COUNTRY = "--"


@dataclass(frozen=True)
class SplitReport:
    """What a split of a file holds.

    Parameters
    ----------
    parts : DataFrame
        Photos per country (index) and part (columns train, validation, test).
    subsets : DataFrame
        Photos per country (index) and nested training subset (columns: their sizes), those only
        that the training part is large enough for.
    too_large : tuple of int
        Sizes of subsets above that of the training part.
    key : {"id", "path"}
        The column that names a photo.
    n_without_user : int
        Photos without a user, each a unit of its own; 0 unless the split is by user.
    """

    parts: pd.DataFrame
    subsets: pd.DataFrame
    too_large: tuple[int, ...]
    key: str
    n_without_user: int

    @property
    def n_rows(self) -> int:
        """Photos in all."""
        return int(self.parts.to_numpy().sum())


def split_photo_file(
    source: str | Path,
    target: str | Path,
    *,
    by: By = "id",
    block_km: float = 1.0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    exchangeable: bool = False,
    subsets: Sequence[int] = SUBSETS,
    seed: int = 0,
    batch_rows: int = 1 << 17,
) -> SplitReport:
    """Copy a table of photos to Parquet and add the columns ``part`` and ``subset_rank``.

    Parameters
    ----------
    source : path
        ``.parquet``, ``.csv`` or ``.tsv`` with a column ``id``, or ``path`` in its stead; with
        ``user``, or ``latitude`` and ``longitude``, where ``by`` asks for them; optionally
        ``country``. Columns ``part`` and ``subset_rank`` of an earlier split are replaced.
    target : path
        ``.parquet`` file, written whole or not at all; it may be ``source``. Relative paths of
        images are rewritten where it lies in another folder. Where paths stand in for ids, a
        column ``id`` holds them as they were.
    by, block_km, fractions, exchangeable, seed
        See :func:`assign_parts`.
    subsets : sequence of int
        Sizes of the nested training subsets to report.
    batch_rows : int
        Rows held at a time.

    Returns
    -------
    SplitReport

    Raises
    ------
    GeolocError
        If a file or column is missing or damaged, an id is missing or there twice, a coordinate is
        out of range, a part would be empty, or an option is out of range. No file is left then.

    Notes
    -----
    The first pass hashes the ids, the second one writes. Memory: 40 bytes a row at its peak, and a
    few batches. Equal to :func:`assign_parts` and :func:`subset_ranks` on the whole columns.
    """
    check_seed(seed)
    checked_fractions(fractions)
    target = Path(target)
    if by not in UNITS:
        raise GeolocError(f"by must be 'id', 'user' or 'place'; got {by!r}.")
    if target.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"A split is written as .parquet; got {target.name}.")
    if any(size < 1 for size in subsets):
        raise GeolocError(f"Subsets have at least 1 photo; got {min(subsets)}.")
    rows = RowBatches(source, batch_rows=batch_rows)
    key = _key_column(rows, by)
    scan = _scan(rows, key, by, block_km, fractions, exchangeable, seed)
    _refuse_empty_parts(scan.part, by, rows.path.name)
    rank = ranks_of_hashes(scan.hashes, scan.part, lambda of: _texts_at(rows, key, of))
    scan.hashes = np.empty(0, dtype=np.uint64)  # the second pass has no use for them
    settings: dict[str, object] = {
        "by": by,
        "block_km": block_km if by == "place" else None,
        "fractions": list(fractions),
        "exchangeable": exchangeable,
        "seed": seed,
        "key": key,
        "hash_version": HASH_VERSION,
    }
    _write(rows, target, key, scan.part, rank, settings)
    return _report(scan, rank, tuple(sorted(set(subsets))), key)


@dataclass
class _Scan:
    """What the first pass learns of every row."""

    hashes: np.ndarray  # (n,) uint64, of the id, for the order of subsets
    part: np.ndarray  # (n,) int8
    country: np.ndarray  # (n,) int16, position in countries
    countries: list[str]
    n_without_user: int


def _key_column(rows: RowBatches, by: By) -> str:
    there = rows.schema.names
    name = rows.path.name
    twice = sorted({column for column in there if there.count(column) > 1})
    if twice:
        raise GeolocError(f"{name} has two columns {twice[0]!r}. Rename or remove one of them.")
    missing = [column for column in _NEEDED[by] if column not in there]
    if missing:
        raise GeolocError(
            f"A split by {by} needs a column {' and a column '.join(missing)}, which {name} lacks "
            f"(columns there: {', '.join(there)}). Split by another unit, or add what is missing."
        )
    for key in ("id", "path"):
        if key in there:
            return key
    raise GeolocError(
        f"{name} has neither a column id nor path to tell its photos by (columns there: "
        f"{', '.join(there)}). Row numbers would not do: they change when rows are added."
    )


def _scan(
    rows: RowBatches,
    key: str,
    by: By,
    block_km: float,
    fractions: tuple[float, float, float],
    exchangeable: bool,
    seed: int,
) -> _Scan:
    has_country = "country" in rows.schema.names
    columns = list(dict.fromkeys([key, *_NEEDED[by], *(["country"] if has_country else [])]))
    start = stream_start("subset/id", seed)
    hashes, part, country = [], [], []
    number_of_country: dict[str, int] = {}
    n_without_user = 0
    first_row = 1
    for batch in _with_progress(rows, "Splitting", columns):
        ids = _ids(batch, key, rows.path.name, first_row)
        users = coords = None
        if by == "user":
            users = as_texts(batch.column("user"), "Users")
            n_without_user += int((~known_texts(users)).sum())
        elif by == "place":
            latitude, longitude = (
                _degrees(batch.column(name), name, rows.path.name)
                for name in ("latitude", "longitude")
            )
            check_coordinates(latitude, longitude, rows.path.name, first_row=first_row)
            coords = np.column_stack([latitude, longitude])
        hashes.append(hash_texts(ids, start))
        part.append(
            assign_parts(
                ids,
                by=by,
                users=users,
                coords=coords,
                block_km=block_km,
                fractions=fractions,
                exchangeable=exchangeable,
                seed=seed,
            )
        )
        country.append(_numbered_countries(batch, has_country, number_of_country))
        first_row += batch.num_rows
    if not hashes:
        raise GeolocError(f"{rows.path.name} has no rows. A split needs photos.")
    return _Scan(
        np.concatenate(hashes),
        np.concatenate(part),
        np.concatenate(country),
        list(number_of_country),
        n_without_user,
    )


def _ids(batch: pa.RecordBatch, key: str, file: str, first_row: int) -> pa.Array:
    ids = as_texts(batch.column(key), f"The values of column {key} of {file}")
    empty = ~known_texts(ids)
    if empty.any():
        raise GeolocError(
            f"Every photo needs a value in column {key!r}, by which it is split; row "
            f"{int(empty.argmax()) + first_row} of {file} has none. Fill in or remove such rows."
        )
    return ids


def _degrees(column: pa.Array, name: str, file: str) -> np.ndarray:
    try:
        numbers: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise GeolocError(f"Column {name!r} of {file} must hold numbers ({error}).") from error
    return numbers


def _numbered_countries(
    batch: pa.RecordBatch, has_country: bool, number_of_country: dict[str, int]
) -> np.ndarray:
    if not has_country:
        number_of_country.setdefault("all", 0)
        return np.zeros(batch.num_rows, dtype=np.int16)
    texts = as_texts(batch.column("country"), "Countries")
    encoded = pc.fill_null(texts, _NO_COUNTRY).dictionary_encode()
    numbers = [
        number_of_country.setdefault(name or _NO_COUNTRY, len(number_of_country))
        for name in encoded.dictionary.to_pylist()
    ]
    if len(number_of_country) > np.iinfo(np.int16).max:
        raise GeolocError(
            f"The column country has more than {np.iinfo(np.int16).max} different values; does it "
            "hold countries?"
        )
    of_row: np.ndarray = np.array(numbers, dtype=np.int16)[encoded.indices.to_numpy()]
    return of_row


def _refuse_empty_parts(part: np.ndarray, by: By, file: str) -> None:
    counts = np.bincount(part, minlength=len(PARTS))
    if counts.all():
        return
    empty = [name for name, count in zip(PARTS, counts, strict=True) if not count]
    units = {"id": "photos", "user": "users", "place": "blocks"}[by]
    raise GeolocError(
        f"The {len(part)} photos of {file} would leave the {' and '.join(empty)} part empty: there "
        f"are too few {units} for these fractions. Add photos, split by a smaller unit, raise the "
        "fraction, or try another seed."
    )


def _texts_at(rows: RowBatches, key: str, wanted: np.ndarray) -> list[str]:
    """Read the keys of a few rows, sorted by number, once more from the file."""
    found: list[str] = []
    first_row = 0
    for batch in rows.batches([key]):
        begin, end = np.searchsorted(wanted, [first_row, first_row + batch.num_rows])
        if end > begin:
            some = as_texts(batch.column(key), key).take(pa.array(wanted[begin:end] - first_row))
            found.extend(some.to_pylist())
        first_row += batch.num_rows
    return found


def _write(
    rows: RowBatches,
    target: Path,
    key: str,
    part: np.ndarray,
    rank: np.ndarray,
    settings: dict[str, object],
) -> None:
    kept = [name for name in rows.schema.names if name not in ("part", "subset_rank")]
    names = pa.array(PARTS)
    moved = _way_between(rows.path.parent, target.parent)
    metadata = {**(rows.schema.metadata or {}), b"geoloc_split": json.dumps(settings).encode()}
    first_row = 0
    with replacing(target) as partial:
        writer: pq.ParquetWriter | None = None
        try:
            for batch in _with_progress(rows, "Writing", kept):
                of_batch = slice(first_row, first_row + batch.num_rows)
                table = pa.Table.from_batches([batch]).select(kept)
                if key == "path":
                    table = table.append_column("id", as_texts(batch.column(key), key))
                if moved and "path" in kept:
                    position = table.column_names.index("path")
                    table = table.set_column(position, "path", _moved(table["path"], moved))
                table = table.append_column(
                    "part", names.take(pa.array(part[of_batch]))
                ).append_column("subset_rank", pa.array(rank[of_batch]))
                if writer is None:
                    schema = table.schema.with_metadata(metadata)
                    writer = pq.ParquetWriter(partial, schema, compression="zstd")
                writer.write_table(table.replace_schema_metadata(metadata))
                first_row += batch.num_rows
        finally:
            if writer is not None:
                writer.close()
        if first_row != len(part):
            raise GeolocError(
                f"{rows.path.name} changed while it was split: {len(part)} rows at first, "
                f"{first_row} then. Try again."
            )


def _way_between(source: Path, target: Path) -> str:
    """Prefix that a path relative to one folder needs in another; empty where they are one."""
    source, target = source.resolve(), target.resolve()
    return "" if source == target else Path(os.path.relpath(source, target)).as_posix() + "/"


def _moved(paths: pa.ChunkedArray, prefix: str) -> pa.ChunkedArray:
    texts = paths.cast(pa.large_string())
    relative = pc.invert(pc.match_substring_regex(texts, r"^([/\\]|[A-Za-z]:|[a-z]+://)"))
    before, nothing = (pa.scalar(text, pa.large_string()) for text in (prefix, ""))
    joined = pc.binary_join_element_wise(before, texts, nothing)
    return pc.if_else(relative, joined, texts)


def _with_progress(
    rows: RowBatches, what: str, columns: list[str] | None
) -> Iterator[pa.RecordBatch]:
    with tqdm(
        total=rows.n_rows, desc=what, unit=" rows", unit_scale=True, delay=2, leave=False
    ) as bar:
        for batch in rows.batches(columns):
            if batch.num_rows:
                yield batch
                bar.update(batch.num_rows)


def _report(scan: _Scan, rank: np.ndarray, subsets: tuple[int, ...], key: str) -> SplitReport:
    n_countries = len(scan.countries)
    number = scan.country.astype(np.int64)
    counts = np.bincount(
        number * len(PARTS) + scan.part, minlength=n_countries * len(PARTS)
    ).reshape(n_countries, len(PARTS))
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    index = pd.Index([scan.countries[k] for k in order], name="country")
    n_train = int(counts[:, 0].sum())
    of_subset = {
        size: np.bincount(number[(rank >= 0) & (rank < size)], minlength=n_countries)[order]
        for size in subsets
        if size <= n_train
    }
    return SplitReport(
        parts=pd.DataFrame(counts[order], index=index, columns=list(PARTS)),
        subsets=pd.DataFrame(of_subset, index=index),
        too_large=tuple(size for size in subsets if size > n_train),
        key=key,
        n_without_user=scan.n_without_user,
    )
