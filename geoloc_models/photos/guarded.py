"""Decode strangers' photos in processes of their own, which are ended when one takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

from PIL import Image

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.opening import TooManyPixelsError, open_photo, quiet_pillow

SECONDS_TO_DECODE = 30.0
_CHILD = "from geoloc_models.photos.guarded import answer_orders; answer_orders()"


class GuardedDecoder:
    """Opens photos as :func:`~geoloc_models.photos.open_photo` does, within a time; a context manager.

    Parameters
    ----------
    seconds : float
        That a photo may take. Its process is killed then, and the photo counts as broken; so does one
        that crashes the decoder.

    Notes
    -----
    A decoder at work listens to nobody, so that only another process can be stopped. There are as many
    as threads that call at a time; each starts when it is needed and goes on with the next photo. Bytes
    go in and pixels come out through pipes; nothing is pickled.
    """

    def __init__(self, seconds: float = SECONDS_TO_DECODE) -> None:
        self._seconds = seconds
        self._idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> GuardedDecoder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        while self._idle:
            _end(self._idle.pop())

    def open_photo(self, content: bytes, *, name: str | None = None, **limits: Any) -> Image.Image:
        """Decode a photo; parameters and errors of :func:`~geoloc_models.photos.open_photo`."""
        try:
            process = self._idle.pop()
        except IndexError:
            process = _start()
        late: list[str] = []

        def end() -> None:
            late.append(f"takes more than {self._seconds:g} s to decode")
            process.kill()

        clock = threading.Timer(self._seconds, end)
        clock.start()
        try:
            answer, pixels = _ask(process, content, limits)
        except (OSError, ValueError):  # the pipe has ended
            answer, pixels = {}, b""
        clock.cancel()
        clock.join()
        if late or not answer:
            _end(process)
            reason = late[0] if late else "makes the decoder crash"
            raise BrokenImageError(reason, name)
        self._idle.append(process)
        if "reason" in answer:
            kind = TooManyPixelsError if answer["is_large"] else BrokenImageError
            raise kind(answer["reason"], name)
        return Image.frombytes("RGB", answer["size"], pixels)


def answer_orders() -> None:
    """Decode what standard input asks for until it ends: the work of a process."""
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    with quiet_pillow():
        while line := orders.readline():
            order = json.loads(line)
            content = orders.read(order.pop("n_bytes"))
            pixels = b""
            try:
                image = open_photo(content, **order)
            except BrokenImageError as error:
                is_large = isinstance(error, TooManyPixelsError)
                answer: dict[str, Any] = {"reason": error.reason, "is_large": is_large}
            else:
                pixels = image.tobytes()
                answer = {"size": image.size}
            answers.write(_line({**answer, "n_bytes": len(pixels)}) + pixels)
            answers.flush()


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries print what a file says
        start_new_session=True,  # Ctrl-C is for the one who asks
    )


def _ask(
    process: subprocess.Popen[bytes], content: bytes, order: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_line({**order, "n_bytes": len(content)}))
    process.stdin.write(content)
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    return answer, process.stdout.read(answer["n_bytes"])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
