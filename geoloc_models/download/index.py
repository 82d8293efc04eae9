"""State of every photo of a table in a few bytes each, found by a hash of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from geoloc_models._errors import GeolocError
from geoloc_models.download.record import State

UNTRIED = 0
FOUND = 255  # the image lies on disk, but the ledger does not know it yet
CODE_OF_STATE = {state: code for code, state in enumerate(State, start=1)}
OK = CODE_OF_STATE[State.OK]

_SALTS = 8


class PhotoIndex:
    """Names of all photos with their states and places, 13 bytes a photo.

    Parameters
    ----------
    names : callable
        Gives, each time it is called, the file names of all photos in batches.
    n_photos : int, optional
        How many they are, if that is known: saves memory while they are sorted.

    Attributes
    ----------
    state : ndarray of uint8 (n,)
        ``UNTRIED``, ``FOUND`` or a code of ``CODE_OF_STATE``.
    place : ndarray of int32 (n,)
        Where a stored image lies; the storage knows what the number means.

    Raises
    ------
    GeolocError
        If two photos share an id.

    Notes
    -----
    Photos are sorted by a 64-bit hash of their names; the place of a name in the arrays is found by
    bisection. Among 100 million names two share a hash with a probability of 0.0003; then all are
    hashed again with another key.
    """

    def __init__(self, names: Callable[[], Iterable[Sequence[str]]], n_photos: int | None = None):
        for salt in range(_SALTS):
            self._hash_key = f"geoloc download{salt}"
            if n_photos is None:
                n_photos = sum(len(batch) for batch in names())
            keys, end = np.empty(n_photos, dtype=np.uint64), 0
            for batch in names():
                keys[end : end + len(batch)] = self._hashes(batch)
                end += len(batch)
            keys.sort()
            repeated = np.unique(keys[1:][keys[1:] == keys[:-1]])
            if not len(repeated):
                break
            self._check_distinct(names(), repeated)
        self._keys = keys
        self.state = np.zeros(len(keys), dtype=np.uint8)
        self.place = np.zeros(len(keys), dtype=np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def positions(self, names: Sequence[str]) -> np.ndarray:
        """Position of each name in the arrays, int64 (len(names),); -1 for other tables' photos."""
        hashes = self._hashes(names)
        if not len(self._keys):
            return np.full(len(hashes), -1, dtype=np.int64)
        position = np.searchsorted(self._keys, hashes)
        position[position == len(self._keys)] = 0
        return np.where(self._keys[position] == hashes, position, -1).astype(np.int64)

    def counts(self) -> dict[State, int]:
        """Count the photos in each state."""
        return {
            state: int(np.count_nonzero(self.state == code))
            for state, code in CODE_OF_STATE.items()
        }

    def _hashes(self, names: Sequence[str]) -> np.ndarray:
        values = np.empty(len(names), dtype=object)
        values[:] = names
        return pd.util.hash_array(values, hash_key=self._hash_key, categorize=False)

    def _check_distinct(self, names: Iterable[Sequence[str]], repeated: np.ndarray) -> None:
        first_row: dict[str, int] = {}
        row = 0
        for batch in names:
            for k in np.flatnonzero(np.isin(self._hashes(batch), repeated)).tolist():
                name = batch[k]
                if name in first_row:
                    raise GeolocError(
                        f"Every photo needs an id of its own; rows {first_row[name] + 1} and "
                        f"{row + k + 1} share one ({name}). Remove the repeated rows."
                    )
                first_row[name] = row + k
            row += len(batch)
