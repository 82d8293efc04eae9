"""Split a table of photos on disk, whatever its size and its other columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from geocells.tables import (
    Batch,
    TableFile,
    coordinates,
    numbers,
    open_table,
    texts,
    with_column,
    write_batches,
)
from geoloc_models.errors import GeolocError
from geoloc_models.tables.hashing import HASH_VERSION
from geoloc_models.tables.parts import assign_parts, in_large_unit, subset_ranks
from geoloc_models.tables.photo_ids import id_texts
from geoloc_models.tables.relative_paths import with_paths_from
from geoloc_models.tables.split import PARTS, place_blocks
from geoloc_models.tables.split_options import SplitOptions

_NEEDED = {"id": (), "user": ("user",), "place": ("latitude", "longitude")}
_ROLES = ("id", "path", "user", "latitude", "longitude", "country")
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
        What names a photo.
    n_without_user : int
        Photos without a user (or value of the column), each a unit of its own.
    trained_on : dict of str to int
        Users or blocks too large for a held-out part, and their photos.
    columns : dict of str to str
        The file's column of each role.
    fullest : dict of str to (str, int)
        The largest user or block of each held-out part, and its photos there.
    """

    parts: pd.DataFrame
    subsets: pd.DataFrame
    too_large: tuple[int, ...]
    key: str
    n_without_user: int
    columns: dict[str, str]
    trained_on: dict[str, int]
    fullest: dict[str, tuple[str, int]]

    @property
    def n_rows(self) -> int:
        """Photos in all."""
        return int(self.parts.to_numpy().sum())


def split_photo_file(
    source: str | Path,
    target: str | Path,
    options: SplitOptions | None = None,
    *,
    quoting: bool = True,
) -> SplitReport:
    """Copy a table of photos to Parquet and add the columns ``part`` and ``subset_rank``.

    Parameters
    ----------
    source : path
        A table that :func:`geocells.tables.open_table` reads, with a column of ids, or of paths in
        its stead; with users, or coordinates, where ``by`` asks for them; optionally countries.
        Columns ``part`` and ``subset_rank`` of an earlier split are replaced.
    target : path
        ``.parquet`` file, written whole or not at all; it may be ``source``. All other columns are
        handed through: Arrow types and metadata of Parquet as they are, text as text but for the
        coordinates, which become float64. Relative paths of images are rewritten where it lies in
        another folder. Where paths stand in for ids, a column ``id`` holds them as they were.
    options : SplitOptions, optional
        By default those of :class:`~geoloc_models.tables.split_options.SplitOptions`.
    quoting : bool
        Double quotes enclose texts; see :func:`geocells.tables.open_table`.

    Returns
    -------
    SplitReport

    Raises
    ------
    ValueError
        If a file or column is missing or damaged, a coordinate is out of range, an id is missing or
        there twice, or a part would be empty. No file is left then.

    Notes
    -----
    The first pass reads the ids and what ``by`` asks for, the second one writes. Memory: about
    thrice these columns, and a few batches of the others. Equal to :func:`assign_parts`,
    :func:`in_large_unit` and :func:`subset_ranks` on the whole columns.

    Examples
    --------
    >>> from geoloc_models.tables import SplitOptions, split_photo_file
    >>> report = split_photo_file("photos.csv", "parts.parquet", SplitOptions(by="place"))
    """
    options = options or SplitOptions()
    by = options.by
    target = Path(target)
    if target.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"A split is written as .parquet; got {target.name}.")
    file = open_table(source, quoting=quoting)
    columns = file.find_columns(dict.fromkeys(_ROLES), needed=_NEEDED.get(by, ()))
    if by not in _NEEDED:
        if by not in file.names:
            raise GeolocError(
                f"{file.path.name} has no column {by!r} to split by; choose id, user, place, or one "
                f"of {', '.join(file.names)}."
            )
        columns["user"] = by
    key = columns.get("id", columns.get("path"))
    if key is None:
        raise GeolocError(
            f"{file.path.name} has neither a column id nor path to identify its photos by (columns "
            f"there: {', '.join(file.names)}). Add one; row numbers change when rows are added."
        )
    needed = [key, *(columns[role] for role in _NEEDED.get(by, ("user",)))]
    table = file.read([*needed, *([columns["country"]] if "country" in columns else [])])
    users = None if by in ("id", "place") else texts(table[columns["user"]])
    coords = coordinates(table, columns, where=file.path.name) if by == "place" else None
    part = assign_parts(
        id_texts(table[key], file.path.name, first_row=1),
        by=by,
        users=users,
        coords=coords,
        block_km=options.block_km,
        fractions=options.fractions,
        exchangeable=options.exchangeable,
        seed=options.seed,
    )
    unit = _numbered_units(users, coords, options.block_km, len(part))
    is_large = in_large_unit(unit, options.fractions)
    part[is_large] = 0
    _refuse_empty_parts(part, by, file.path.name)
    rank = subset_ranks(table[key], part, seed=options.seed)
    settings: dict[str, object] = {
        "by": by,
        "block_km": options.block_km if by == "place" else None,
        "fractions": list(options.fractions),
        "exchangeable": options.exchangeable,
        "seed": options.seed,
        "key": "id" if "id" in columns else "path",
        "hash_version": HASH_VERSION,
    }
    write_batches(_with_parts(file, target, columns, part, rank, settings), target)
    subsets = sorted(set(options.subsets))
    countries = table[columns["country"]] if "country" in columns else None
    parts, of_subset = _counts_per_country(countries, part, rank, subsets)
    return SplitReport(
        parts=parts,
        subsets=of_subset,
        too_large=tuple(size for size in subsets if size not in of_subset),
        key="id" if "id" in columns else "path",
        n_without_user=0 if users is None else users.null_count,
        columns=columns,
        trained_on=dict(_named_units(unit, is_large, users, coords)),
        fullest={
            PARTS[k]: largest[0]
            for k in (1, 2)
            if (largest := _named_units(unit, part == k, users, coords))
        },
    )


def _numbered_units(
    users: pa.ChunkedArray | None, coords: np.ndarray | None, block_km: float, n_rows: int
) -> np.ndarray:
    """User or block of each photo as a number, (n,) int64; -1 where it stands for itself."""
    if coords is not None:
        return np.unique(place_blocks(coords, block_km), return_inverse=True)[1]
    if users is None:
        return np.full(n_rows, -1, dtype=np.int64)
    codes = users.combine_chunks().dictionary_encode().indices.fill_null(-1)
    return np.asarray(codes, dtype=np.int64)


def _named_units(
    unit: np.ndarray, chosen: np.ndarray, users: pa.ChunkedArray | None, coords: np.ndarray | None
) -> list[tuple[str, int]]:
    """Users or blocks of the chosen photos and how many these are, the largest first."""
    rows = np.flatnonzero(chosen & (unit >= 0))
    _, first, count = np.unique(unit[rows], return_index=True, return_counts=True)
    named = []
    for row, n in zip(rows[first].tolist(), count.tolist(), strict=True):
        name = f"{coords[row, 0]:.3f}, {coords[row, 1]:.3f}" if coords is not None else ""
        named.append((str(users[row]) if users is not None else name, n))
    return sorted(named, key=lambda pair: (-pair[1], pair[0]))


def _refuse_empty_parts(part: np.ndarray, by: str, file: str) -> None:
    counts = np.bincount(part, minlength=len(PARTS))
    empty = [name for name, count in zip(PARTS, counts, strict=True) if not count]
    if empty:
        units = {"id": "photos", "user": "users", "place": "blocks"}.get(by, f"values of {by}")
        raise GeolocError(
            f"The {len(part)} photos of {file} would leave the {' and '.join(empty)} part empty: "
            f"there are too few {units} for these fractions. Add photos, split by a smaller unit, "
            "raise the fraction, or try another seed."
        )


def _with_parts(
    file: TableFile,
    target: Path,
    columns: dict[str, str],
    part: np.ndarray,
    rank: np.ndarray,
    settings: dict[str, object],
) -> Iterator[pa.Table]:
    """The file's rows with their part and rank, in tables that follow each other."""
    names = pa.array(PARTS)
    axes = [columns[role] for role in ("latitude", "longitude") if role in columns]
    stored = [
        name
        for name in file.names
        if name not in ("part", "subset_rank") and not (file.points and name in axes)
    ]
    path_column = columns.get("path")
    metadata = {**file.metadata, b"geoloc_split": json.dumps(settings).encode()}
    first = 0
    for batch in file.batches(stored):
        table = batch.table
        if not table.num_rows:
            continue
        rows = slice(first, first + table.num_rows)
        first = rows.stop
        if "id" not in columns:
            table = table.append_column("id", texts(table[path_column]))
        if path_column in stored:
            table = with_paths_from(table, path_column, file.path.parent, target.parent)
        for name in axes:
            if name in stored and pa.types.is_string(table[name].type):
                table = with_column(table, name, _as_numbers(table[name], name, batch))
        table = table.append_column("part", names.take(pa.array(part[rows])))
        table = table.append_column("subset_rank", pa.array(rank[rows]))
        yield table.replace_schema_metadata(metadata)
    if first != len(part):
        raise GeolocError(
            f"{file.path.name} changed while it was split: {len(part)} rows at first, {first} then. "
            "Try again."
        )


def _as_numbers(column: pa.ChunkedArray, name: str, batch: Batch) -> pa.Array:
    """Coordinates of a text file as float64, null where there are none."""
    values, missing, wrong = numbers(column)
    if wrong.any():
        row = int(wrong.argmax())
        raise GeolocError(
            f"Column {name!r} must hold numbers; row {batch.rows[row]} does not "
            f"({column[row].as_py()!r}). Write decimal degrees, or remove the row."
        )
    return pa.array(values, mask=missing)


def _counts_per_country(
    countries: pa.ChunkedArray | None, part: np.ndarray, rank: np.ndarray, subsets: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Photos per country and part, and per country and subset; the most frequent country first."""
    if countries is None:
        number, names = np.zeros(len(part), dtype=np.int64), ["all"]
    else:
        encoded = texts(countries, keep_na=True).fill_null(_NO_COUNTRY).combine_chunks()
        encoded = encoded.dictionary_encode()
        number, names = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
    n = len(names)
    counts = np.bincount(number * len(PARTS) + part, minlength=n * len(PARTS)).reshape(n, -1)
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    index = pd.Index([names[k] for k in order], name="country")
    of_subset = {
        size: np.bincount(number[(rank >= 0) & (rank < size)], minlength=n)[order]
        for size in subsets
        if size <= counts[:, 0].sum()
    }
    return (
        pd.DataFrame(counts[order], index=index, columns=list(PARTS)),
        pd.DataFrame(of_subset, index=index),
    )
