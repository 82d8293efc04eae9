"""The part of each photo by a hash, so that it stays when photos are added; nested subsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from geocells.tables import texts
from geoloc_models.errors import GeolocError
from geoloc_models.tables.hashing import hash_numbers, hash_texts, hash_to_unit, stream_start
from geoloc_models.tables.photo_ids import chunked, id_texts, refuse_repeated
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import PARTS, Split, place_blocks
from geoloc_models.tables.split_options import SplitOptions

_DAMAGED = "Run geoloc split again."


def assign_parts(
    ids: Sequence[Any] | np.ndarray | pa.Array,
    *,
    by: str = SplitOptions.by,
    users: Sequence[Any] | np.ndarray | pa.Array | None = None,
    coords: ArrayLike | None = None,
    block_km: float = SplitOptions.block_km,
    fractions: tuple[float, float, float] = SplitOptions.fractions,
    exchangeable: bool = SplitOptions.exchangeable,
    seed: int = 0,
) -> np.ndarray:
    """Part of each photo, by a hash of the seed, the photo's unit and its id.

    Parameters
    ----------
    ids : sequence of str or int (n,)
        Name of each photo.
    users : sequence of str or int (n,), optional
        Values of the column that ``by`` names, such as ``user``; missing or empty where unknown.
    coords : array-like (n, 2), optional
        Latitude, longitude in degrees, needed with ``by="place"``.
    by, block_km, fractions, exchangeable, seed
        As in :class:`~geoloc_models.tables.split_options.SplitOptions`; blocks are those of
        :func:`place_blocks`.

    Returns
    -------
    ndarray of int8 (n,)
        0, 1, 2: training, validation, test.

    Raises
    ------
    GeolocError
        If lengths differ, an id is missing, an option is out of range, or what ``by`` needs is not
        given.

    Notes
    -----
    With ``u`` the unit's hash as a number in [0, 1): test where ``u < test``, validation where ``u < test +
    validation``, else training. So a photo keeps its part whatever rows come or go, and a change of the share of
    validation leaves the test part as it is. If exchangeable, a photo with ``u < test + validation`` is a test photo
    where a second hash, of its own id, is below ``test / (test + validation)``. Sizes are ``sqrt(n f (1 - f))`` units
    off, and a part of a small table may be empty; :func:`split_rows` hits the sizes, but deals anew when a row is
    added. O(n).

    Examples
    --------
    >>> ids = [f"photo-{k}" for k in range(1000)]
    >>> np.bincount(assign_parts(ids, seed=1)).tolist()
    [803, 92, 105]
    >>> bool((assign_parts(ids[500:], seed=1) == assign_parts(ids, seed=1)[500:]).all())
    True
    """
    SplitOptions(by=by, fractions=fractions, seed=seed)  # refuses what is out of range
    share = np.asarray(fractions, dtype=np.float64)
    names = id_texts(ids)
    unit = hash_texts(names, stream_start("part/id", seed))
    if by == "place":
        if coords is None:
            raise GeolocError("A split by place needs the photos' coordinates.")
        blocks = place_blocks(coords, block_km)
        _check_length(len(blocks), len(names), "coords")
        unit = hash_numbers(blocks, stream_start("part/place", seed))
    elif by != "id":
        if users is None:
            raise GeolocError(f"A split by {by} needs the photos' users, or values of that column.")
        user_of_row = texts(chunked(users, "users"))
        _check_length(len(user_of_row), len(names), "users")
        known = np.asarray(pc.is_valid(user_of_row))
        hashes = hash_texts(user_of_row.drop_null(), stream_start("part/user", seed))
        unit[known] = hashes
    u = hash_to_unit(unit)
    part = np.zeros(len(u), dtype=np.int8)
    part[u < share[2] + share[1]] = 1
    if exchangeable and by != "id":
        u_of_photo = hash_to_unit(hash_texts(names, stream_start("part/held-out", seed)))
        part[(part == 1) & (u_of_photo < share[2] / (share[2] + share[1]))] = 2
    else:
        part[u < share[2]] = 2
    return part


def in_large_unit(unit: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
    """Rows of units too large for a held-out part: they are trained on, whatever their hash says.

    Parameters
    ----------
    unit : ndarray of int64 (n,)
        Number of each photo's user or block; -1 for a photo that stands for itself.
    fractions : (float, float, float)
        Of training, validation and test.

    Returns
    -------
    ndarray of bool (n,)
        Units with more photos than half of what the smaller held-out part is to have; the largest
        first, as far as they fit into training.

    Examples
    --------
    >>> in_large_unit(np.repeat([0, 1, 2, 3], [12, 50, 3, 3]), (0.8, 0.1, 0.1)).nonzero()[0][[0, -1]]
    array([12, 61])
    """
    size = np.bincount(unit[unit >= 0])
    order = np.argsort(-size, kind="stable")
    most = 0.5 * min(fractions[1:]) * len(unit)
    fits = np.cumsum(size[order]) <= fractions[0] * len(unit)
    return np.isin(unit, order[fits & (size[order] > most)])


def subset_ranks(
    ids: Sequence[Any] | np.ndarray | pa.Array, part: ArrayLike, *, seed: int = 0
) -> np.ndarray:
    """Place of each training photo in the order that nested subsets are cut from.

    Parameters
    ----------
    ids : sequence of str or int (n,)
        Name of each photo; no two alike.
    part : array-like of int (n,)
        From :func:`assign_parts`.
    seed : int
        As for the parts.

    Returns
    -------
    ndarray of int64 (n,)
        0, 1, 2, ... over the training photos, -1 elsewhere. The subset of n is the photos with
        ``0 <= rank < n``, so each is inside every larger one.

    Raises
    ------
    GeolocError
        If lengths differ, or an id is missing or there twice.

    Notes
    -----
    The order is that of a second hash of the id. Added photos push others back but never change the order of two. O(n
    log n).

    Examples
    --------
    >>> subset_ranks(["a", "b", "c", "d"], [0, 0, 2, 0]).tolist()
    [2, 1, -1, 0]
    """
    SplitOptions(seed=seed)
    names = id_texts(ids)
    parts = np.asarray(part)
    _check_length(len(parts), len(names), "part")
    hashes = hash_texts(names, stream_start("subset/id", seed))
    order = np.argsort(hashes, kind="stable")
    # Neighbours of one hash: the same id twice, or once in a blue moon two ids.
    (level,) = np.nonzero(hashes[order[1:]] == hashes[order[:-1]])
    if len(level):
        places = np.unique(np.concatenate([level, level + 1]))
        rows = order[places]
        id_of_row = pd.Series(names.take(pa.array(rows)).to_pylist(), index=rows).sort_index()
        refuse_repeated(id_of_row.rename(lambda row: row + 1), "the table", len(hashes))
        order[places] = sorted(rows.tolist(), key=lambda row: (hashes[row], id_of_row[row]))
    order = order[parts[order] == 0]
    rank = np.full(len(hashes), -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def split_of_table(table: PhotoTable) -> Split:
    """Turn the column ``part`` of a table into the rows of each part.

    Parameters
    ----------
    table : PhotoTable
        With the column ``part``, as ``geoloc split`` adds it: train, validation or test.

    Returns
    -------
    Split
        Sorted int64 rows.

    Raises
    ------
    GeolocError
        If there is no such column, it holds anything else, or a part is empty.

    Examples
    --------
    >>> table = PhotoTable.from_arrays([[59, 18], [47, 8], [46, 7]], ["SE", "CH", "CH"])
    >>> split_of_table(PhotoTable(table.frame.assign(part=["test", "train", "validation"]))).test
    array([0])
    """
    frame = table.frame

    def name_of_row(row: int) -> str:  # no number: rows of its file may have been left out
        photos = frame.get("id", frame.get("path", frame.index))
        return f"photo {photos.tolist()[row]!r}"

    column = chunked(_column(table, "part").astype(object), "part")
    part = numbered_parts(column, "the table", name_of_row)
    rows = [np.flatnonzero(part == number).astype(np.int64) for number in range(len(PARTS))]
    for name, of_part in zip(PARTS, rows, strict=True):
        if not len(of_part):
            raise GeolocError(f"The table has no photo in its {name} part. {_DAMAGED}")
    return Split(*rows)


def numbered_parts(
    column: pa.ChunkedArray, where: str, name_of_row: Callable[[int], str]
) -> np.ndarray:
    """0, 1, 2 for train, validation, test: (n,) int8.

    Raises
    ------
    GeolocError
        If the column holds anything else; ``name_of_row`` names the first such row.
    """
    names = texts(column)
    number = pc.index_in(names, value_set=pa.array(PARTS))
    if number.null_count:
        row = pc.index(pc.is_null(number), True).as_py()
        raise GeolocError(
            f"The column part must hold train, validation or test; {number.null_count} of "
            f"{len(names)} rows of {where} do not (first: {name_of_row(row)}, "
            f"{names[row].as_py()!r}). {_DAMAGED}"
        )
    return np.asarray(number, dtype=np.int8)


def subset_rows(table: PhotoTable, n_photos: int) -> np.ndarray:
    """Rows of the nested training subset of ``n_photos`` photos, sorted int64 (n_photos,).

    Parameters
    ----------
    table : PhotoTable
        With the column ``subset_rank``, as ``geoloc split`` adds it.
    n_photos : int
        Size of the subset.

    Raises
    ------
    GeolocError
        If there is no such column, or it does not number that many photos.

    Examples
    --------
    >>> from geoloc_models.tables import read_photo_table
    >>> from geoloc_models.tables.parts import subset_rows
    >>> subset_rows(read_photo_table("split.parquet"), 10).shape
    (10,)
    """
    rank = _column(table, "subset_rank").to_numpy()
    n_ranked = int((rank >= 0).sum())
    if not 1 <= n_photos <= n_ranked:
        raise GeolocError(
            f"A subset of the training part can have 1 to {n_ranked} photos; got {n_photos}."
        )
    rows = np.flatnonzero((rank >= 0) & (rank < n_photos)).astype(np.int64)
    if len(rows) != n_photos:
        raise GeolocError(
            f"The column subset_rank numbers {len(rows)} photos below {n_photos}: rows of the table are missing, "
            "left out as photos at sea are, or repeated. Split a table without such rows, as geoloc select writes it."
        )
    return rows


def _check_length(n_values: int, n_rows: int, name: str) -> None:
    if n_values != n_rows:
        raise GeolocError(f"{name} must have one value per id; got {n_values} for {n_rows}.")


def _column(table: PhotoTable, name: str) -> Any:
    if name not in table.frame.columns:
        raise GeolocError(
            f"The table has no column {name}. Run geoloc split on it, or split it by split_rows."
        )
    return table.frame[name]
