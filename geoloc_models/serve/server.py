"""Run the server until somebody ends it."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from geoloc_models.errors import GeolocError, reason_of
from geoloc_models.serve.application import make_application
from geoloc_models.serve.inference import PhotoPlacer
from geoloc_models.serve.middleware import LOOPBACK, is_address

if TYPE_CHECKING:
    from geoloc_models.download import DownloadOptions

_SECONDS_TO_END = 3
_SECONDS_OF_HEADERS = 10.0


class ImpatientProtocol(H11Protocol):
    """HTTP on one connection, which is closed where headers do not come to an end in ten seconds.

    Nor may what is sent after an answer, such as the rest of a body that nobody reads, take longer.
    """

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the clock once there is a request to be answered."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        if self._clock is not None:
            self._clock.cancel()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None
        elif self._clock is None:
            self._clock = self.loop.call_later(_SECONDS_OF_HEADERS, self._close)

    def _close(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class PatientServer(uvicorn.Server):
    """A server whose orderly end, of three seconds at most, a second Ctrl-C does not break off."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, once."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    return host.lower() == "localhost" or (
        is_address(host) and ipaddress.ip_address(host).is_loopback
    )


def own_names() -> frozenset[str]:
    """What this machine is called by others in its network."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.split('.')[0]}.local", socket.getfqdn().lower()})


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address; GeolocError where that fails."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise GeolocError(
            f"Nothing can listen on {host} port {port} ({reason_of(error)}). Choose another by "
            "--port; 0 takes any that is free."
        ) from error
    with server:
        yield server


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let the signal that ends services end this one as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_config(application: Starlette) -> uvicorn.Config:
    """How the server speaks HTTP."""
    return uvicorn.Config(
        application,
        http=ImpatientProtocol,  # h11 limits headers and refuses a second Host
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )


def run_server(
    placer: PhotoPlacer,
    *,
    examples: Sequence[bytes] = (),
    addresses: DownloadOptions | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    names: Sequence[str] = (),
    report: Callable[[str], Any] = print,
) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    placer : PhotoPlacer
        Places what is uploaded.
    examples, addresses
        As for :func:`~geoloc_models.serve.application.make_application`.
    host, port : str, int
        Where to listen; port 0 for any that is free.
    names : sequence of str
        Names that the page may be called by, beside this machine's own and its addresses.
    report : callable
        Is given the address once the server listens.

    Raises
    ------
    GeolocError
        If nothing can listen there.
    KeyboardInterrupt
        Once it has ended.
    """
    with listening(host, port) as listener:
        bound = ipaddress.ip_address(listener.getsockname()[0])
        known = LOOPBACK | {host.lower()} | {name.lower() for name in names}
        if not bound.is_loopback:
            known |= own_names()
        application = make_application(
            placer,
            examples=examples,
            addresses=addresses,
            hosts=known,
            any_address=not bound.is_loopback,
        )
        placer.warm_up()
        if bound.is_unspecified:
            host = "127.0.0.1" if bound.version == 4 else "::1"
        shown = f"[{host}]" if ":" in host else host
        report(f"http://{shown}:{listener.getsockname()[1]}")
        PatientServer(make_config(application)).run(sockets=[listener])
