"""Run the server until somebody ends it."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from geoloc_models._errors import GeolocError, reason_of
from geoloc_models.serve.application import make_application
from geoloc_models.serve.gate import LOOPBACK
from geoloc_models.serve.placing import PhotoPlacer

_SECONDS_TO_END = 3
_ANY = ("", "0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    return host.lower() in LOOPBACK or host.startswith("127.")


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
    """Give Gradio a folder of its own for temporary files, gone at the end with what is in it."""
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
    say: Callable[[str], Any] = print,
) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    placer : PhotoPlacer
        Places what is uploaded.
    host, port : str, int
        Where to listen; port 0 for any that is free.
    say : callable
        Is given the address once the server listens.

    Raises
    ------
    GeolocError
        If gradio is missing, or nothing can listen there.
    KeyboardInterrupt
        Once it has ended.
    """
    with ended_by_sigterm(), no_files_left(), listening(host, port) as door:
        known = LOOPBACK | {host.lower()}
        application = make_application(placer, hosts=None if host in _ANY else known)
        import uvicorn

        config = uvicorn.Config(
            application,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        placer.warm_up()
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{door.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[door])
