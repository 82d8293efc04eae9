"""One HTTP request for a photo, and what its answer means."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any

import httpcore
import httpx

from geoloc_models.download.addresses import (
    AddressPolicy,
    CheckedResolver,
    RefusedAddressError,
    Resolver,
)
from geoloc_models.download.options import DownloadOptions
from geoloc_models.download.politeness import retry_after
from geoloc_models.download.record import State

_GONE = frozenset([404, 410, 451])
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_WAIT = frozenset([408, 425, 429])
_SLOW_DOWN = frozenset([429, 503])
_SMALL_BODY = 65_536
_LONGEST_URL = 8192


@dataclass(frozen=True)
class Delivered:
    """The server sent a file, and all of it came."""

    content: bytes
    status: int


@dataclass(frozen=True)
class Moved:
    """The server names another URL."""

    url: str
    status: int


@dataclass(frozen=True)
class Verdict:
    """There will be no photo; another attempt would change nothing."""

    state: State
    reason: str
    status: int | None = None


@dataclass(frozen=True)
class Again:
    """The attempt failed; the next one may not.

    ``wait`` is what the server asks for, in seconds; ``is_busy`` says that it has too much to do,
    so that all requests to the host should wait.
    """

    reason: str
    status: int | None = None
    wait: float | None = None
    is_busy: bool = False


Answer = Delivered | Moved | Verdict | Again


class PhotoClient:
    """HTTP client that fetches photos and trusts nobody.

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
        policy = AddressPolicy(
            allow_private=options.allow_private_addresses, allow_networks=options.networks
        )
        self._http = httpx.AsyncClient(
            transport=_CheckedTransport(CheckedResolver(policy, resolve), options.parallel),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(
                options.read_timeout, connect=options.connect_timeout, pool=options.total_timeout
            ),
            headers={
                "User-Agent": options.user_agent or _default_user_agent(),
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )

    async def __aenter__(self) -> PhotoClient:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    def refusal(self, url: str | None) -> Verdict | None:
        """Why a URL is not even asked, if it is not; ``gone`` for a picture of a lost photo."""
        if url is None or not url.strip():
            return Verdict(State.REFUSED, "no URL")
        if len(url) > _LONGEST_URL:
            return Verdict(State.REFUSED, "the URL is longer than 8192 characters")
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            return Verdict(State.REFUSED, f"not a URL ({error})")
        if parsed.scheme not in ("http", "https"):
            return Verdict(State.REFUSED, f"neither http nor https: {url[:60]}")
        if not parsed.raw_host:
            return Verdict(State.REFUSED, "the URL names no host")
        if parsed.port is not None and not 1 <= parsed.port <= 65_535:
            return Verdict(State.REFUSED, f"there is no port {parsed.port}")
        if parsed.userinfo:
            return Verdict(State.REFUSED, "the URL holds a user name")
        if self._options.gone_pattern.search(str(parsed)):
            return Verdict(State.GONE, "a picture that stands for a lost photo")
        return None

    async def fetch(self, url: str) -> Answer:
        """Ask for a URL once, without following a redirect.

        Never raises for what a server or a network does.
        """
        try:
            async with asyncio.timeout(self._options.total_timeout):
                async with self._http.stream("GET", url) as response:
                    return await self._answer(response)
        except RefusedAddressError as error:
            return Verdict(State.REFUSED, str(error))
        except TimeoutError:
            return Again(f"not there after {self._options.total_timeout:g} s")
        except httpx.TimeoutException as error:
            return Again(f"the server does not answer in time ({error})")
        except httpx.HTTPError as error:
            return Again(" ".join(str(error).split())[:200] or type(error).__name__)
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            return Verdict(State.REFUSED, f"not a URL ({error})")

    async def _answer(self, response: httpx.Response) -> Answer:
        status = response.status_code
        if status in (200, 203):
            return await self._content(response)
        await _drain(response)
        if status in _REDIRECTS:
            return self._redirect(response)
        if status in _GONE:
            return Verdict(State.GONE, f"status {status}", status)
        if status in _WAIT or status >= 500:
            wait = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            return Again(f"status {status}", status, wait, is_busy=status in _SLOW_DOWN)
        return Verdict(State.FAILED, f"status {status}", status)

    def _redirect(self, response: httpx.Response) -> Answer:
        status = response.status_code
        location = response.headers.get("Location")
        if not location:
            return Verdict(State.FAILED, f"status {status} without a target", status)
        try:
            target = str(response.url.join(location))
        except (httpx.InvalidURL, ValueError):
            return Verdict(State.FAILED, "a redirect to something that is no URL", status)
        refused = self.refusal(target)
        if refused is not None:
            reason = f"redirect: {refused.reason}"
            return Verdict(refused.state, reason, status)
        return Moved(target, status)

    async def _content(self, response: httpx.Response) -> Answer:
        limit = self._options.max_bytes
        status = response.status_code
        too_large = Verdict(State.TOO_LARGE, f"more than {limit:,} bytes", status)
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length[:20]) > limit:
            return too_large
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            return Verdict(State.FAILED, f"unknown content coding {coding[:40]!r}", status)
        # 32: zlib finds out by itself whether there is a gzip or a zlib header.
        inflater = (
            zlib.decompressobj(32 + zlib.MAX_WBITS) if coding not in ("identity", "") else None
        )
        content = bytearray()
        n_sent = 0
        async for chunk in response.aiter_raw():
            n_sent += len(chunk)
            if n_sent > limit:
                return too_large
            if inflater is None:
                content += chunk
                continue
            try:
                content += inflater.decompress(chunk, limit + 1 - len(content))
            except zlib.error:
                return Again("the compressed body is garbled", status)
            if len(content) > limit:
                return too_large
        if inflater is not None and not inflater.eof:
            return Again("the compressed body breaks off", status)
        return Delivered(bytes(content), status)


async def _drain(response: httpx.Response) -> None:
    """Read a small body to its end, so that the connection can be used again."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length[:20]) <= _SMALL_BODY:
        async for _ in response.aiter_raw():
            pass


def _default_user_agent() -> str:
    try:
        number = version("geocells")
    except PackageNotFoundError:
        number = "0"
    return f"geoloc-download/{number} (research; python-httpx)"


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked. Host header and TLS name stay the URL's host."""

    def __init__(self, resolver: CheckedResolver):
        self._resolver = resolver
        self._inner: httpcore.AsyncNetworkBackend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolver.addresses(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name is not resolved in time") from None
        except (socket.gaierror, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host {host} is not known ({error})") from error
        failure: Exception = httpcore.ConnectError(f"the host {host} has no address")
        for address in list(addresses):
            try:
                stream = await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._resolver.prefer(host, port, address)
            return stream
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Passes requests of httpx to a connection pool that connects through the checked backend."""

    def __init__(self, resolver: CheckedResolver, max_connections: int):
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=15.0,
            network_backend=_CheckedBackend(resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        async with _told_by_httpx(request):
            response = await self._pool.handle_async_request(inner)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response, request),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response, request: httpx.Request):
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with _told_by_httpx(self._request):
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        async with _told_by_httpx(self._request):
            await self._response.aclose()


@asynccontextmanager
async def _told_by_httpx(request: httpx.Request) -> AsyncIterator[None]:
    """Errors of httpcore, as httpx's."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error) or type(error).__name__, request=request) from error
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
        httpcore.ProxyError,
    ) as error:
        raise httpx.TransportError(str(error) or type(error).__name__, request=request) from error
