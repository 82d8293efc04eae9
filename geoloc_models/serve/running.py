"""Run the server until somebody ends it."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.serve.application import make_application
from geoloc_models.serve.gate import LOOPBACK, is_address
from geoloc_models.serve.placing import PhotoPlacer

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
    """Open the server's door; GeolocError where that fails."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        own = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise GeolocError(
            f"Nothing can listen on {host} port {port} ({reason_of(error)}). Choose another by "
            "--port; 0 takes any that is free."
        ) from error
    with own:
        yield own


@contextmanager
def no_files_left() -> Iterator[str]:
    """Give Gradio a folder of its own for temporary files, gone at the end with what is in it.

    Gradio looks where it is when it is imported: that has to happen in here.
    """
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="geoloc-serve-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield folder
        finally:
            if before is None:
                os.environ.pop("GRADIO_TEMP_DIR", None)
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let the signal that ends services end this one as Ctrl-C does, its folder taken away."""
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
    say: Callable[[str], Any] = print,
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
    say : callable
        Is given the address once the server listens.

    Raises
    ------
    GeolocError
        If gradio is missing, or nothing can listen there.
    KeyboardInterrupt
        Once it has ended.
    """
    with ended_by_sigterm(), listening(host, port) as door:
        bound = ipaddress.ip_address(door.getsockname()[0])
        known = LOOPBACK | {host.lower()} | {name.lower() for name in names}
        if not bound.is_loopback:
            known |= own_names()
        application = make_application(placer, hosts=known, any_address=not bound.is_loopback)
        import uvicorn

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
        say(f"http://{shown}:{door.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[door])
