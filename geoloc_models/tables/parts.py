"""The part of each photo by a hash, so that it stays when photos are added; nested subsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from geocells.tables import ids as ids_as_text
from geocells.tables import texts
from geoloc_models._errors import GeolocError
from geoloc_models.tables.hashing import hash_numbers, hash_texts, hash_to_unit, stream_start
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
    """Part of each photo, decided by nothing but the seed, the photo's own unit and its id.

    Parameters
    ----------
    ids : sequence of str or int (n,)
        Name of each photo.
    users : sequence of str or int (n,), optional
        Needed with ``by="user"``, or the name of another column: its values; missing or empty where
        nobody knows.
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
    With ``u`` the unit's hash as a number in [0, 1): test where ``u < test``, validation where ``u
    < test + validation``, else training. So a photo keeps its part whatever rows come or go, in
    whatever order, and a change of the share of validation leaves the test part as it is. If
    exchangeable, a photo with ``u < test + validation`` is a test photo where a second hash, of its
    own id, is below ``test / (test + validation)``; training is the same either way. The price:
    sizes follow the fractions only as chance allows, ``sqrt(n f (1 - f))`` units off, and a part of
    a small table may be empty. :func:`split_rows` hits the sizes, but deals anew when a row is
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
        user_of_row = texts(_chunked(users, "users"))
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
    The order is that of a second hash of the id, independent of the one that decided the part.
    Photos are drawn, also where parts go by user or place; countries get their shares as chance
    allows. Added photos push others back but never change the order of two. O(n log n).

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
        id_of_row = dict(zip(rows.tolist(), names.take(pa.array(rows)).to_pylist(), strict=True))
        _refuse_duplicates(id_of_row, len(hashes))
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
    names = _column(table, "part").astype(str).to_numpy()
    rows = [np.flatnonzero(names == name).astype(np.int64) for name in PARTS]
    (strange,) = np.nonzero(~np.isin(names, PARTS))
    if len(strange):
        raise GeolocError(
            f"The column part must hold train, validation or test; {len(strange)} of {len(names)} "
            f"rows do not (first: row {strange[0]}, {names[strange[0]]!r}). {_DAMAGED}"
        )
    for name, of_part in zip(PARTS, rows, strict=True):
        if not len(of_part):
            raise GeolocError(f"The table has no photo in its {name} part. {_DAMAGED}")
    return Split(*rows)


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
            f"The column subset_rank numbers {len(rows)} photos below {n_photos}; rows of the "
            f"table are missing or there twice. {_DAMAGED}"
        )
    return rows


def id_texts(values: Any, where: str = "the table", first_row: int = 0) -> pa.ChunkedArray:
    """Ids as text, whole numbers as their digits.

    Raises
    ------
    GeolocError
        If one is missing; ``first_row`` is the number of the first one.
    """
    names = ids_as_text(_chunked(values, "ids"), where=where)
    if names.null_count:
        row = pc.index(pc.is_null(names), True).as_py() + first_row
        raise GeolocError(
            f"Every photo needs an id; {names.null_count} of {len(names)} have none (first: row "
            f"{row} of {where}). Fill in or remove such rows."
        )
    return names


def _chunked(values: Any, name: str) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    try:
        array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise GeolocError(f"{name} must be texts or whole numbers ({error}).") from error
    return pa.chunked_array([array])


def _refuse_duplicates(id_of_row: dict[int, str], n_rows: int) -> None:
    first_row: dict[str, int] = {}
    repeated = [
        (first_row[name], row, name)
        for row, name in sorted(id_of_row.items())
        if first_row.setdefault(name, row) != row
    ]
    if repeated:
        before, row, name = repeated[0]
        raise GeolocError(
            f"No two photos may have one id; {len(repeated)} of {n_rows} rows repeat an earlier "
            f"one (first: row {row + 1} that of row {before + 1}, {name!r}). Remove one of each."
        )


def _check_length(n_values: int, n_rows: int, name: str) -> None:
    if n_values != n_rows:
        raise GeolocError(f"{name} must have one value per id; got {n_values} for {n_rows}.")


def _column(table: PhotoTable, name: str) -> Any:
    if name not in table.frame.columns:
        raise GeolocError(
            f"The table has no column {name}. Run geoloc split on it, or split it by split_rows."
        )
    return table.frame[name]
