"""What may come in and what goes out: a layer around the whole server."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PLACE_PATH = "/place"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# What the page needs of Gradio. Its uploads, files, proxies, queues and recordings stay shut: they
# would keep photos on disk, or fetch from elsewhere.
_READ = frozenset(
    {
        "/",
        "/config",
        "/favicon.ico",
        "/manifest.json",
        "/robots.txt",
        "/theme.css",
        "/gradio_api/app_id",
        "/gradio_api/info",
        "/gradio_api/startup-events",
        "/gradio_api/theme.css",
    }
)
_READ_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")

_SCHEMES = ("http", "https")  # the second where something in front of this server encrypts

_ENDING = "The server was ended before it came to this photo."
SOMETHING_WRONG = (
    "Something went wrong while this photo was placed. Try another one; the server's own log says "
    "what it was."
)


class Gate:
    """Lets through what the page needs, and says no in one sentence.

    Parameters
    ----------
    application : ASGI application
        Behind the gate.
    hosts : frozenset of str
        Names, in lower case, that the server may be called by. A web page elsewhere whose name
        points to this machine, to read what only this machine should see, is turned away.
    any_address : bool, default False
        Let it be called by any IP address too. An address, unlike a name, cannot be pointed
        elsewhere.
    picture_servers : bool, default False
        Let the page load pictures over https: tiles of maps.

    Notes
    -----
    Every answer forbids the page to load or send anything elsewhere (Content-Security-Policy).
    """

    def __init__(
        self,
        application: Application,
        *,
        hosts: frozenset[str] = LOOPBACK,
        any_address: bool = False,
        picture_servers: bool = False,
    ) -> None:
        self._application = application
        self._hosts = hosts
        self._any_address = any_address
        pictures = "'self' data: blob:" + (" https:" if picture_servers else "")
        policy = (
            "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' data:; "
            f"style-src 'self' 'unsafe-inline' data:; img-src {pictures}; font-src 'self' data:; "
            "connect-src 'self'; frame-src 'self'; manifest-src 'self'; worker-src 'self' blob:; "
            "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
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
            await self._application(scope, receive, send)
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

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await answer(send_guarded, *refusal)
            else:
                await self._application(scope, receive, send_guarded)
        except asyncio.CancelledError:  # the server ends, and has waited long enough
            if not has_started:
                await answer(send_guarded, 503, _ENDING)
            elif not has_ended:
                await send({"type": "http.response.body", "body": b""})
        except Exception:
            logger.exception("a request failed")
            if has_started:
                raise
            await answer(send_guarded, 500, SOMETHING_WRONG)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        name = _name_of(host)
        if name not in self._hosts and not (self._any_address and is_address(name)):
            return 421, "This page is only served under this machine's own name or address."
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in (f"{s}://{host.lower()}" for s in _SCHEMES):
            return 403, "Only the page itself may ask."
        method, path = scope["method"], scope["path"]
        if path == PLACE_PATH:
            return None if method == "POST" else (405, "Photos are sent by POST.")
        is_known = path in _READ or (path.startswith(_READ_BELOW) and ".." not in path)
        if method not in ("GET", "HEAD") or not is_known:
            return 404, "There is nothing here."
        return None


def is_address(name: str) -> bool:
    """Whether a name is an IP address, IPv6 without its brackets."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def answer(send: Send, status: int, message: str) -> None:
    """Answer with a sentence."""
    content = json.dumps({"message": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _name_of(host: str) -> str:
    """Host without its port; an IPv6 address without its brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().removesuffix(".")
    except ValueError:
        return ""
