"""Who may ask, and what every answer forbids: a layer around the whole server."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.ASCII)
_SCHEMES = ("http", "https")  # the second where something in front of this server encrypts

_ENDING = "The server was ended before it came to this photo."
_SOMETHING_WRONG = (
    "Something went wrong while this photo was placed. Try another one; the server's own log says "
    "what it was."
)


class GuardMiddleware:
    """Refuses what does not come from the page itself, and says so in one sentence.

    Parameters
    ----------
    app : ASGI application
        Behind it.
    hosts : frozenset of str
        Names, in lower case, that the server may be called by. A web page elsewhere whose name
        points to this machine, to read what only this machine should see, is turned away.
    any_address : bool, default False
        Let it be called by any IP address too. An address, unlike a name, cannot be pointed
        elsewhere.
    has_tiles : bool, default False
        Let the page load pictures over https: tiles of maps.

    Notes
    -----
    Every answer forbids the page to run, load or send anything elsewhere
    (Content-Security-Policy): not even a script that got into the page itself would run.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] = LOOPBACK,
        any_address: bool = False,
        has_tiles: bool = False,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._any_address = any_address
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src 'self' data: blob:{' https:' if has_tiles else ''}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        has_started = has_ended = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_started, has_ended
            if message["type"] == "http.response.start":
                has_started = True
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            elif message["type"] == "http.response.body":
                has_ended = not message.get("more_body", False)
            await send(message)

        refusal = self._refusal(scope)
        try:
            app = self._app if refusal is None else sentence(*refusal)
            await app(scope, receive, send_guarded)
        except asyncio.CancelledError:  # the server ends, and has waited long enough
            if not has_started:
                await sentence(503, _ENDING)(scope, receive, send_guarded)
            elif not has_ended:
                await send({"type": "http.response.body", "body": b""})
        except Exception:
            logger.exception("a request failed")
            if has_started:
                raise
            await sentence(500, _SOMETHING_WRONG)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        name = _name_of(host)
        if name not in self._hosts and not (self._any_address and is_address(name)):
            return 421, "This page is only served under this machine's own name or address."
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (f"{s}://{host.lower()}" for s in _SCHEMES):
            return 403, "Only the page itself may ask."
        return None


def is_address(name: str) -> bool:
    """Whether a name is an IP address, IPv6 without its brackets."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def sentence(status: int, message: str) -> JSONResponse:
    """Answer of one sentence."""
    return JSONResponse({"message": message}, status, headers={"cache-control": "no-store"})


def _name_of(host: str) -> str:
    """Host without its port; an IPv6 address without its brackets; empty for what is no host."""
    match = _HOST.fullmatch(host.lower())
    return "" if match is None else (match[1] or match[2]).removesuffix(".")
