"""A feature cache computed by several processes: a part each, put together by the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from geoloc_models.features.cache import (
    BROKEN,
    DONE,
    FeatureCache,
    FeatureCard,
    FeatureFiles,
)
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.files import holding

_BLOCK_ROWS = 1 << 14


class Shards:
    """Parts of a feature cache, each computed by one process.

    Parameters
    ----------
    files : FeatureFiles
        Of the whole cache.
    keys : sequence (n,)
        Of all rows.
    card : FeatureCard
        What the features are to be.
    n_shards : int
        Parts; shard i of 1 to ``n_shards`` holds a run of rows.
    """

    def __init__(
        self,
        files: FeatureFiles,
        keys: Sequence[Any] | np.ndarray,
        card: FeatureCard,
        n_shards: int,
    ) -> None:
        self._files, self._keys, self._card, self._n_shards = files, keys, card, n_shards

    def rows(self, number: int) -> np.ndarray:
        """Rows of a shard: (m,) int64."""
        n, k = len(self._keys), self._n_shards
        return np.arange(n * (number - 1) // k, n * number // k)

    def is_merged(self) -> bool:
        """Whether the whole cache is there and finished; GeolocError if another is there."""
        if not self._files.card.is_file():
            return False
        whole = FeatureCache.open(self._files.features)
        whole.require_card(self._card, self._keys)
        return whole.n_pending == 0

    def copy_what_is_done(self, number: int, writer: FeatureWriter) -> None:
        """Copy the rows of a shard that the whole cache, begun by one process, has already."""
        if self._files.card.is_file():
            _copy(FeatureCache.open(self._files.features), self.rows(number), writer, 0)

    def merge(self) -> tuple[int, ...]:
        """Put all shards together, if every one is finished; the numbers of those that are not."""
        with holding(self._files.shard(0, self._n_shards).lock, self._files.features, wait=True):
            if self.is_merged():  # by another process, just now
                return ()
            caches, missing = [], []
            for number in range(1, self._n_shards + 1):
                files = self._files.shard(number, self._n_shards)
                cache = FeatureCache.open(files.features) if files.card.is_file() else None
                if cache is None or cache.n_pending:
                    missing.append(number)
                else:
                    caches.append(cache)
            if missing:
                return tuple(missing)
            with FeatureWriter(self._files.features, self._keys, self._card) as writer:
                for number, cache in enumerate(caches, start=1):
                    _copy(cache, np.arange(len(cache)), writer, int(self.rows(number)[0]))
            for cache in caches:
                cache.files.remove()
        return ()


def _copy(cache: FeatureCache, rows: np.ndarray, writer: FeatureWriter, offset: int) -> None:
    """Copy these rows of a cache, a run, to rows from ``offset`` that are pending there."""
    is_pending = np.zeros(writer.card.n_rows, dtype=bool)
    is_pending[writer.pending_rows()] = True
    for begin in range(0, len(rows), _BLOCK_ROWS):
        source = rows[begin : begin + _BLOCK_ROWS]
        source = source[is_pending[source - rows[0] + offset]]
        done, broken = (source[cache.state[source] == state] for state in (DONE, BROKEN))
        writer.write(done - rows[0] + offset, cache.features[done])
        writer.mark_broken(
            [(row - rows[0] + offset, cache.broken_reasons[row]) for row in broken.tolist()]
        )
        writer.flush()
