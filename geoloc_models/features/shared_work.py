"""Share the rows of a feature cache among processes, on one machine or several, by files alone."""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, write_json
from geoloc_models.features.cache import FeatureCache
from geoloc_models.features.files import FeatureCard, FeatureFiles
from geoloc_models.features.lock import LockTakenError
from geoloc_models.features.writer import FeatureWriter, finite_values

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
_BEATS_PER_LEASE = 6
_PLANNING_SECONDS = 20.0  # what another process may take to begin, before it counts as a writer
_FLUSH_SECONDS = 1.0
_LONGEST_WAIT = 2.0

_PLAN, _ROWS = "plan.json", "rows.npy"
_PART = re.compile(r"part-(\d{6})\.npz")
_CLAIM = re.compile(r"claim-(\d{6})-(\d{4})")


@dataclass
class Chunk:
    """Rows that one worker has claimed, and what it has computed of them so far.

    Parameters
    ----------
    number : int
        Its place in the plan.
    rows : ndarray (m,) int64
        Rows of the cache, ascending.
    """

    number: int
    rows: np.ndarray
    _done: list[np.ndarray] = field(default_factory=list)
    _values: list[np.ndarray] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Note features (m, D) of these rows."""
        self._done.append(rows)
        self._values.append(values)

    def arrays(self, card: FeatureCard) -> dict[str, np.ndarray]:
        """What the chunk's file holds; nothing in it needs pickle."""
        nothing = np.zeros((0, card.dim), dtype=card.dtype)
        return {
            "rows": np.concatenate([np.zeros(0, dtype=np.int64), *self._done]),
            "values": np.concatenate([nothing, *self._values]),
            "broken_rows": np.array([row for row, _ in self.broken], dtype=np.int64),
            "reasons": np.array([reason for _, reason in self.broken], dtype=np.str_),
        }


class SharedWork:
    """One worker's share in computing a feature cache; use it as a context manager.

    Made by :meth:`join`.

    Parameters
    ----------
    files : FeatureFiles
        Where the cache lies; its hidden folder ``shared_work`` holds the plan, a file per claim,
        per finished chunk and per living worker.
    rows : ndarray (m,) int64
        All rows that were pending when the work began.
    chunk_rows : int
        Rows that are claimed at a time.
    lease_seconds : float
        A worker that gives no sign of life for so long has lost its chunk.
    card : FeatureCard
        What the features are.
    open_writer : callable
        Opens the cache for writing; LockTakenError while another process writes it.

    Notes
    -----
    A claim is a file that is created only if it is not there yet (``O_CREAT | O_EXCL``), so a chunk
    goes to one worker. Every worker touches a file of its own some times in each lease. Others time
    by their own clocks how long it has not changed, so the clocks of machines need not agree. The
    claim on a chunk of a lost worker has the next generation in its name: of those who see
    the loss, one creates it. Features go to a file per chunk that is renamed when it is whole, since
    machines that write into one file over a network may undo each other's neighbouring rows.
    When all are there, putting them together is claimed like a chunk, and ends by removing the
    folder; that is how the others know.
    """

    def __init__(
        self,
        files: FeatureFiles,
        rows: np.ndarray,
        chunk_rows: int,
        lease_seconds: float,
        card: FeatureCard,
        open_writer: Callable[[], FeatureWriter],
    ) -> None:
        self.folder, self.card = files.shared_work, card
        self.rows, self.chunk_rows, self.lease_seconds = rows, chunk_rows, lease_seconds
        self.n_chunks = -(-len(rows) // chunk_rows)
        self.n_rows_kept = 0
        self._open_writer = open_writer
        self._worker = uuid.uuid4().hex
        self._pulse = self.folder / f"worker-{self._worker}"
        self._signs: dict[str, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)

    @classmethod
    def join(
        cls,
        path: str | Path,
        keys: Sequence[Any] | np.ndarray,
        card: FeatureCard,
        *,
        chunk_rows: int,
        lease_seconds: float = LEASE_SECONDS,
    ) -> SharedWork | None:
        """Begin the work on a cache, or take part in it.

        Parameters
        ----------
        path, keys, card
            As of :class:`FeatureWriter`.
        chunk_rows : int
            Rows to be claimed at a time; who begins decides for all.
        lease_seconds : float
            Likewise.

        Returns
        -------
        SharedWork or None
            None where no row is left to compute.

        Raises
        ------
        GeolocError
            If a single worker writes the cache, or it is of other photos, another encoder or dtype.
        """
        files = FeatureFiles(Path(path))

        def open_writer() -> FeatureWriter:
            return FeatureWriter(path, keys, card, shared=True)

        given_up, waits = time.monotonic() + _PLANNING_SECONDS, _waits()
        while True:
            if not files.shared_work.is_dir():
                try:
                    with open_writer() as writer:
                        rows = writer.pending_rows()
                        if len(rows) == 0:
                            return None
                        _plan(files.shared_work, rows, chunk_rows, lease_seconds, writer.card)
                except LockTakenError:  # by who begins, or puts together; or by a single worker
                    if not files.card.is_file():  # the room on the disk is being taken
                        given_up = time.monotonic() + _PLANNING_SECONDS
                    if time.monotonic() > given_up:
                        raise
                    time.sleep(next(waits))
                    continue
            FeatureCache.open(files.features).require_card(card, keys)
            try:
                plan = read_json(files.shared_work / _PLAN)
                rows = np.load(files.shared_work / _ROWS, allow_pickle=False)
                own = FeatureCard.from_dict(plan["card"], files.shared_work / _PLAN)
                sizes = int(plan["chunk_rows"]), float(plan["lease_seconds"])
            except (GeolocError, OSError, ValueError, KeyError, TypeError) as error:
                if not files.shared_work.is_dir():
                    continue  # it has just been finished
                raise GeolocError(
                    f"{files.shared_work} does not hold the shared work of geoloc embed as this "
                    "release begins it; remove that folder and embed again."
                ) from error
            if own != FeatureCache.open(files.features).card:
                raise GeolocError(
                    f"{files.shared_work} belongs to another cache than {files.features} is now; "
                    "remove that folder and embed again."
                )
            return cls(files, rows, *sizes, own, open_writer)

    def chunks(self) -> Iterator[Chunk]:
        """Claim chunk by chunk, until the cache is finished by this worker or another.

        Hand each chunk to :meth:`keep` before asking for the next.
        """
        waits = _waits()
        while self.folder.is_dir():
            number = self._claim()
            if number is None:  # others compute the last ones; they may be lost yet
                time.sleep(min(next(waits), self.lease_seconds / _BEATS_PER_LEASE))
            elif number < self.n_chunks:
                begin = number * self.chunk_rows
                yield Chunk(number, self.rows[begin : begin + self.chunk_rows])
                waits = _waits()
            else:
                self._put_together()

    def write(self, chunk: Chunk, rows: np.ndarray, features: np.ndarray) -> None:
        """Note features (m, D) of rows of a chunk; GeolocError if one is not finite."""
        chunk.write(rows, finite_values(rows, features, self.card.dtype))

    def keep(self, chunk: Chunk) -> None:
        """Bring a whole chunk to the disk, where it stays whatever happens to this worker."""
        target = self._part(chunk.number)
        partial = self.folder / f".{self._worker}-{target.name}"
        try:
            with partial.open("wb") as file:
                np.savez(file, **chunk.arrays(self.card))  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
            self.n_rows_kept += len(chunk.rows)
        except OSError as error:
            if not self.folder.is_dir():
                return  # this worker counted as lost; others have finished without it
            partial.unlink(missing_ok=True)
            raise GeolocError(
                f"{target} cannot be written ({error.strerror or error}); finished chunks stay, "
                "and the same command again goes on from there."
            ) from error

    def n_rows_done(self) -> int:
        """Rows in finished chunks, of all workers; all of them once the work is over."""
        names = self._names()
        if names is None:
            return len(self.rows)
        done = [int(match[1]) for match in map(_PART.fullmatch, names) if match]
        return sum(min(self.chunk_rows, len(self.rows) - i * self.chunk_rows) for i in done)

    def __enter__(self) -> Self:
        try:
            self._pulse.touch()
        except FileNotFoundError:
            return self  # it was finished in between
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._heart.is_alive():
            self._heart.join()
        self._pulse.unlink(missing_ok=True)  # what it claimed and did not keep is free at once

    def _beat(self) -> None:
        while not self._stop.wait(self.lease_seconds / _BEATS_PER_LEASE):
            try:
                os.utime(self._pulse)
            except FileNotFoundError:
                return
            except OSError as error:  # a network that comes back; if it doesn't, the lease ends
                logger.debug("no sign of life: %s", error)

    def _names(self) -> list[str] | None:
        """Names of all files of the work, or None once it is over."""
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return None

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.npz"

    def _claim(self) -> int | None:
        """Claim the first free chunk; with all chunks done, the putting together."""
        names = self._names() or []
        done = {int(match[1]) for match in map(_PART.fullmatch, names) if match}
        generations: dict[int, int] = {}
        for match in map(_CLAIM.fullmatch, names):
            if match:
                number, generation = int(match[1]), int(match[2])
                generations[number] = max(generation, generations.get(number, -1))
        left = [number for number in range(self.n_chunks) if number not in done]
        for number in left or [self.n_chunks]:
            generation = generations.get(number, -1)
            if generation >= 0 and not self._is_lost(number, generation):
                continue
            if self._take(number, generation + 1) and not self._part(number).exists():
                return number
        return None

    def _take(self, number: int, generation: int) -> bool:
        """Whether this worker, and no other, has created the claim."""
        claim = self.folder / f"claim-{number:06d}-{generation:04d}"
        try:
            descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except (FileExistsError, FileNotFoundError):
            return False
        with os.fdopen(descriptor, "w") as file:
            file.write(self._worker)
        return True

    def _is_lost(self, number: int, generation: int) -> bool:
        """Whether the owner of a claim has ended, or given no sign of life for a lease."""
        claim = self.folder / f"claim-{number:06d}-{generation:04d}"
        try:
            owner = claim.read_text()
        except FileNotFoundError:
            return False  # the work is over
        if owner == self._worker:
            return False
        sign = 0
        if owner:  # else killed before it could sign, or about to
            try:
                with (self.folder / f"worker-{owner}").open("rb") as file:
                    # Opened, since a network file system may answer a mere stat from memory.
                    sign = os.fstat(file.fileno()).st_mtime_ns
            except FileNotFoundError:
                return True
        now = time.monotonic()
        known = self._signs.get(owner or claim.name)
        if known is None or known[0] != sign:
            self._signs[owner or claim.name] = (sign, now)
            return False
        return now - known[1] > self.lease_seconds

    def _put_together(self) -> None:
        """Write all chunks into the cache, mark their rows, and end the work."""
        waits = _waits()
        while True:
            try:
                writer = self._open_writer()
                break
            except LockTakenError:  # by a worker that counts as lost and isn't
                time.sleep(next(waits))
        with writer:
            flushed = time.monotonic()
            pending = np.zeros(self.card.n_rows, dtype=bool)
            pending[writer.pending_rows()] = True
            for number in range(self.n_chunks):
                if not self.folder.is_dir():
                    return
                part = _read_part(self._part(number))
                new = pending[part["rows"]]
                writer.write(part["rows"][new], part["values"][new])
                broken = zip(part["broken_rows"].tolist(), part["reasons"].tolist(), strict=True)
                writer.mark_broken([(row, reason) for row, reason in broken if pending[row]])
                if time.monotonic() - flushed > _FLUSH_SECONDS:
                    writer.flush()
                    flushed = time.monotonic()
            writer.flush()
            over = self.folder.with_name(f"{self.folder.name}-{self._worker}")
            self.folder.rename(over)  # at once, and before the lock is let go
        shutil.rmtree(over, ignore_errors=True)


def _plan(
    folder: Path, rows: np.ndarray, chunk_rows: int, lease_seconds: float, card: FeatureCard
) -> None:
    """Make the folder of the work, whole or not at all; another worker's is as good."""
    partial = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
    partial.mkdir()
    try:
        np.save(partial / _ROWS, rows)
        plan = {"chunk_rows": chunk_rows, "lease_seconds": lease_seconds, "card": card.to_dict()}
        write_json(partial / _PLAN, plan)
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_part(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("rows", "values", "broken_rows", "reasons")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise GeolocError(
            f"{path} is missing or damaged; remove it, and the same command again computes its "
            "rows anew."
        ) from error


def _waits() -> Iterator[float]:
    """Seconds to wait, ever longer up to a limit."""
    return (min(0.02 * 1.5**n, _LONGEST_WAIT) for n in itertools.count())
