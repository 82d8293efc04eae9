"""The server: a page, and one address that takes a photo and keeps nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from geoloc_models._errors import BrokenImageError
from geoloc_models.serve.gate import (
    LOOPBACK,
    PLACE_PATH,
    SOMETHING_WRONG,
    Application,
    Gate,
    Receive,
    Scope,
    Send,
    answer,
)
from geoloc_models.serve.placing import PhotoPlacer
from geoloc_models.serve.upload import Limits, too_large

logger = logging.getLogger(__name__)

_BUSY = "Other photos are being placed. Try again in a moment."
_TOO_SLOW = "The upload took too long."
_HEARD_OUT = 4  # times the limit that is read and thrown away, so that a browser hears the answer


class UploadTooLargeError(Exception):
    """More bytes came than the limit."""


class PlaceEndpoint:
    """Takes a photo as the body of a request, and answers with pieces of the page as JSON.

    Parameters
    ----------
    placer : PhotoPlacer
        Its limits hold.

    Notes
    -----
    The body is the file's bytes, whatever its declared type; no name is asked for, and none would
    be looked at. Photos are placed one at a time, in one thread; ``limits.waiting`` uploads are in
    memory at most, and the next is refused before it is read.
    """

    def __init__(self, placer: PhotoPlacer) -> None:
        self._placer = placer
        self._limits = placer.limits
        self._n_inside = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="placing")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one upload."""
        if self._n_inside >= self._limits.waiting:
            await answer(send, 503, _BUSY)
            return
        self._n_inside += 1
        try:
            status, result = await self._respond(scope, receive)
        except ConnectionResetError:  # whoever sent it has left
            return
        finally:
            self._n_inside -= 1
        if status != 200:
            await answer(send, status, result["message"])
            return
        from starlette.responses import JSONResponse

        response = JSONResponse(result, headers={"cache-control": "no-store"})
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, str]]:
        try:
            async with asyncio.timeout(self._limits.seconds):
                content = await read_body(scope, receive, self._limits)
        except UploadTooLargeError:
            return 413, {"message": too_large(self._limits)}
        except TimeoutError:
            return 408, {"message": _TOO_SLOW}
        loop = asyncio.get_running_loop()
        try:
            shown = await loop.run_in_executor(self._thread, self._placer.place, content)
        except BrokenImageError as error:
            return 422, {"message": str(error)}
        except Exception:
            logger.exception("a photo could not be placed")
            return 500, {"message": SOMETHING_WRONG}
        return 200, {"answer": shown.answer, "map": shown.chart, "nearby": shown.nearby}

    def close(self) -> None:
        """Forget the photos that wait."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """Body of a request; UploadTooLargeError beyond the limit, whether it was announced or not."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    is_too_large = announced.isdigit() and int(announced) > limits.max_bytes
    parts: list[bytes] = []
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part = message.get("body", b"")
        n_bytes += len(part)
        if n_bytes > limits.max_bytes:
            is_too_large = True
            parts.clear()
        if not is_too_large:
            parts.append(part)
        if not message.get("more_body", False) or n_bytes > _HEARD_OUT * limits.max_bytes:
            break
    if is_too_large:
        raise UploadTooLargeError
    return b"".join(parts)


def make_application(
    placer: PhotoPlacer, *, hosts: frozenset[str] = LOOPBACK, any_address: bool = False
) -> Application:
    """Put page and endpoint behind the gate.

    Parameters
    ----------
    placer : PhotoPlacer
        Places what is uploaded.
    hosts : frozenset of str
        Names that the server may be called by.
    any_address : bool, default False
        Let it be called by any IP address too.

    Returns
    -------
    ASGI application

    Raises
    ------
    GeolocError
        If gradio is missing.
    """
    from geoloc_models.serve.page import import_gradio, make_page, page_options

    gradio = import_gradio()
    from fastapi import FastAPI

    endpoint = PlaceEndpoint(placer)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> Any:
        yield
        endpoint.close()

    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    api = gradio.mount_gradio_app(
        api,
        make_page(gradio, placer),
        path="",
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        **page_options(gradio),
    )

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        is_photo = scope["type"] == "http" and scope["path"] == PLACE_PATH
        await (endpoint if is_photo else api)(scope, receive, send)

    return Gate(
        routed, hosts=hosts, any_address=any_address, picture_servers=placer.tiles is not None
    )
