"""One run over the queue: photos wait for their host's turn, are fetched, verified and stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from yarl import URL

from geoloc_models.download.addresses import Resolver
from geoloc_models.download.client import PhotoClient, Redirect, Rejected, Retry, Success
from geoloc_models.download.download_options import DownloadOptions, State
from geoloc_models.download.politeness import HostTurns, backoff_wait
from geoloc_models.download.queue import DownloadQueue, PhotoRecord, QueuedPhoto
from geoloc_models.download.store import FolderStore, TarStore
from geoloc_models.download.verify import PreparedImage, prepare_image
from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.guarded import GuardedDecoder
from geoloc_models.photos.opening import TooManyPixelsError, quiet_pillow

_LOOKAHEAD = 4096  # photos that wait in memory, so that many hosts are at work at a time
_PAGE = 1024


class Fetching:
    """One run over the photos that wait.

    Parameters
    ----------
    queue, store
        The photos with their states, and where images go.
    options : DownloadOptions
        All choices.
    progress : callable
        Called with the number of photos that are finished.
    resolve : callable, optional
        Resolver of names, in the place of the system's.

    Notes
    -----
    Network traffic runs in one event loop, decoding in processes behind a pool of threads, and everything
    that is written in one more thread: an image first, its state next. The first error of the disk ends the
    run.
    """

    def __init__(
        self,
        queue: DownloadQueue,
        store: FolderStore | TarStore,
        options: DownloadOptions,
        *,
        progress: Callable[[int], None],
        resolve: Resolver | None = None,
    ):
        self.n_now = 0
        self.n_fetched_now = 0
        self._queue, self._store, self._options = queue, store, options
        self._progress = progress
        self._resolve = resolve

    async def run(self) -> None:
        """Go on until every photo has a state; what is written is whole whenever this ends."""
        options = self._options
        self._hosts = HostTurns(
            parallel=options.parallel, per_host=options.per_host, rate=options.rate
        )
        in_memory = asyncio.Semaphore(_LOOKAHEAD)
        with (
            quiet_pillow(),
            GuardedDecoder() as self._decoder,
            ThreadPoolExecutor(options.n_workers, "geoloc-decode") as self._decoders,
            ThreadPoolExecutor(1, "geoloc-write") as self._writer,
        ):
            async with PhotoClient(options, self._resolve) as self._client:
                try:
                    async with asyncio.TaskGroup() as group:
                        async for photo in self._photos():
                            await in_memory.acquire()
                            task = group.create_task(self._handle(photo))
                            task.add_done_callback(lambda _: in_memory.release())
                except BaseExceptionGroup as error:
                    raise error.exceptions[0] from None

    async def _photos(self) -> AsyncIterator[QueuedPhoto]:
        position = 0
        while page := await self._written(self._queue.waiting, position, _PAGE):
            for photo in page:
                yield photo
            position = page[-1].position

    async def _handle(self, photo: QueuedPhoto) -> None:
        """Bring one photo to its end: fetched, verified, stored, and its state written."""
        outcome, n_attempts = await self._fetch(photo)
        if isinstance(outcome, Rejected):
            record = PhotoRecord(
                photo.id,
                photo.url,
                outcome.state,
                outcome.reason,
                status=outcome.status,
                attempts=n_attempts,
            )
            await self._written(self._queue.finish, [record])
        self.n_now += 1
        self.n_fetched_now += outcome is None
        self._progress(self.n_now)

    async def _fetch(self, photo: QueuedPhoto) -> tuple[Rejected | None, int]:
        """Ask for a photo until it is stored (None) or rejected; the number of attempts."""
        options = self._options
        url = self._client.parse(photo.url)
        if isinstance(url, Rejected):
            return url, 0
        attempt = 0
        while True:
            attempt += 1
            host, outcome = await self._follow(photo, url, attempt)
            if not isinstance(outcome, Retry):
                return outcome, attempt
            wait = backoff_wait(
                attempt, random.random(), first=options.backoff, longest=options.max_wait
            )
            if outcome.wait is not None:
                wait = min(max(outcome.wait, wait), options.max_wait)
            if outcome.is_busy:
                self._hosts.pause(host, wait)
            if attempt >= options.attempts:
                times = "once" if attempt == 1 else f"{attempt} times"
                reason = f"tried {times}: {outcome.reason}"
                return Rejected(State.FAILED, reason, outcome.status), attempt
            await asyncio.sleep(wait)

    async def _follow(
        self, photo: QueuedPhoto, url: URL, attempt: int
    ) -> tuple[str, Rejected | Retry | None]:
        """Ask for a URL and those it redirects to, and store the photo; the host asked last too."""
        for _ in range(self._options.max_redirects + 1):
            host = url.raw_authority
            async with self._hosts.turn(host):  # until it is stored: so few wait in memory
                answer = await self._client.fetch(url)
                if isinstance(answer, Success):
                    return host, await self._keep(photo, answer, attempt)
            if not isinstance(answer, Redirect):
                return host, answer
            url = answer.url
        reason = f"more than {self._options.max_redirects} redirects"
        return host, Rejected(State.FAILED, reason, answer.status)

    async def _keep(self, photo: QueuedPhoto, answer: Success, attempt: int) -> Rejected | None:
        """Verify and store what a server sent."""
        loop, decode = asyncio.get_running_loop(), self._decoder.open_photo
        try:
            image = await loop.run_in_executor(
                self._decoders, prepare_image, answer.content, self._options, decode
            )
        except BrokenImageError as error:
            is_large = isinstance(error, TooManyPixelsError)
            state = State.TOO_LARGE if is_large else State.NOT_AN_IMAGE
            return Rejected(state, error.reason[:200], answer.status)
        await self._written(self._store_image, photo, image, answer.status, attempt)
        return None

    async def _written(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *arguments)

    def _store_image(
        self, photo: QueuedPhoto, image: PreparedImage, status: int, attempt: int
    ) -> None:
        about = {"id": photo.id, "url": photo.url}
        record = PhotoRecord(
            photo.id,
            photo.url,
            State.OK,
            status=status,
            bytes=len(image.content),
            width=image.width,
            height=image.height,
            path=self._store.write(photo.name, image, about),
            attempts=attempt,
        )
        self._queue.finish([record])
