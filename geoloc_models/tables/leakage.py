"""What leaks from one part of a split into another: images, coordinates and users on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from geoloc_models._errors import GeolocError
from geoloc_models._files import replacing
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.fingerprints import Fingerprints, fingerprint_images
from geoloc_models.tables.hamming import MAX_DISTANCE, nearest_within
from geoloc_models.tables.parts import as_texts, known_texts
from geoloc_models.tables.row_batches import RowBatches
from geoloc_models.tables.split import PARTS

REASONS = ("same image", "near duplicate", "same coordinate", "same user")
PAIRS_OF_PARTS = tuple(combinations(range(len(PARTS)), 2))
_KEYS = ("id", "path")
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
    """

    pairs: pd.DataFrame
    n_photos: dict[str, int]
    reasons: tuple[str, ...]
    n_images: int = 0
    n_broken: int = 0
    n_flat: int = 0
    broken: tuple[str, ...] = ()

    def count(self, reason: str, part: str, other_part: str) -> int:
        """Photos of ``part`` that have a twin in ``other_part`` for this reason."""
        pairs = self.pairs
        return int(
            (
                (pairs["reason"] == reason)
                & (pairs["part"] == part)
                & (pairs["other_part"] == other_part)
            ).sum()
        )

    def save(self, path: str | Path) -> None:
        """Write the pairs as Parquet, whole or not at all."""
        with replacing(path) as partial:
            self.pairs.to_parquet(partial, index=False)


def find_leakage(
    path: str | Path,
    *,
    images: bool = True,
    images_root: str | Path | None = None,
    max_distance: int = 6,
    n_workers: int | None = None,
) -> LeakageReport:
    """Look for photos of one part that have a twin in another.

    Parameters
    ----------
    path : path
        Table with the column ``part``, as :func:`split_photo_file` writes it; looked at are its
        columns ``path``, ``latitude`` and ``longitude``, and ``user``, as far as it has them.
    images : bool
        Whether to read the images and compare them.
    images_root : path, optional
        Folder that relative paths start from; by default the table's own.
    max_distance : int
        Bits of 64, 0 to 12, that two perceptual hashes of near duplicates may differ in.
    n_workers : int, optional
        Threads that read images.

    Returns
    -------
    LeakageReport

    Raises
    ------
    GeolocError
        If the file is missing or damaged, has no rows, no column ``part`` or a strange value in it,
        an option is out of range, or no image can be read.

    Notes
    -----
    A photo is listed once for each reason and earlier part: validation against training, test
    against training, test against validation. So lists grow with the photos, not with their pairs,
    and counts read "photos of the test part that the training part knows". A near duplicate is
    listed only where there is no image of equal pixels. Flat images (about one colour) are compared
    by their exact pixels alone, for all of them look alike. Users that are missing or empty are
    nobody's. JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where 128 pixels are left: equal
    pixels are those of the same reduction. See :func:`nearest_within` for the search,
    :func:`perceptual_hash` for the hash.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise GeolocError(
            f"max_distance must lie between 0 and {MAX_DISTANCE} bits; got {max_distance}."
        )
    rows = RowBatches(path)
    there = rows.schema.names
    if "part" not in there:
        raise GeolocError(
            f"{rows.path.name} has no column part (columns there: {', '.join(there)}). Run geoloc "
            "split on it first."
        )
    part = _parts(rows)
    if not len(part):
        raise GeolocError(f"{rows.path.name} has no rows. Give at least one photo.")
    found: list[pd.DataFrame] = []
    reasons: list[str] = []
    prints: Fingerprints | None = None
    if images and "path" in there:
        reasons += REASONS[:2]
        prints = _fingerprints(rows, images_root, n_workers, found, part, max_distance)
    if {"latitude", "longitude"} <= set(there):
        reasons.append(REASONS[2])
        found.extend(_shared(_coordinate_codes(rows), part, REASONS[2]))
    if "user" in there:
        reasons.append(REASONS[3])
        found.extend(_shared(_user_codes(rows), part, REASONS[3]))
    if not reasons:
        raise GeolocError(
            f"{rows.path.name} has nothing to compare: no images, coordinates or users (columns "
            f"there: {', '.join(there)})."
        )
    counts = np.bincount(part, minlength=len(PARTS))
    return LeakageReport(
        pairs=_with_names(found, part, rows),
        n_photos=dict(zip(PARTS, counts.tolist(), strict=True)),
        reasons=tuple(reasons),
        n_images=0 if prints is None else len(prints.content),
        n_broken=0 if prints is None else int(prints.is_broken.sum()),
        n_flat=0 if prints is None else int(prints.is_flat.sum()),
        broken=() if prints is None else prints.messages,
    )


def _parts(rows: RowBatches) -> np.ndarray:
    batches = []
    first_row = 1
    for batch in rows.batches(["part"]):
        names = as_texts(batch.column("part"), "Parts")
        number = pc.index_in(names, value_set=pa.array(PARTS, pa.large_string()))
        if number.null_count:
            row = number.is_null().index(True).as_py()
            raise GeolocError(
                f"The column part must hold train, validation or test; row {row + first_row} of "
                f"{rows.path.name} holds {names[row].as_py()!r}. Run geoloc split again."
            )
        batches.append(number.to_numpy().astype(np.int8))
        first_row += len(number)
    return np.concatenate(batches) if batches else np.empty(0, dtype=np.int8)


def _fingerprints(
    rows: RowBatches,
    images_root: str | Path | None,
    n_workers: int | None,
    found: list[pd.DataFrame],
    part: np.ndarray,
    max_distance: int,
) -> Fingerprints:
    root = rows.path.parent if images_root is None else Path(images_root)
    if not root.is_dir():
        raise GeolocError(f"There is no folder {root}. Check the root of the image files.")
    paths = _texts(rows, "path")
    (with_image,) = np.nonzero(known_texts(paths))
    names = np.array(paths.take(pa.array(with_image)).to_pylist(), dtype=object)
    prints = fingerprint_images(FileImages(names, root, min_side=_MIN_SIDE), n_workers=n_workers)
    readable = np.flatnonzero(~prints.is_broken)
    content_code = np.full(len(part), -1, dtype=np.int64)
    content_code[with_image[readable]] = pd.factorize(prints.content[readable])[0]
    found.extend(_shared(content_code, part, REASONS[0], distance=0))
    lively = np.flatnonzero(~prints.is_broken & ~prints.is_flat)
    found.extend(
        _near(prints.perceptual[lively], with_image[lively], content_code, part, max_distance)
    )
    return prints


def _shared(
    code: np.ndarray, part: np.ndarray, reason: str, *, distance: int | None = None
) -> Iterator[pd.DataFrame]:
    """Rows of a later part whose code (int64, -1 for none) is also in an earlier one."""
    for earlier, later in PAIRS_OF_PARTS:
        rows, other_rows = _rows_with_twin(code, part, earlier, later)
        yield _pairs(reason, rows, other_rows, None if distance is None else np.zeros(len(rows)))


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


def _near(
    hashes: np.ndarray,
    row_of_hash: np.ndarray,
    content_code: np.ndarray,
    part: np.ndarray,
    max_distance: int,
) -> Iterator[pd.DataFrame]:
    """Rows of a later part that look like an image of an earlier one, but are not the same."""
    for earlier, later in PAIRS_OF_PARTS:
        same, _ = _rows_with_twin(content_code, part, earlier, later)
        asking = np.flatnonzero((part[row_of_hash] == later) & ~np.isin(row_of_hash, same))
        known = np.flatnonzero(part[row_of_hash] == earlier)
        # Each hash once, at its first row; in the order of rows, so that ties go to the first.
        _, first = np.unique(hashes[known], return_index=True)
        known = known[np.sort(first)]
        query, of_query = np.unique(hashes[asking], return_inverse=True)
        target, distance = nearest_within(query, hashes[known], max_distance)
        target, distance = target[of_query.ravel()], distance[of_query.ravel()]
        near = target >= 0
        yield _pairs(
            REASONS[1], row_of_hash[asking[near]], row_of_hash[known[target[near]]], distance[near]
        )


def _pairs(
    reason: str, rows: np.ndarray, other_rows: np.ndarray, distance: np.ndarray | None
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "reason": pd.Series([reason] * len(rows), dtype=object),
            "row": rows.astype(np.int64),
            "other_row": other_rows.astype(np.int64),
            "distance": pd.array([pd.NA] * len(rows), dtype="Int64")
            if distance is None
            else pd.array(distance.astype(np.int64), dtype="Int64"),
        }
    )


def _with_names(found: list[pd.DataFrame], part: np.ndarray, rows: RowBatches) -> pd.DataFrame:
    pairs = pd.concat(found, ignore_index=True)
    names = np.array(PARTS, dtype=object)
    pairs["part"] = names[part[pairs["row"].to_numpy()]]
    pairs["other_part"] = names[part[pairs["other_row"].to_numpy()]]
    key = next((column for column in _KEYS if column in rows.schema.names), None)
    if key is None:
        return pairs
    texts = _texts(rows, key)
    for column, of in (("id", "row"), ("other_id", "other_row")):
        pairs[column] = np.array(texts.take(pa.array(pairs[of])).to_pylist(), dtype=object)
    return pairs


def _coordinate_codes(rows: RowBatches) -> np.ndarray:
    """Number of each row's coordinate; +180 and -180 degrees are the same meridian."""
    blocks = [
        np.column_stack(
            [
                batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
                for name in ("latitude", "longitude")
            ]
        )
        for batch in rows.batches(["latitude", "longitude"])
    ]
    coords = np.concatenate(blocks) if blocks else np.empty((0, 2))
    coords += 0.0  # -0 becomes 0
    coords[coords[:, 1] == -180, 1] = 180.0
    coords[np.abs(coords[:, 0]) == 90, 1] = 0.0
    frame = pd.DataFrame(coords, columns=["latitude", "longitude"])
    code = frame.groupby(["latitude", "longitude"], sort=False).ngroup()
    return code.fillna(-1).to_numpy(dtype=np.int64)  # missing coordinates are nobody's


def _user_codes(rows: RowBatches) -> np.ndarray:
    users = _texts(rows, "user")
    code = users.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.where(known_texts(users), np.nan_to_num(code, nan=-1), -1).astype(np.int64)


def _texts(rows: RowBatches, column: str) -> pa.Array:
    parts = [as_texts(batch.column(column), column) for batch in rows.batches([column])]
    return pa.chunked_array(parts, type=pa.large_string()).combine_chunks()
