"""The nearest of many 64-bit hashes within a few bits, without comparing all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np

MAX_DISTANCE = 12  # beyond, the search is no faster than comparing all pairs
_BANDS = 4
_BAND_BITS = 64 // _BANDS
_CANDIDATES_AT_A_TIME = 1 << 21
_ONES_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def nearest_within(
    queries: np.ndarray, targets: np.ndarray, max_distance: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each hash the nearest target that differs in at most ``max_distance`` bits.

    Parameters
    ----------
    queries, targets : ndarray of uint64 (n,), (m,)
    max_distance : int
        0 to 12 bits.

    Returns
    -------
    target : ndarray of int64 (n,)
        Position of the nearest target, the first of those equally near; -1 where there is none.
    distance : ndarray of int64 (n,)
        Bits that differ; -1 where there is none.

    Notes
    -----
    Nothing is missed. Let the hashes have 4 bands of 16 bits and ``max_distance = 4 s + a``, ``a``
    from 0 to 3. If the first ``a + 1`` bands differed in more than ``s`` bits each and the others
    in more than ``s - 1``, the whole would differ in at least ``(a + 1)(s + 1) + (3 - a) s =
    max_distance + 1`` bits. So one of the first ``a + 1`` bands is within ``s``, or one of the
    others within ``s - 1``: targets are sorted by band, and the few buckets that near are looked
    up [1]_. A band takes every fourth bit, so that all four tell hashes apart equally well. On
    evenly spread hashes a query meets ``m / 65536`` candidates per bucket, 52 buckets for 6 bits.

    References
    ----------
    .. [1] Norouzi, Punjani, Fleet (2014), Fast exact search in Hamming space with multi-index
       hashing, IEEE TPAMI 36(6), section 3.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must lie between 0 and {MAX_DISTANCE}; got {max_distance}.")
    none = np.iinfo(np.int64).max
    # Distance in the upper bits, position in the lower: the smallest is the nearest, then first.
    best = np.full(len(queries), none, dtype=np.int64)
    whole, remainder = divmod(max_distance, _BANDS)
    for band in range(_BANDS):
        radius = whole if band <= remainder else whole - 1
        query_band, target_band = _band(queries, band), _band(targets, band)
        order = np.argsort(target_band, kind="stable")
        starts = np.searchsorted(target_band[order], np.arange((1 << _BAND_BITS) + 1))
        for flipped in _masks_within(radius):
            bucket = query_band ^ flipped
            _meet(best, queries, targets, order, starts[bucket], starts[bucket + 1], max_distance)
    has_match = best < none
    target = np.where(has_match, best & 0xFFFFFFFF, -1)
    return target, np.where(has_match, best >> 32, -1)


def n_different_bits(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Number of bits, uint8, in which hashes (uint64) of two arrays of one shape differ."""
    different = np.ascontiguousarray(left ^ right)
    ones = _ONES_OF_BYTE[different.view(np.uint8)].reshape(*different.shape, 8)
    n_ones: np.ndarray = ones.sum(axis=-1, dtype=np.uint8)
    return n_ones


def _meet(
    best: np.ndarray,
    queries: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    max_distance: int,
) -> None:
    """Compare each query with the targets ``order[begin:end]`` and keep the nearest, in place."""
    size = end - begin
    (asking,) = np.nonzero(size)
    total = np.cumsum(size[asking])
    first = 0
    while first < len(asking):
        done = total[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(total, done + _CANDIDATES_AT_A_TIME, "right")))
        some = asking[first:last]
        query = np.repeat(some, size[some])
        offset = np.arange(len(query)) - np.repeat(
            total[first:last] - size[some] - done, size[some]
        )
        target = order[np.repeat(begin[some], size[some]) + offset]
        distance = n_different_bits(queries[query], targets[target]).astype(np.int64)
        near = distance <= max_distance
        np.minimum.at(best, query[near], (distance[near] << 32) | target[near])
        first = last


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    """Every fourth bit from bit ``band`` on, as int64 from 0 to 65535."""
    key = np.zeros(len(hashes), dtype=np.int64)
    for bit in range(_BAND_BITS):
        place = np.uint64(bit * _BANDS + band)
        key |= ((hashes >> place) & np.uint64(1)).astype(np.int64) << bit
    return key


def _masks_within(radius: int) -> list[int]:
    return [
        sum(1 << bit for bit in bits)
        for n_bits in range(radius + 1)
        for bits in combinations(range(_BAND_BITS), n_bits)
    ]
