"""Run the server until somebody ends it."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.serve.application import make_application
from geoloc_models.serve.inference import PhotoPlacer
from geoloc_models.serve.middleware import LOOPBACK, is_address

_SECONDS_TO_END = 3


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


def run_server(
    placer: PhotoPlacer,
    *,
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
    with ended_by_sigterm(), listening(host, port) as listener:
        bound = ipaddress.ip_address(listener.getsockname()[0])
        known = LOOPBACK | {host.lower()} | {name.lower() for name in names}
        if not bound.is_loopback:
            known |= own_names()
        application = make_application(placer, hosts=known, any_address=not bound.is_loopback)
        config = uvicorn.Config(
            application,
            http="h11",  # limits headers and refuses a second Host, whatever else is installed
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        placer.warm_up()
        if bound.is_unspecified:
            host = "127.0.0.1" if bound.version == 4 else "::1"
        shown = f"[{host}]" if ":" in host else host
        report(f"http://{shown}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])
