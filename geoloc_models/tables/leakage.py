"""What leaks from one part of a split into another: images, coordinates and users on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from geocells.tables import numbers, open_table, texts
from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.fingerprints import Fingerprints, fingerprint_images
from geoloc_models.tables.hamming import nearest_within
from geoloc_models.tables.parts import numbered_parts
from geoloc_models.tables.split import PARTS
from geoloc_models.tables.split_options import LeakageOptions

REASONS = ("same image", "near duplicate", "same coordinate", "same user")
_PAIRS_OF_PARTS = tuple(combinations(range(len(PARTS)), 2))
_ROLES = ("part", "id", "path", "latitude", "longitude", "user")
_MIN_SIDE = 128  # pixels: JPEGs are decoded at a fraction of their size, several times as fast


@dataclass(frozen=True)
class LeakageReport:
    """Photos that have a twin in another part.

    Parameters
    ----------
    pairs : DataFrame
        One row per photo, reason and other part: ``reason`` (one of ``REASONS``); ``row`` and
        ``other_row`` (int64, from 0), the photo and the first of those it resembles most in the
        other part; ``part`` and ``other_part``; ``id`` and ``other_id`` where the table has ids or
        paths; ``distance``, bits between perceptual hashes (Int64, missing for coordinates and
        users). ``other_part`` is the earlier of train, validation, test.
    n_photos : dict
        Photos of each part.
    reasons : tuple of str
        What was looked for; the table may lack users, coordinates or images.
    n_images, n_broken, n_flat : int
        Images read, those that could not be, and those too flat to be compared by their looks.
    broken : tuple of str
        What is wrong with the broken ones.
    columns : dict of str to str
        The file's column of each role.
    exchangeable : bool
        Whether the table was split so that validation and test share users or places.
    """

    pairs: pd.DataFrame
    n_photos: dict[str, int]
    reasons: tuple[str, ...]
    n_images: int = 0
    n_broken: int = 0
    n_flat: int = 0
    broken: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    exchangeable: bool = False

    def count(self, reason: str, part: str, other_part: str) -> int:
        """Photos of ``part`` that have a twin in ``other_part`` for this reason."""
        return len(self.select(reason, part, other_part))

    def select(self, reason: str, part: str, other_part: str) -> pd.DataFrame:
        """Pairs of these two parts for this reason."""
        is_side = (self.pairs["part"] == part) & (self.pairs["other_part"] == other_part)
        return self.pairs[is_side & (self.pairs["reason"] == reason)]

    def save(self, path: str | Path) -> None:
        """Write the pairs as Parquet, whole or not at all."""
        with replacing(path) as partial:
            self.pairs.to_parquet(partial, index=False)


def find_leakage(path: str | Path, options: LeakageOptions | None = None) -> LeakageReport:
    """Find photos of one part that have a twin in another.

    Parameters
    ----------
    path : path
        Table with the column ``part``, as :func:`split_photo_file` writes it; its paths, coordinates
        and users are compared, as far as it has them.
    options : LeakageOptions, optional
        By default those of :class:`~geoloc_models.tables.split_options.LeakageOptions`.

    Returns
    -------
    LeakageReport

    Raises
    ------
    ValueError
        If the file is missing or damaged, has no rows, no column ``part`` or a strange value in it,
        or no image can be read.

    Notes
    -----
    A photo is listed once for each reason and earlier part: validation against training, test against training, test
    against validation. A near duplicate is listed only where there is no image of equal pixels. Flat images (about
    one colour) are compared by their exact pixels alone. Users that are missing or empty match nobody. JPEGs are
    compared at 1/2, 1/4 or 1/8 of their size where 128 pixels are left.

    Examples
    --------
    >>> from geoloc_models.tables import find_leakage
    >>> find_leakage("split.parquet").count("same image", "test", "train")
    0
    """
    options = options or LeakageOptions()
    file = open_table(path)
    name = file.path.name
    columns = file.find_columns(dict.fromkeys(_ROLES), needed=("part",))
    table = file.read(list(columns.values()))
    column = {role: table[given] for role, given in columns.items()}
    part = numbered_parts(column["part"], name, lambda row: f"row {row + 1}")
    pairs: list[pd.DataFrame] = []
    reasons: list[str] = []
    prints: Fingerprints | None = None
    if options.images and "path" in column:
        reasons += REASONS[:2]
        root = options.images_root or file.path.parent
        paths = texts(column["path"])
        rows = np.flatnonzero(paths.is_valid())
        prints = _fingerprints(paths.drop_null(), root, options.workers)
        pairs += _same_and_near(prints, rows, part, options.max_distance)
    if {"latitude", "longitude"} <= set(column):
        reasons.append(REASONS[2])
        codes = _coordinate_codes(column["latitude"], column["longitude"])
        pairs += _shared(codes, part, REASONS[2])
    if "user" in column:
        reasons.append(REASONS[3])
        users = texts(column["user"]).combine_chunks().dictionary_encode().indices
        pairs += _shared(users.fill_null(-1).to_numpy().astype(np.int64), part, REASONS[3])
    if not reasons:
        raise GeolocError(
            f"{name} has nothing to compare: no images, coordinates or users (columns there: "
            f"{', '.join(file.names)})."
        )
    counts = np.bincount(part, minlength=len(PARTS))
    return LeakageReport(
        pairs=_with_names(pairs, part, column.get("id", column.get("path"))),
        n_photos=dict(zip(PARTS, counts.tolist(), strict=True)),
        reasons=tuple(reasons),
        n_images=0 if prints is None else len(prints.content),
        n_broken=0 if prints is None else int(prints.is_broken.sum()),
        n_flat=0 if prints is None else int(prints.is_flat.sum()),
        broken=() if prints is None else prints.messages,
        columns=columns,
        exchangeable=_is_exchangeable(file.metadata),
    )


def _is_exchangeable(metadata: Mapping[bytes, bytes]) -> bool:
    try:
        settings = json.loads(metadata.get(b"geoloc_split", b"{}"))
    except ValueError:
        return False
    return isinstance(settings, dict) and settings.get("exchangeable") is True


def _fingerprints(paths: pa.ChunkedArray, root: Path, n_workers: int | None) -> Fingerprints:
    if not root.is_dir():
        raise GeolocError(f"There is no folder {root}. Check the root of the image files.")
    images = FileImages(paths.to_pylist(), root, min_side=_MIN_SIDE)
    return fingerprint_images(images, n_workers=n_workers)


def _same_and_near(
    prints: Fingerprints, rows: np.ndarray, part: np.ndarray, max_distance: int
) -> Iterator[pd.DataFrame]:
    """Pairs of equal pixels; pairs that look alike but are not the same."""
    content_code = np.full(len(part), -1, dtype=np.int64)
    whole = ~prints.is_broken
    content_code[rows[whole]] = pd.factorize(prints.content[whole])[0]
    yield from _shared(content_code, part, REASONS[0], distance=0)
    compared = whole & ~prints.is_flat
    hashes, row_of_hash = prints.perceptual[compared], rows[compared]
    for earlier, later in _PAIRS_OF_PARTS:
        same, _ = _rows_with_twin(content_code, part, earlier, later)
        queries = np.flatnonzero((part[row_of_hash] == later) & ~np.isin(row_of_hash, same))
        known = np.flatnonzero(part[row_of_hash] == earlier)
        # Each hash once, at its first row; in the order of rows, so that ties go to the first.
        _, first = np.unique(hashes[known], return_index=True)
        known = known[np.sort(first)]
        target, distance = nearest_within(hashes[queries], hashes[known], max_distance)
        near = target >= 0
        twins = row_of_hash[known[target[near]]]
        yield _pairs(REASONS[1], row_of_hash[queries[near]], twins, distance[near])


def _shared(
    code: np.ndarray, part: np.ndarray, reason: str, *, distance: int | None = None
) -> Iterator[pd.DataFrame]:
    """Rows of a later part whose code (int64, -1 for none) is also in an earlier one."""
    for earlier, later in _PAIRS_OF_PARTS:
        rows, other_rows = _rows_with_twin(code, part, earlier, later)
        yield _pairs(reason, rows, other_rows, distance)


def _rows_with_twin(
    code: np.ndarray, part: np.ndarray, earlier: int, later: int
) -> tuple[np.ndarray, np.ndarray]:
    first_row = np.full(int(code.max(initial=-1)) + 1, -1, dtype=np.int64)
    known = np.flatnonzero((part == earlier) & (code >= 0))[::-1]
    first_row[code[known]] = known  # the last one written is the first row
    rows = np.flatnonzero((part == later) & (code >= 0))
    other_rows = first_row[code[rows]]
    has_twin = other_rows >= 0
    return rows[has_twin], other_rows[has_twin]


def _pairs(
    reason: str, rows: np.ndarray, other_rows: np.ndarray, distance: np.ndarray | int | None
) -> pd.DataFrame:
    pairs = pd.DataFrame({"row": rows.astype(np.int64), "other_row": other_rows.astype(np.int64)})
    pairs.insert(0, "reason", pd.Series(reason, index=pairs.index, dtype=object))
    pairs["distance"] = pd.Series(distance, index=pairs.index, dtype="Int64")
    return pairs


def _with_names(
    pairs: list[pd.DataFrame], part: np.ndarray, ids: pa.ChunkedArray | None
) -> pd.DataFrame:
    frame = pd.concat(pairs, ignore_index=True)
    names = np.array(PARTS, dtype=object)
    frame["part"] = names[part[frame["row"].to_numpy()]]
    frame["other_part"] = names[part[frame["other_row"].to_numpy()]]
    if ids is not None:
        shown = texts(ids)
        for column, row in (("id", "row"), ("other_id", "other_row")):
            of_pair = shown.take(pa.array(frame[row])).to_pylist()
            frame[column] = pd.Series(of_pair, index=frame.index, dtype=object)
    return frame


def _coordinate_codes(latitudes: pa.ChunkedArray, longitudes: pa.ChunkedArray) -> np.ndarray:
    """Number of each row's coordinate, -1 for none; +180 and -180 degrees are the same meridian."""
    coords = np.column_stack([numbers(column)[0] for column in (latitudes, longitudes)])
    coords += 0.0  # -0 becomes 0
    coords[coords[:, 1] == -180, 1] = 180.0
    coords[np.abs(coords[:, 0]) == 90, 1] = 0.0
    frame = pd.DataFrame(coords, columns=["latitude", "longitude"])
    code = frame.groupby(["latitude", "longitude"], sort=False).ngroup()
    return code.fillna(-1).to_numpy(dtype=np.int64)
