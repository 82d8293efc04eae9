"""Write a feature cache so that a kill at any moment loses only what was not marked as done."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike

from geoloc_models._errors import GeolocError
from geoloc_models._files import replacing, write_json
from geoloc_models.features.cache import FeatureCache, hash_keys
from geoloc_models.features.files import BROKEN, DONE, PENDING, FeatureCard, FeatureFiles, digest_of
from geoloc_models.features.lock import FileLock


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
    shared : bool, default False
        Write for several workers; without it, a cache that they compute is refused.

    Raises
    ------
    GeolocError
        If another process writes the cache, the disk has too little room, or the cache there is
        damaged, of another encoder, of other photos or another dtype.

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
        shared: bool = False,
    ) -> None:
        files = FeatureFiles(Path(path))
        key_hashes = hash_keys(keys)
        card = replace(card, n_rows=len(key_hashes), keys_digest=digest_of(key_hashes))
        files.features.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(files.lock, f"Another process is writing {files.features}")
        try:
            if files.shared_work.is_dir() and not shared:
                raise GeolocError(
                    f"Several workers compute {files.features} together; join them with --shared, "
                    f"or, if none is left, remove the folder {files.shared_work}."
                )
            if not (resume and files.card.is_file()):
                if resume and files.features.exists() and not files.keys.exists():
                    raise GeolocError(
                        f"{files.features} is no feature cache: {files.card.name} is missing. Name "
                        "another file, or replace this one by --no-resume."
                    )
                _create(files, key_hashes, card)
            self.cache = FeatureCache.open(files.features)
            self.cache.require_card(card)
            self._features = _RowFile.open(files.features, self.cache.dim)
            self._state = _RowFile.open(files.state, 1)
        except BaseException:
            self._lock.release()
            raise
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
        self._features.write(places, finite_values(places, features, self.card.dtype))
        self._unmarked.append((places, DONE))

    def mark_broken(self, broken: Sequence[tuple[int, str]]) -> None:
        """Note rows whose image cannot be read, each with the reason; :meth:`flush` marks them."""
        if not broken:
            return
        path = self.cache.files.broken
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        if not path.is_file():
            lines.writerow(["row", "reason"])
        lines.writerows((int(row), " ".join(reason.split())) for row, reason in broken)
        with path.open("a+b") as file:
            _drop_half_line(file)
            file.write(text.getvalue().encode())
        self._unmarked.append((np.array([row for row, _ in broken], dtype=np.int64), BROKEN))

    def flush(self) -> None:
        """Bring what was written to the disk, then mark it."""
        if not self._unmarked:
            return
        self._features.sync()
        for rows, state in self._unmarked:
            self._state.write(rows, np.full((len(rows), 1), state, dtype=np.uint8))
            self.cache.state[rows] = state
        self._state.sync()
        self._unmarked.clear()

    def close(self) -> None:
        """Mark what was written and let others write."""
        with ExitStack() as stack:  # all of it, even if the disk is full
            stack.callback(self._lock.release)
            stack.callback(self._state.file.close)
            stack.callback(self._features.file.close)
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def finite_values(rows: np.ndarray, features: np.ndarray, dtype: str) -> np.ndarray:
    """Features (m, D) in the dtype that is kept; GeolocError, naming the row, if one overflows."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(features, dtype=dtype)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(rows[int((~finite).argmax())])
        raise GeolocError(
            f"The feature of row {row} has numbers that are not finite in {dtype}; "
            "compute in precision 32 and keep float32, or look at the encoder's weights."
        )
    return values


@dataclass(frozen=True)
class _RowFile:
    """A .npy file open for writing rows in place."""

    file: BinaryIO
    offset: int
    row_bytes: int

    @classmethod
    def open(cls, path: Path, n_columns: int) -> _RowFile:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(path.open("r+b"), int(mapped.offset), n_columns * mapped.dtype.itemsize)

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Write values (m, columns) at rows (m,), a run of neighbouring rows at a time."""
        borders = np.flatnonzero(np.diff(rows, prepend=-2, append=-2) != 1) if len(rows) else rows
        try:
            for begin, end in itertools.pairwise(borders):
                self.file.seek(self.offset + int(rows[begin]) * self.row_bytes)
                self.file.write(values[begin:end].tobytes())
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> GeolocError:
        return GeolocError(
            f"{self.file.name} cannot be written ({error.strerror or error}); what is marked as "
            "done stays, and the same command again goes on from there."
        )


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
    write_json(files.card, card.to_dict())


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


def _drop_half_line(file: BinaryIO) -> None:
    """Cut off what a kill left behind the last whole line."""
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    file.seek(0, os.SEEK_END)
