"""The server: a page, and what takes a photo, or its address, and stores nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from geoloc_models.errors import BrokenImageError
from geoloc_models.serve.components import page_html
from geoloc_models.serve.inference import PhotoPlacer
from geoloc_models.serve.middleware import LOOPBACK, GuardMiddleware, sentence
from geoloc_models.serve.upload import Limits, too_large

if TYPE_CHECKING:
    from geoloc_models.download import DownloadOptions

_BUSY = "Other photos are being placed. Try again in a moment."
_TOO_SLOW = "The upload took too long."
_SECONDS_BEFORE_OTHERS = 5.0
_READ_AT_MOST = 4  # times the limit that is read and thrown away, so that a browser gets the answer
_NOT_SERVED = {404: "There is nothing here.", 405: "Photos are sent to /place by POST."}


class UploadTooLargeError(Exception):
    """More bytes came than the limit."""


class PlaceEndpoint:
    """Takes a photo, or its address, as the body of a request; answers with parts of the page as JSON.

    Parameters
    ----------
    placer : PhotoPlacer
        Its limits hold.
    addresses : DownloadOptions, optional
        How photos are fetched from addresses; by default none are.

    Notes
    -----
    The body is the file's bytes, whatever its declared type; no name is asked for, and none would
    be looked at. Photos are placed one at a time, in one thread; ``limits.waiting`` uploads are in
    memory at most, and the next is refused before it is read; or it takes the place of one that has
    been on its way for five seconds, so that slow uploads do not shut out all others.
    """

    def __init__(self, placer: PhotoPlacer, addresses: DownloadOptions | None = None) -> None:
        self._placer = placer
        self._addresses = addresses
        self._limits = placer.limits
        self._n_inside = 0
        self._clocks: dict[asyncio.Timeout, float] = {}  # when uploads began, the oldest first
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="placing")

    async def place(self, request: Request) -> Response:
        """Serve one upload."""
        return await self._answer(lambda: read_body(request, self._limits))

    async def place_address(self, request: Request) -> Response:
        """Serve the photo at an address."""
        options = self._addresses
        if options is None:
            raise HTTPException(404)
        from geoloc_models.serve.photo_address import fetch_photo

        async def read() -> bytes:
            address = await read_body(request, self._limits)
            return await fetch_photo(address.decode(errors="replace"), options)

        return await self._answer(read)

    async def _answer(self, read: Callable[[], Awaitable[bytes]]) -> Response:
        loop = asyncio.get_running_loop()
        if self._n_inside >= self._limits.waiting:
            oldest = next(iter(self._clocks), None)
            if oldest is None or loop.time() - self._clocks[oldest] < _SECONDS_BEFORE_OTHERS:
                return sentence(503, _BUSY)
            self._clocks.pop(oldest)
            oldest.reschedule(loop.time())
        self._n_inside += 1
        try:
            async with asyncio.timeout(self._limits.seconds) as clock:
                self._clocks[clock] = loop.time()
                try:
                    content = await read()
                finally:
                    self._clocks.pop(clock, None)
            shown = await loop.run_in_executor(self._thread, self._placer.place, content)
        except UploadTooLargeError:
            return sentence(413, too_large(self._limits))
        except TimeoutError:
            return sentence(408, _TOO_SLOW)
        except BrokenImageError as error:
            return sentence(422, str(error))
        except ClientDisconnect:  # whoever sent it has left
            return Response(status_code=400)
        finally:
            self._n_inside -= 1
        return JSONResponse(shown, headers={"cache-control": "no-store"})

    def close(self) -> None:
        """Forget the photos that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._placer.close()


async def read_body(request: Request, limits: Limits) -> bytes:
    """Body of a request; UploadTooLargeError beyond the limit, whether it was announced or not."""
    announced = request.headers.get("content-length", "0")
    is_too_large = announced.isdigit() and int(announced) > limits.max_bytes
    parts: list[bytes] = []
    n_bytes = 0
    async for part in request.stream():
        n_bytes += len(part)
        if n_bytes > limits.max_bytes:
            is_too_large = True
            parts.clear()
        if not is_too_large:
            parts.append(part)
        if n_bytes > _READ_AT_MOST * limits.max_bytes:
            break
    if is_too_large:
        raise UploadTooLargeError
    return b"".join(parts)


def make_application(
    placer: PhotoPlacer,
    *,
    examples: Sequence[bytes] = (),
    addresses: DownloadOptions | None = None,
    hosts: frozenset[str] = LOOPBACK,
    any_address: bool = False,
) -> Starlette:
    """Put page and endpoint behind the guard.

    Parameters
    ----------
    placer : PhotoPlacer
        Places what is uploaded.
    examples : sequence of bytes
        Photos to click on, as JPEG files.
    addresses : DownloadOptions, optional
        Let the page fetch photos from addresses, and how; not by default.
    hosts : frozenset of str
        Names that the server may be called by.
    any_address : bool, default False
        Let it be called by any IP address too.
    """
    endpoint = PlaceEndpoint(placer, addresses)
    page = page_html(
        placer.limits,
        placer.model.card,
        n_examples=len(examples),
        has_addresses=addresses is not None,
    )

    async def show_page(_: Request) -> Response:
        return HTMLResponse(page)

    async def show_example(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(examples):
            raise HTTPException(404)
        return Response(examples[number], media_type="image/jpeg")

    async def refuse(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return sentence(status, _NOT_SERVED.get(status, "This cannot be answered."))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        endpoint.close()

    static = StaticFiles(
        packages=[
            ("geoloc_models.serve", "static"),
            ("geoloc_models.inference", "leaflet"),
            ("geocells", "leaflet"),
        ]
    )
    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/examples/{number:int}.jpg", show_example),
            Route("/place", endpoint.place, methods=["POST"]),
            Route("/address", endpoint.place_address, methods=["POST"]),
            Mount("/static", static),
        ],
        middleware=[
            Middleware(
                GuardMiddleware,
                hosts=hosts,
                any_address=any_address,
                has_tiles=placer.tiles is not None,
            )
        ],
        exception_handlers={HTTPException: refuse},
        lifespan=lifespan,
    )
