"""The download as a whole: photos wait for their host's turn, are fetched, checked and stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import httpx
import numpy as np

from geoloc_models.download.addresses import Resolver
from geoloc_models.download.client import Again, Answer, Delivered, Moved, PhotoClient, Verdict
from geoloc_models.download.index import CODE_OF_STATE, FOUND, UNTRIED, PhotoIndex
from geoloc_models.download.ledger import Ledger
from geoloc_models.download.options import DownloadOptions
from geoloc_models.download.photos import PhotoBatch, PhotoRows
from geoloc_models.download.politeness import HostQueue, backoff_wait
from geoloc_models.download.record import PhotoRecord, State, now_utc
from geoloc_models.download.storage import Storage
from geoloc_models.download.verify import (
    NotAnImageError,
    PreparedImage,
    TooManyPixelsError,
    prepare_image,
)

_LOOKAHEAD = 4096  # photos that wait in memory, so that many hosts are at work at a time


@dataclass(frozen=True)
class _Job:
    id: str
    name: str
    url: str  # as the table has it
    position: int
    about: dict[str, Any]
    target: str  # what is asked now: the URL, or where it redirected to
    n_redirects: int = 0
    attempt: int = 1


class Fetching:
    """One run over the photos that have no state yet.

    Parameters
    ----------
    rows, index, storage, ledger
        The table, the state of its photos, where images go, where states go.
    options : DownloadOptions
        All choices.
    progress : callable
        Called with the number of photos that were just finished.
    resolve : callable, optional
        Resolver of names, in the place of the system's.

    Notes
    -----
    Network traffic runs in one event loop, decoding in a pool of threads, and everything that is
    written in one more thread: an image first, its line in the journal next. The first error of the
    disk ends the run.
    """

    def __init__(
        self,
        rows: PhotoRows,
        index: PhotoIndex,
        storage: Storage,
        ledger: Ledger,
        options: DownloadOptions,
        *,
        progress: Callable[[int], None],
        resolve: Resolver | None = None,
    ):
        self.n_now = 0
        self.n_fetched_now = 0
        self.n_recovered = 0
        self._rows, self._index, self._storage, self._ledger = rows, index, storage, ledger
        self._options = options
        self._progress = progress
        self._resolve = resolve
        self._queue: HostQueue[_Job] = HostQueue(per_host=options.per_host, rate=options.rate)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Go on until every photo has a state; what is written is whole whenever this ends."""
        self._loop = asyncio.get_running_loop()
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        with (
            ThreadPoolExecutor(self._options.n_workers, "geoloc-decode") as self._decoders,
            ThreadPoolExecutor(1, "geoloc-write") as self._writer,
        ):
            async with PhotoClient(self._options, self._resolve) as self._client:
                feeder = asyncio.create_task(self._feed())
                try:
                    await self._dispatch(feeder)
                finally:
                    unfinished = [feeder, *self._tasks]
                    for task in unfinished:
                        task.cancel()
                    await asyncio.gather(*unfinished, return_exceptions=True)

    async def _dispatch(self, feeder: asyncio.Task[None]) -> None:
        feeder.add_done_callback(lambda _: self._changed.set())
        while True:
            self._changed.clear()
            has_slot = True
            while has_slot := len(self._tasks) < self._options.parallel:
                taken = self._queue.take(self._loop.time())
                if taken is None:
                    break
                task = asyncio.create_task(self._handle(*taken))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
            if len(self._queue) < _LOOKAHEAD:
                self._room.set()
            if self._failure is not None:
                raise self._failure
            if feeder.done() and not self._tasks and not len(self._queue):
                feeder.result()
                return
            next_time = self._queue.next_time() if has_slot else None
            wait = None if next_time is None else max(0.0, next_time - self._loop.time())
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self._failure is None:
            self._failure = task.exception()
        self._changed.set()

    async def _feed(self) -> None:
        batches = self._rows.batches()
        while found := await asyncio.to_thread(lambda: list(islice(batches, 1))):
            batch = found[0]
            position = self._index.positions(batch.names)
            state = self._index.state[position]
            for k in np.flatnonzero((state == UNTRIED) | (state == FOUND)):
                while len(self._queue) >= _LOOKAHEAD:
                    self._room.clear()
                    await self._room.wait()
                await self._start(batch, int(k), int(position[k]), is_found=state[k] == FOUND)
                if self._failure is not None:
                    return
            await asyncio.sleep(0)

    async def _start(self, batch: PhotoBatch, k: int, position: int, *, is_found: bool) -> None:
        key, name, url = batch.ids[k], batch.names[k], batch.urls[k]
        if is_found:
            record = PhotoRecord(key, url, State.OK, time=now_utc())
            recovered = await self._written(self._recover, name, position, record)
            if recovered:
                self.n_recovered += 1
                self._done(State.OK, fetched=False)
                return
        refused = self._client.refusal(url)
        if refused is not None or url is None:
            verdict = refused or Verdict(State.REFUSED, "no URL")
            record = PhotoRecord(key, url, verdict.state, verdict.reason, time=now_utc())
            await self._written(self._note, position, record)
            self._done(verdict.state)
            return
        self._put(_Job(key, name, url, position, batch.about[k], target=url))

    def _put(self, job: _Job, *, wait: float = 0.0) -> None:
        not_before = self._loop.time() + wait if wait > 0 else 0.0
        self._queue.put(_host_of(job.target), job, not_before=not_before)
        self._changed.set()

    async def _handle(self, host: str, job: _Job) -> None:
        try:
            answer = await self._client.fetch(job.target)
        finally:
            self._queue.release(host, self._loop.time())
            self._changed.set()
        verdict = self._next_step(host, job, answer)
        if isinstance(answer, Delivered):
            image = await self._prepared(answer.content)
            if isinstance(image, PreparedImage):
                record = self._record(job, State.OK, "", answer.status)
                await self._written(self._store, job, image, record)
                self._done(State.OK)
                return
            verdict = replace(image, status=answer.status)
        if verdict is not None:
            record = self._record(job, verdict.state, verdict.reason, verdict.status)
            await self._written(self._note, job.position, record)
            self._done(verdict.state)

    def _next_step(self, host: str, job: _Job, answer: Answer) -> Verdict | None:
        """Queue the redirect or the next attempt; or say how the photo ended."""
        options = self._options
        if isinstance(answer, Verdict):
            return answer
        if isinstance(answer, Moved):
            if job.n_redirects >= options.max_redirects:
                reason = f"more than {options.max_redirects} redirects"
                return Verdict(State.FAILED, reason, answer.status)
            self._put(replace(job, target=answer.url, n_redirects=job.n_redirects + 1))
        if isinstance(answer, Again):
            wait = backoff_wait(
                job.attempt, random.random(), first=options.backoff, longest=options.max_wait
            )
            if answer.wait is not None:
                wait = min(max(answer.wait, wait), options.max_wait)
            if answer.is_busy:
                self._queue.pause(host, self._loop.time() + wait)
            if job.attempt >= options.attempts:
                times = "once" if job.attempt == 1 else f"{job.attempt} times"
                return Verdict(State.FAILED, f"tried {times}: {answer.reason}", answer.status)
            self._put(
                replace(job, target=job.url, n_redirects=0, attempt=job.attempt + 1), wait=wait
            )
        return None

    async def _prepared(self, content: bytes) -> PreparedImage | Verdict:
        options = self._options
        work = partial(
            prepare_image,
            content,
            max_side=options.max_side,
            quality=options.quality,
            keep_original=options.keep_original,
            max_megapixels=options.max_megapixels,
        )
        try:
            return await self._loop.run_in_executor(self._decoders, work)
        except NotAnImageError as error:
            return Verdict(State.NOT_AN_IMAGE, str(error)[:200])
        except TooManyPixelsError as error:
            return Verdict(State.TOO_LARGE, str(error))

    async def _written(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await self._loop.run_in_executor(self._writer, partial(work, *arguments))

    def _record(self, job: _Job, state: State, reason: str, status: int | None) -> PhotoRecord:
        return PhotoRecord(
            job.id, job.url, state, reason, status=status, attempts=job.attempt, time=now_utc()
        )

    def _done(self, state: State, *, fetched: bool = True) -> None:
        if fetched:
            self.n_now += 1
            self.n_fetched_now += state is State.OK
        self._progress(1)

    # These run in the writing thread, one at a time.

    def _store(self, job: _Job, image: PreparedImage, record: PhotoRecord) -> None:
        about = {"id": job.id, "url": job.url, **job.about}
        place, path = self._storage.write(job.name, image, about)
        stored = replace(
            record, path=path, bytes=len(image.content), width=image.width, height=image.height
        )
        self._index.place[job.position] = place
        self._note(job.position, stored)

    def _recover(self, name: str, position: int, record: PhotoRecord) -> bool:
        found = self._storage.look(name, int(self._index.place[position]))
        if found is None:
            self._index.state[position] = UNTRIED
            return False
        self._note(
            position,
            replace(
                record,
                path=found.path,
                bytes=found.bytes,
                width=found.width,
                height=found.height,
                reason="found on disk",
            ),
        )
        return True

    def _note(self, position: int, record: PhotoRecord) -> None:
        self._ledger.append(record)
        self._index.state[position] = CODE_OF_STATE[record.state]
        if self._ledger.is_due:
            self._ledger.merge()


def _host_of(url: str) -> str:
    """Host and port that a request goes to, whose turn it waits for."""
    parsed = httpx.URL(url)
    return parsed.netloc.decode("ascii").lower()
