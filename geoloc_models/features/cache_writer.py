"""Write a feature cache so that a kill at any moment loses only what was not marked as done."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import (
    BROKEN,
    DONE,
    FORMAT,
    PENDING,
    VERSION,
    FeatureCache,
    FeatureCard,
    FeatureFiles,
    digest_of,
    hash_keys,
)
from geoloc_models.files import holding, replacing, write_record


class FeatureWriter:
    """The one process that writes a cache.

    Use it as a context manager; leaving it marks what has been written.

    Parameters
    ----------
    path : str or Path
        ``NAME.npy``. Missing folders are made.
    keys : sequence (n,)
        Of :func:`geoloc_models.features.cache.row_keys`, for every row of the cache.
    card : FeatureCard
        What the features are to be; its ``n_rows`` and ``keys_digest`` are taken from the keys.
    resume : bool, default True
        Go on with a cache that is there already, if it fits. Otherwise it is replaced.

    Raises
    ------
    BlockingIOError
        If another process writes the cache.
    GeolocError
        If the disk has too little room, or the cache there is damaged, of another encoder, of other
        photos or another dtype.

    Notes
    -----
    Features reach the disk before their rows are marked as done, so a marked row is whole.
    """

    def __init__(
        self,
        path: str | Path,
        keys: Sequence[Any] | np.ndarray,
        card: FeatureCard,
        *,
        resume: bool = True,
    ) -> None:
        files = FeatureFiles(Path(path))
        key_hashes = hash_keys(keys)
        card = replace(card, n_rows=len(key_hashes), keys_digest=digest_of(key_hashes))
        with ExitStack() as stack:
            stack.enter_context(holding(files.lock, files.features))
            if not (resume and files.card.is_file()):
                if resume and files.features.exists() and not files.keys.exists():
                    raise GeolocError(
                        f"{files.features} is no feature cache: {files.card.name} is missing. Name "
                        "another file, or replace this one by --no-resume."
                    )
                _create(files, key_hashes, card)
            begun = FeatureCache.open(files.features)
            begun.require_card(card)
            _list_once(begun)
            self.cache = FeatureCache.open(files.features)
            self._features = np.load(files.features, mmap_mode="r+")
            self._state = np.load(files.state, mmap_mode="r+")
            self._lock = stack.pop_all()
        self._unmarked: list[tuple[np.ndarray, int]] = []

    @property
    def card(self) -> FeatureCard:
        """What the features are; of a resumed cache, as it was begun."""
        return self.cache.card

    def pending_rows(self) -> np.ndarray:
        """Rows still to be computed, ascending: (m,) int64."""
        return np.flatnonzero(self.cache.state == PENDING)

    def retry_broken(self) -> None:
        """Make broken rows pending again."""
        self._unmarked.append((self.cache.broken_rows, PENDING))
        self.flush()
        self.cache.files.broken.unlink(missing_ok=True)

    def write(self, rows: ArrayLike, features: np.ndarray) -> None:
        """Write features; :meth:`flush` marks them.

        Parameters
        ----------
        rows : array-like (m,) int
            Rows of the cache.
        features : ndarray (m, D) float
            Their features.

        Raises
        ------
        GeolocError
            If a number is not finite, or too large for float16.
        """
        places = np.asarray(rows, dtype=np.int64).reshape(-1)
        with np.errstate(over="ignore"):
            values = np.asarray(features).astype(self.card.dtype)
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = int(places[int((~finite).argmax())])
            raise GeolocError(
                f"The feature of row {row} has numbers that are not finite in {self.card.dtype}; "
                "compute in precision 32 and keep float32, or look at the encoder's weights."
            )
        self._features[places] = values
        self._unmarked.append((places, DONE))

    def mark_broken(self, broken: Sequence[tuple[int, str]]) -> None:
        """Note rows whose image cannot be read, each with the reason; :meth:`flush` marks them."""
        if not broken:
            return
        path = self.cache.files.broken
        is_new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            if is_new:
                lines.writerow(["row", "reason"])
            lines.writerows((int(row), " ".join(reason.split())) for row, reason in broken)
        self._unmarked.append((np.array([row for row, _ in broken], dtype=np.int64), BROKEN))

    def flush(self) -> None:
        """Bring what was written to the disk, then mark it."""
        if not self._unmarked:
            return
        self._features.flush()
        for rows, state in self._unmarked:
            self._state[rows] = state
            self.cache.state[rows] = state
        self._state.flush()
        self._unmarked.clear()

    def close(self) -> None:
        """Mark what was written and let others write."""
        try:
            self.flush()
        finally:  # even if the disk is full
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _create(files: FeatureFiles, key_hashes: np.ndarray, card: FeatureCard) -> None:
    """Make the files of an empty cache; the card comes last, so that it stands for a whole one."""
    files.card.unlink(missing_ok=True)
    files.broken.unlink(missing_ok=True)
    with replacing(files.keys) as partial:
        np.save(partial, key_hashes.astype("<u8"))
    with replacing(files.state) as partial:
        np.save(partial, np.full(card.n_rows, PENDING, dtype=np.uint8))
    with replacing(files.features) as partial:
        shape = (card.n_rows, card.dim)
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.dtype(card.dtype), shape=shape)
        _reserve(partial, files.features)
    write_record(files.card, FORMAT, VERSION, asdict(card))


def _reserve(partial: Path, target: Path) -> None:
    """Take the room on the disk now, rather than find it full after hours."""
    if not hasattr(os, "posix_fallocate"):
        return
    n_bytes = partial.stat().st_size
    with partial.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        except OSError as error:
            raise GeolocError(
                f"There is no room on the disk for {target}, which takes {n_bytes / 1e9:.2f} GB "
                f"({error.strerror}); free some, name another folder, or keep float16."
            ) from error


def _list_once(cache: FeatureCache) -> None:
    """List what is marked as broken: not half a line of a killed run, nor rows it had yet to mark."""
    if cache.files.broken.is_file():
        with (
            replacing(cache.files.broken) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            lines = csv.writer(file, lineterminator="\n")
            lines.writerows([("row", "reason"), *cache.broken_reasons.items()])
