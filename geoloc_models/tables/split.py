"""Training, validation and test rows; and blocks of places that must not be torn apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from geocells.sphere import EARTH_RADIUS_KM
from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.tables.split_options import check_fractions

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Rows of each part, as sorted int64 arrays; together they hold every row once.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.tables import Split
    >>> split = Split(train=np.arange(8), validation=np.array([8]), test=np.array([9]))
    >>> len(split.train)
    8
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(
    n_rows: int,
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    strata: Sequence[Any] | np.ndarray | None = None,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split rows at random into training, validation and test.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    groups : sequence (n_rows,), optional
        Rows with one value are all trained on or all held out. Held-out rows are dealt out to
        validation and test one by one, so that a calibration on validation holds on test.
    strata : sequence (n_rows,), optional
        Each value (say, each country) is spread over the parts by the fractions as well as its
        rows, or groups, allow. A group counts to its most frequent stratum.
    fractions : (float, float, float)
        Shares of training, validation and test; all positive, sum 1.
    seed : int
        The same seed gives the same split; NumPy's global generator plays no part.

    Returns
    -------
    Split
        With no part empty.

    Raises
    ------
    GeolocError
        If lengths differ, a group or stratum is missing, the fractions are no shares, or there are
        fewer rows (groups) than parts.

    Notes
    -----
    Without groups: rows in random order, strata one after the other; every ``1 / fraction``-th
    goes to a part, so all sizes are within one row of their share. With groups: the large ones
    first, the others in random order, each to training or the rest, whichever lacks most rows;
    the rest is then dealt out as without groups. O(n log n). With :func:`assign_parts`, parts
    stay when rows are added.

    Examples
    --------
    >>> split = split_rows(10, seed=1)
    >>> len(split.train), len(split.validation), len(split.test)
    (8, 1, 1)
    """
    check_fractions(fractions)
    share = np.asarray(fractions, dtype=np.float64)
    group_of_row = _numbered(groups, n_rows, "groups")
    stratum_of_row = _numbered(strata, n_rows, "strata")
    n_units = n_rows if group_of_row is None else int(group_of_row.max(initial=-1)) + 1
    if n_units < len(PARTS):
        noun = "rows" if group_of_row is None else "groups"
        raise GeolocError(
            f"A split into training, validation and test needs at least {len(PARTS)} {noun}; "
            f"there are {n_units}. Give more photos, or group by something finer."
        )
    generator = np.random.default_rng(seed)
    if stratum_of_row is None:
        stratum_of_row = np.zeros(n_rows, dtype=np.int64)
    if group_of_row is None:
        part = _split_single_rows(stratum_of_row, share, generator)
    else:
        part = _split_by_groups(group_of_row, stratum_of_row, share, generator)
    return Split(*(np.flatnonzero(part == k).astype(np.int64) for k in range(len(PARTS))))


def place_blocks(coords: ArrayLike, size_km: float = 10.0) -> np.ndarray:
    """Number of the block of the earth's surface that each place lies in.

    Parameters
    ----------
    coords : array-like (n, 2)
        Latitude, longitude in degrees.
    size_km : float
        Length of a block's sides, nearly: bands of latitude about this high, each cut into equal
        blocks about this wide in the band's middle. The two caps around the poles are one block.

    Returns
    -------
    ndarray of int64 (n,)
        One number per block; +180 and -180 degrees are the same meridian.

    Raises
    ------
    GeolocError
        If ``size_km`` is not between 0.001 and 10 000, or a coordinate is out of range.

    Examples
    --------
    >>> block = place_blocks([[47.3769, 8.5417], [47.3769, 8.5418], [59.3293, 18.0686]])
    >>> bool(block[0] == block[1]), bool(block[0] == block[2])
    (True, False)
    """
    points = as_coords(coords)
    if not 0.001 <= size_km <= 10_000:
        raise GeolocError(f"size_km must lie between 0.001 and 10000; got {size_km}.")
    latitude, longitude = points[:, 0], points[:, 1]
    n_bands = max(2, int(np.ceil(np.pi * EARTH_RADIUS_KM / size_km)))
    band = np.clip(((latitude + 90) / 180 * n_bands).astype(np.int64), 0, n_bands - 1)
    n_blocks = _blocks_in_band(np.arange(n_bands), n_bands, size_km)
    turn = np.mod(longitude + 180.0, 360.0) / 360.0
    column = np.minimum((turn * n_blocks[band]).astype(np.int64), n_blocks[band] - 1)
    first_of_band = np.cumsum(n_blocks) - n_blocks
    block: np.ndarray = first_of_band[band] + column
    return block


def largest_block(coords: ArrayLike, size_km: float = 10.0) -> int:
    """Number of places in the fullest block.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    size_km : float, default 10
        Sides of a block, as for :func:`place_blocks`.

    Returns
    -------
    int
        At least 1; 0 where there are no places.

    Examples
    --------
    >>> from geoloc_models.tables.split import largest_block
    >>> largest_block([[47.3769, 8.5417], [47.3769, 8.5418], [59.3293, 18.0686]])
    2
    """
    blocks = place_blocks(coords, size_km)
    return int(np.unique(blocks, return_counts=True)[1].max(initial=0))


def _blocks_in_band(band: np.ndarray, n_bands: int, size_km: float) -> np.ndarray:
    middle = np.radians((band + 0.5) / n_bands * 180 - 90)
    around_km = 2 * np.pi * EARTH_RADIUS_KM * np.cos(middle)
    n_blocks = np.maximum(1, np.round(around_km / size_km)).astype(np.int64)
    n_blocks[(band == 0) | (band == n_bands - 1)] = 1
    return n_blocks


def _numbered(
    values: Sequence[Any] | np.ndarray | None, n_rows: int, name: str
) -> np.ndarray | None:
    if values is None:
        return None
    if len(values) != n_rows:
        raise GeolocError(f"{name} must have one value per row; got {len(values)} for {n_rows}.")
    number, _ = pd.factorize(np.asarray(values))
    missing = number < 0
    if missing.any():
        raise GeolocError(
            f"{name} must have a value in every row; {missing.sum()} of {n_rows} have none "
            f"(first: row {int(missing.argmax())}). Fill them in."
        )
    return number.astype(np.int64)


def _split_single_rows(
    stratum: np.ndarray, share: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Part of every row, 0 to ``len(share) - 1``."""
    n_rows = len(stratum)
    order = np.lexsort([generator.random(n_rows), stratum])
    part_in_order = np.zeros(n_rows, dtype=np.int64)
    rest = np.arange(n_rows)
    for k in range(len(share) - 1, 0, -1):
        taken = _every(len(rest), share[k] / share[: k + 1].sum())
        part_in_order[rest[taken]] = k
        rest = rest[~taken]
    part = np.empty(n_rows, dtype=np.int64)
    part[order] = part_in_order
    _fill_empty_parts(part, np.ones(n_rows), len(share), generator)
    return part


def _split_by_groups(
    group: np.ndarray, stratum: np.ndarray, share: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Part of every row: whole groups to training or not, the rows of the others one by one."""
    held_out = np.array([share[0], share[1:].sum()])
    is_held_out = _split_groups(group, stratum, held_out, generator) == 1
    size = np.bincount(group)
    if size[is_held_out].sum() < 2:  # a group of one row cannot fill two parts
        trained = np.flatnonzero(~is_held_out)
        is_held_out[trained[size[trained].argmin()]] = True
    part = np.zeros(len(group), dtype=np.int64)
    rows = np.flatnonzero(is_held_out[group])
    part[rows] = 1 + _split_single_rows(stratum[rows], share[1:], generator)
    return part


def _every(n: int, fraction: float) -> np.ndarray:
    """Mask that takes every ``1 / fraction``-th of n, ``fraction * n`` of them to the nearest."""
    # The small step keeps a sum such as 10 * 0.1 from falling just short of a whole number.
    steps = np.floor(np.arange(n + 1) * fraction + 0.5 + 1e-9)
    taken: np.ndarray = np.diff(steps) > 0
    return taken


def _split_groups(
    group: np.ndarray, stratum: np.ndarray, share: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Part of every group, 0 to ``len(share) - 1``."""
    size = np.bincount(group)
    n_groups = len(size)
    stratum_of_group = _most_frequent(group, stratum)
    wanted = np.bincount(stratum_of_group, weights=size)[:, None] * share  # (n_strata, n_parts)
    wanted_in_all = size.sum() * share
    large = size > 0.5 * wanted_in_all.min()
    order = np.lexsort([generator.random(n_groups), np.where(large, -size, 0)])
    part = np.empty(n_groups, dtype=np.int64)
    lacks = wanted.tolist()  # plain lists: a million steps in Python should take seconds only
    lacks_in_all = wanted_in_all.tolist()
    for unit, kind, n in zip(
        order.tolist(), stratum_of_group[order].tolist(), size[order].tolist(), strict=True
    ):
        here = lacks[kind]
        best = max(range(len(here)), key=lambda k: (round(here[k], 6), lacks_in_all[k]))
        part[unit] = best
        here[best] -= n
        lacks_in_all[best] -= n
    _fill_empty_parts(part, size.astype(np.float64), len(share), generator)
    return part


def _most_frequent(group: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """Most frequent stratum of every group; the lowest number where two are level."""
    n_strata = int(stratum.max()) + 1
    pair, count = np.unique(group * n_strata + stratum, return_counts=True)
    pair = pair[np.lexsort([pair, -count, pair // n_strata])]
    _, first = np.unique(pair // n_strata, return_index=True)
    return pair[first] % n_strata


def _fill_empty_parts(
    part: np.ndarray, size: np.ndarray, n_parts: int, generator: np.random.Generator
) -> None:
    """Give each empty part the smallest group of the part that has most groups, in place."""
    for k in range(n_parts):
        if not (part == k).any():
            donor = int(np.bincount(part, minlength=n_parts).argmax())
            rows = generator.permutation(np.flatnonzero(part == donor))
            part[rows[size[rows].argmin()]] = k
