"""Batches straight from a feature cache: what a model with a frozen encoder trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from geoloc_models.features.cache import FeatureCache
from geoloc_models.photos.dataset import Batch, PhotoLabels

_IN_MEMORY_BYTES = 2 << 30


class FeatureDataset(Dataset[Batch]):
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

    Notes
    -----
    ``dataset[positions]`` is a batch, a dict: ``image`` float32 (B, D), the features; ``coords``
    float64 (B, 2); ``country``, ``cell`` and ``row`` int64 (B,), ``row`` being the row in the
    table; ``broken``, a list of (row, message). Photos that are broken are left out of B. Rows are
    gathered by one call a batch; no Python code runs per photo.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.features import FeatureCache, FeatureDataset, row_keys
    >>> from geoloc_models.tables import read_photo_table
    >>> table = read_photo_table("photos.csv")
    >>> country_index = np.unique(table.countries, return_inverse=True)[1]
    >>> cache = FeatureCache.open("features.npy")
    >>> dataset = FeatureDataset(cache, row_keys(table), table.coords, country_index)
    >>> tuple(dataset[[2, 0, 1]]["image"].shape)
    (3, 128)
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

    def batches(self, batch_size: int = 256) -> DataLoader[Batch]:
        """All photos in order, so many in a batch, less those whose image is broken."""
        positions = BatchSampler(SequentialSampler(self), batch_size, drop_last=False)
        return DataLoader(self, batch_size=None, sampler=positions, collate_fn=lambda batch: batch)

    def __getitem__(self, positions: ArrayLike) -> Batch:
        """Batch of these positions in the dataset."""
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
