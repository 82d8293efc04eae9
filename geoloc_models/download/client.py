"""One HTTP request for a photo, and what its answer means."""

from __future__ import annotations

import socket
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from yarl import URL

from geoloc_models import __version__
from geoloc_models.download.addresses import (
    AddressPolicy,
    CheckedResolver,
    RefusedAddressError,
    Resolver,
    UnknownHostError,
)
from geoloc_models.download.download_options import DownloadOptions, State
from geoloc_models.download.politeness import retry_after

_GONE = frozenset([404, 410, 451])
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_WAIT = frozenset([408, 425, 429])
_SLOW_DOWN = frozenset([429, 503])
_SMALL_BODY = 65_536
_LONGEST_URL = 8192
_KEPT_IN_URL = "%!$&'()*+,/:;=?@[]~"  # quoting leaves these alone: servers may sign a URL as it is
_GZIP_START = b"\x1f\x8b"
_USER_AGENT = f"geoloc-download/{__version__} (research; python-aiohttp)"


@dataclass(frozen=True)
class Success:
    """The server sent a file, and all of it came."""

    content: bytes
    status: int


@dataclass(frozen=True)
class Redirect:
    """The server names another URL."""

    url: URL
    status: int


@dataclass(frozen=True)
class Rejected:
    """There will be no photo; another attempt would change nothing."""

    state: State
    reason: str
    status: int | None = None


@dataclass(frozen=True)
class Retry:
    """The attempt failed; the next one may not.

    ``wait`` is what the server asks for, in seconds; ``is_busy`` says that it has too much to do,
    so that all requests to the host should wait.
    """

    reason: str
    status: int | None = None
    wait: float | None = None
    is_busy: bool = False


Answer = Success | Redirect | Rejected | Retry


class PhotoClient:
    """HTTP client that fetches photos and trusts nobody; use it as a context manager.

    Parameters
    ----------
    options : DownloadOptions
        Timeouts, limits and rules.
    resolve : callable, optional
        Resolver of names, in the place of the system's.

    Notes
    -----
    No cookies, no proxies from the environment (a proxy would resolve names by itself, unchecked),
    no redirect followed without a check, no content coding asked for.
    """

    def __init__(self, options: DownloadOptions, resolve: Resolver | None = None):
        self._options = options
        self._policy = AddressPolicy(options.networks)
        self._resolver = CheckedResolver(self._policy, resolve, timeout=options.connect_timeout)

    async def __aenter__(self) -> PhotoClient:
        options = self._options
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=self._open_socket,
                limit=options.parallel,
                keepalive_timeout=15.0,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=options.total_timeout,
                sock_connect=options.connect_timeout,
                sock_read=options.read_timeout,
            ),
            headers={
                "User-Agent": options.user_agent or _USER_AGENT,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
            middlewares=[_ask_once],
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.close()
        await self._resolver.close()

    def parse(self, url: str | None) -> URL | Rejected:
        """Parse a URL, or tell why it is not even asked; ``gone`` for a picture of a lost photo."""
        if url is None or not url.strip():
            return Rejected(State.REFUSED, "no URL")
        if len(url) > _LONGEST_URL:
            return Rejected(State.REFUSED, "the URL is longer than 8192 characters")
        try:
            parsed = URL(url.strip())
            parts = urlsplit(url.strip())
            if parsed.scheme not in ("http", "https"):
                return Rejected(State.REFUSED, f"neither http nor https: {url[:60]}")
            if not parsed.raw_host:
                return Rejected(State.REFUSED, "the URL names no host")
            target = URL.build(
                scheme=parsed.scheme,
                authority=parsed.raw_authority,
                path=_quoted(parts.path) or "/",
                query_string=_quoted(parts.query),
                encoded=True,
            )
        except (ValueError, TypeError) as error:
            return Rejected(State.REFUSED, f"not a URL ({error})")
        if target.port == 0:
            return Rejected(State.REFUSED, "there is no port 0")
        if parsed.user is not None or parsed.password is not None:
            return Rejected(State.REFUSED, "the URL holds a user name")
        if self._options.gone_pattern.search(str(target)):
            return Rejected(State.GONE, "a picture that stands for a lost photo")
        return target

    async def fetch(self, url: URL) -> Answer:
        """Ask for a URL once, without following a redirect.

        Never raises for what a server or a network does.
        """
        options = self._options
        try:
            # Beforehand: a slow look-up must not use up the time of the request.
            await self._resolver.addresses(str(url.raw_host), int(url.port or 0))
            async with self._http.get(url, allow_redirects=False) as response:
                return await self._answer(response)
        except RefusedAddressError as error:
            return Rejected(State.REFUSED, str(error))
        except UnknownHostError as error:
            return Retry(str(error))
        except aiohttp.ConnectionTimeoutError:
            return Retry(f"no connection after {options.connect_timeout:g} s")
        except aiohttp.SocketTimeoutError:
            return Retry(f"the server does not answer in time ({options.read_timeout:g} s)")
        except TimeoutError:
            return Retry(f"not there after {options.total_timeout:g} s")
        except aiohttp.InvalidURL as error:
            return Rejected(State.REFUSED, f"not a URL ({error})")
        except (aiohttp.ClientError, _NoAnswerError, OSError, ValueError) as error:
            return _failure(error)

    def _open_socket(self, addr_info: Any) -> socket.socket:
        """Open the socket of a connection: the address that is really connected to is checked."""
        family, kind, protocol, _, address = addr_info
        self._policy.check(address[0], [address[0]])
        return socket.socket(family, kind, protocol)

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        if status in (200, 203):
            return await self._content(response)
        if (response.content_length or _SMALL_BODY + 1) <= _SMALL_BODY:
            await response.read()  # to its end, so that the connection can be used again
        if status in _REDIRECTS:
            return self._redirect(response)
        if status in _GONE:
            return Rejected(State.GONE, f"status {status}", status)
        if status in _WAIT or status >= 500:
            wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            return Retry(f"status {status}", status, wait, is_busy=status in _SLOW_DOWN)
        return Rejected(State.FAILED, f"status {status}", status)

    def _redirect(self, response: aiohttp.ClientResponse) -> Answer:
        status = response.status
        location = response.headers.get("Location", "").strip()
        if not location:
            return Rejected(State.FAILED, f"status {status} without a target", status)
        try:
            target = self.parse(urljoin(str(response.url), location))
        except ValueError:
            return Rejected(State.FAILED, "a redirect to something that is no URL", status)
        if isinstance(target, Rejected):
            return Rejected(target.state, f"redirect: {target.reason}", status)
        return Redirect(target, status)

    async def _content(self, response: aiohttp.ClientResponse) -> Answer:
        limit, status = self._options.max_bytes, response.status
        too_large = Rejected(State.TOO_LARGE, f"more than {limit:,} bytes", status)
        if (response.content_length or 0) > limit:
            return too_large
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > limit:
                return too_large
        decoded = bytes(content)
        for coding in reversed(response.headers.get("Content-Encoding", "").lower().split(",")):
            try:
                decoded = _decoded(decoded, coding.strip(), limit)
            except zlib.error:
                return Retry("the compressed body is garbled", status)
            except EOFError:
                return Retry("the compressed body breaks off", status)
            if len(decoded) > limit:
                return too_large
        return Success(decoded, status)


def _decoded(content: bytes, coding: str, limit: int) -> bytes:
    """Undo a content coding, up to one byte more than ``limit``.

    Codings but gzip and deflate leave the content as it is: servers send ``UTF-8``, ``none`` or
    ``aws-chunked`` with plain images; the decoder of images tells whether it is one. So does a body
    that is no gzip in spite of its header.
    """
    if coding in ("gzip", "x-gzip"):
        window = 16 + zlib.MAX_WBITS
        if not content.startswith(_GZIP_START):
            return content
    elif coding == "deflate":  # with a zlib header as it should be, or raw as some servers send it
        has_header = content[:1] and content[0] & 15 == 8
        has_header = has_header and int.from_bytes(content[:2], "big") % 31 == 0  # RFC 1950
        window = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    else:
        return content
    decoded = bytearray()
    while True:
        inflater = zlib.decompressobj(window)
        decoded += inflater.decompress(content, limit + 1 - len(decoded))
        if len(decoded) > limit:
            return bytes(decoded)
        if not inflater.eof:
            raise EOFError
        content = inflater.unused_data
        if window < 16 or not content.startswith(_GZIP_START):  # no further member of a gzip file
            return bytes(decoded)


class _NoAnswerError(Exception):
    """A request failed on the network; the cause says how."""


async def _ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from asking again by itself, past the turn of the host."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _NoAnswerError(str(error)) from error


def _failure(error: Exception) -> Answer:
    """Say in words what went wrong on the network."""
    cause = error.__cause__ if isinstance(error, _NoAnswerError) else error
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        words = "the server's certificate is not valid"
    elif isinstance(cause, aiohttp.ClientConnectorError):
        if isinstance(cause.os_error, RefusedAddressError):
            return Rejected(State.REFUSED, str(cause.os_error))
        words = "no connection"
    elif isinstance(cause, aiohttp.ClientPayloadError):
        words = "the body breaks off"
    elif isinstance(cause, aiohttp.ClientResponseError):
        words = "the answer is not HTTP"
    else:
        words = "the connection broke off"
    detail = " ".join(str(cause).split())
    return Retry(f"{words} ({detail})"[:200] if detail else words)


def _quoted(text: str) -> str:
    return quote(text, safe=_KEPT_IN_URL, errors="surrogateescape")
