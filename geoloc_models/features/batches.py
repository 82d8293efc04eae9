"""Batches straight from a feature cache: what a model with a frozen encoder trains on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from geoloc_models._errors import GeolocError
from geoloc_models.features.cache import FeatureCache
from geoloc_models.photos.dataset import Batch, PhotoLabels

_IN_MEMORY_BYTES = 2 << 30


class FeatureDataset:
    """Cached features with coordinates, country and cell.

    Up to 2 GiB of features are copied into memory, in the cache's dtype; of more, every batch is
    read from the file.

    Parameters
    ----------
    cache : FeatureCache
        Finished for the dataset's rows.
    keys : sequence (n,)
        Of :func:`geoloc_models.features.cache.row_keys`, for all rows of the table.
    coords : array-like (n, 2)
        Latitude, longitude in degrees of all rows.
    country_index : array-like (n,) int
        Class of each row's country.
    cell_labels : array-like (n,) int, optional
        Cell of each row; -1 stands for none.
    rows : array-like (m,) int, optional
        Rows of the table that belong to the dataset, in this order; by default all. Others need
        not be in the cache.

    Raises
    ------
    GeolocError
        If lengths differ, the cache lacks a row, or has not finished it.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.features import FeatureCache, FeatureDataset, row_keys
    >>> from geoloc_models.tables import read_photo_table
    >>> table = read_photo_table("photos.csv")
    >>> country_index = np.unique(table.countries, return_inverse=True)[1]
    >>> cache = FeatureCache.open("features.npy")
    >>> dataset = FeatureDataset(cache, row_keys(table), table.coords, country_index)
    >>> batch = next(iter(dataset.batches(np.arange(160), batch_size=64)))
    >>> tuple(batch["image"].shape)
    (64, 128)
    """

    def __init__(
        self,
        cache: FeatureCache,
        keys: Sequence[Any] | np.ndarray,
        coords: ArrayLike,
        country_index: ArrayLike,
        *,
        cell_labels: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ) -> None:
        labels = PhotoLabels(len(keys), coords, country_index, cell_labels=cell_labels, rows=rows)
        self.cache = cache
        self.rows = labels.rows
        self._cache_rows = cache.rows_of(np.asarray(keys, dtype=object)[self.rows])
        cache.require_finished(self._cache_rows)
        self._is_broken = np.isin(self._cache_rows, cache.broken_rows)
        self._coords = torch.from_numpy(labels.coords[self.rows])
        self._country = torch.from_numpy(labels.country_index[self.rows])
        self._cell = torch.from_numpy(labels.cell_labels[self.rows])
        self._row = torch.from_numpy(self.rows.copy())
        n_bytes = len(self.rows) * cache.dim * cache.features.dtype.itemsize
        is_small = n_bytes <= _IN_MEMORY_BYTES
        self._features = torch.from_numpy(cache.gather(self._cache_rows)) if is_small else None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> FeatureDataset:
        """Keep labels, and features that are in memory, on a device: no batch travels there."""
        for name in ("_features", "_coords", "_country", "_cell", "_row"):
            values = getattr(self, name)
            setattr(self, name, None if values is None else values.to(device))
        return self

    @property
    def dim(self) -> int:
        """Length of a feature."""
        return self.cache.dim

    @property
    def broken(self) -> list[tuple[int, str]]:
        """Row of the table and reason of each photo without a feature."""
        return self._broken_of(np.flatnonzero(self._is_broken))

    def batches(self, order: ArrayLike | None = None, batch_size: int = 256) -> FeatureBatches:
        """Batches of one epoch.

        Parameters
        ----------
        order : array-like (k,) int, optional
            Positions in the dataset, 0 to ``len(dataset) - 1``, in the order wanted; a permutation
            for an epoch. By default 0, 1, 2, ...
        batch_size : int
            Photos per batch; the last one may be shorter, as is one with broken images.
        """
        return FeatureBatches(self, order, batch_size)

    def take(self, positions: ArrayLike) -> Batch:
        """Batch of these positions in the dataset; see :class:`FeatureBatches`."""
        places = np.asarray(positions, dtype=np.int64).reshape(-1)
        broken = self._is_broken[places]
        whole = places[~broken] if broken.any() else places
        index = torch.from_numpy(whole).to(self._row.device, non_blocking=True)
        if self._features is not None:
            image = self._features.index_select(0, index).float()
        else:
            image = torch.from_numpy(self.cache.gather(self._cache_rows[whole])).float()
        return {
            "image": image,
            "coords": self._coords.index_select(0, index),
            "country": self._country.index_select(0, index),
            "cell": self._cell.index_select(0, index),
            "row": self._row.index_select(0, index),
            "broken": self._broken_of(places[broken]),
        }

    def _broken_of(self, places: np.ndarray) -> list[tuple[int, str]]:
        if not len(places):
            return []
        reasons = self.cache.broken_reasons
        return [(int(self.rows[k]), reasons[int(self._cache_rows[k])]) for k in places]


class FeatureBatches:
    """One epoch's batches, as any loader gives them; iterating anew gives the same ones.

    Parameters
    ----------
    dataset : FeatureDataset
        Where they come from.
    order : array-like (k,) int, optional
        Positions in the dataset.
    batch_size : int
        Photos per batch.

    Raises
    ------
    GeolocError
        If the batch size is below 1 or a position does not exist.

    Notes
    -----
    A batch is a dict: ``image`` float32 (B, D), the features; ``coords`` float64 (B, 2);
    ``country``, ``cell`` and ``row`` int64 (B,), ``row`` being the row in the table; ``broken``, a
    list of (row, message). B may be 0 where all images are broken. Rows are gathered by one call
    per batch; no Python code runs per photo.
    """

    def __init__(self, dataset: FeatureDataset, order: ArrayLike | None, batch_size: int) -> None:
        if batch_size < 1:
            raise GeolocError(f"The batch size must be at least 1; got {batch_size}.")
        n = len(dataset)
        positions = np.arange(n) if order is None else np.asarray(order, dtype=np.int64).reshape(-1)
        bad = (positions < 0) | (positions >= n)
        if bad.any():
            raise GeolocError(
                f"Positions in the order must lie between 0 and {n - 1}; {bad.sum()} do not "
                f"(first: {positions[int(bad.argmax())]})."
            )
        self.dataset, self.order, self.batch_size = dataset, positions, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for begin in range(0, len(self.order), self.batch_size):
            yield self.dataset.take(self.order[begin : begin + self.batch_size])
