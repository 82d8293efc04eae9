"""A photo server on this machine that misbehaves on demand, as the web does.

    with PhotoServer({"17": jpeg, "18": jpeg}, {"18": gone}) as server:
        fetch(server.url("17"))
        server.requests["17"]        # 1: asked for once

A fault is an async function of the :class:`Reply` that it fills; ``mixed_faults`` deals them out to
many photos so that about a fifth is dead.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

Fault = Callable[["Reply"], Awaitable[None]]

UNAVAILABLE = "/static/photo_unavailable.png"
_PAGE = b"<!DOCTYPE html><html><title>Photos</title><body>Please log in.</body></html>"


class PhotoServer:
    """HTTP server on loopback, started and stopped as a context manager.

    Parameters
    ----------
    images : mapping of str to bytes
        Content of each photo by its id.
    faults : mapping of str to fault
        What goes wrong with which photo; the others are served as they are.
    host : str
        Address to listen on.
    port : int
        Port to listen on; 0 takes a free one.

    Attributes
    ----------
    requests : Counter
        How often each photo was asked for, by id; other paths by the path.
    log : list of (float, str, dict)
        Seconds on a monotonic clock, id and request headers of every request, in order.
    n_active, most_active : int
        Requests under way now, and at most so far.
    """

    def __init__(
        self,
        images: Mapping[str, bytes],
        faults: Mapping[str, Fault] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ):
        self.images = images
        self.faults = dict(faults or {})
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[float, str, dict[str, str]]] = []
        self.n_active = self.most_active = 0
        self._host = host
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> PhotoServer:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="photo-server", daemon=True
        )
        self._thread.start()
        if not started.wait(30):
            raise RuntimeError("The photo server does not start.")
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    @property
    def root(self) -> str:
        """URL of the server, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def url(self, photo_id: str) -> str:
        """URL of a photo."""
        return f"{self.root}/photos/{quote(photo_id, safe='')}.jpg"

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, self._host, self._port, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side has gone
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = urlsplit(head[0].split(" ")[1]).path
        headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        name = unquote(path)
        if name.startswith("/photos/"):
            name = name.removeprefix("/photos/").removesuffix(".jpg")
        self.requests[name] += 1
        self.log.append((time.monotonic(), name, headers))
        reply = Reply(self, name, self.requests[name], self.images.get(name), writer)
        self.n_active += 1
        self.most_active = max(self.most_active, self.n_active)
        try:
            if path == UNAVAILABLE:
                await reply.send(200, png_of_size(8, 8), {"Content-Type": "image/png"})
            else:
                await self.faults.get(name, served)(reply)
        finally:
            self.n_active -= 1
        return reply.keeps_open


@dataclass
class Reply:
    """An answer to be given: to the ``visit``-th request, from 1, for a photo."""

    server: PhotoServer
    photo_id: str
    visit: int
    image: bytes | None
    writer: asyncio.StreamWriter
    keeps_open: bool = True

    async def send(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        await self.start(status, {"Content-Length": str(len(body)), **(headers or {})})
        await self.write(body)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def write(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    def hang_up(self) -> None:
        """Close the connection after what was written."""
        self.keeps_open = False

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.keeps_open = False
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def served(reply: Reply) -> None:
    """The photo as it is; 404 if there is none of that id."""
    if reply.image is None:
        await reply.send(404, b"no such photo")
    else:
        await reply.send(200, reply.image, {"Content-Type": "image/jpeg"})


def status(code: int, headers: Mapping[str, str] | None = None) -> Fault:
    """Always this status, with a short text."""

    async def fault(reply: Reply) -> None:
        await reply.send(code, b"no photo here", headers)

    return fault


not_found = status(404)
gone = status(410)


def at_first(fault: Fault, times: int = 1) -> Fault:
    """The fault at first, then the photo."""

    async def first_fault(reply: Reply) -> None:
        await (fault if reply.visit <= times else served)(reply)

    return first_fault


def too_many_requests(seconds: float = 1, *, times: int = 1, as_date: bool = False) -> Fault:
    """429 with Retry-After, as a number or as a date, at first."""

    async def fault(reply: Reply) -> None:
        text = str(round(seconds))
        if as_date:
            text = email.utils.formatdate(time.time() + seconds, usegmt=True)
        await reply.send(429, b"slower, please", {"Retry-After": text})

    return at_first(fault, times)


def server_error(times: int = 1) -> Fault:
    """500 at first."""
    return at_first(status(500), times)


async def truncated(reply: Reply) -> None:
    """Half of the promised bytes, then the connection ends."""
    image = reply.image or b"x" * 1000
    await reply.start(200, {"Content-Length": str(len(image)), "Content-Type": "image/jpeg"})
    await reply.write(image[: len(image) // 2])
    reply.hang_up()


async def cut_chunks(reply: Reply) -> None:
    """A chunked body without its end."""
    image = reply.image or b"x" * 1000
    half = image[: len(image) // 2]
    await reply.start(200, {"Transfer-Encoding": "chunked", "Content-Type": "image/jpeg"})
    await reply.write(f"{len(image):x}\r\n".encode() + half)
    reply.hang_up()


async def half_an_image(reply: Reply) -> None:
    """A whole answer that holds the first half of a photo."""
    image = reply.image or b"x" * 1000
    await reply.send(200, image[: len(image) // 2], {"Content-Type": "image/jpeg"})


async def web_page(reply: Reply) -> None:
    """A page that asks to log in, in the place of the photo."""
    await reply.send(200, _PAGE, {"Content-Type": "text/html"})


async def empty(reply: Reply) -> None:
    """Status 200 and no byte."""
    await reply.send(200, b"", {"Content-Type": "image/jpeg"})


def redirect(target: str) -> Fault:
    """302 to a URL or path."""
    return status(302, {"Location": target})


redirect_to_unavailable = redirect(UNAVAILABLE)


async def redirect_to_itself(reply: Reply) -> None:
    """302 to the same URL, for ever."""
    await reply.send(302, b"", {"Location": reply.server.url(reply.photo_id)})


async def redirect_to_private(reply: Reply) -> None:
    """302 to the address where clouds keep their machines' credentials."""
    await reply.send(302, b"", {"Location": "http://169.254.169.254/latest/meta-data/"})


async def endless(reply: Reply) -> None:
    """Bytes without end."""
    await reply.start(200, {"Transfer-Encoding": "chunked", "Content-Type": "image/jpeg"})
    block = b"\xff" * 65_536
    while True:
        await reply.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")


def slow(seconds_a_byte: float = 0.05) -> Fault:
    """The photo, byte by byte."""

    async def fault(reply: Reply) -> None:
        image = reply.image or b"x" * 1000
        await reply.start(200, {"Content-Length": str(len(image)), "Content-Type": "image/jpeg"})
        for k in range(len(image)):
            await reply.write(image[k : k + 1])
            await asyncio.sleep(seconds_a_byte)

    return fault


async def silent(reply: Reply) -> None:
    """A connection that is accepted, and nothing more."""
    await asyncio.sleep(3600)


async def bomb(reply: Reply) -> None:
    """A PNG of 60 000 x 60 000 pixels in less than a hundred bytes."""
    await reply.send(200, png_of_size(60_000, 60_000), {"Content-Type": "image/png"})


async def compressed_bomb(reply: Reply) -> None:
    """Fifty kilobytes that become fifty megabytes when the transfer coding is undone."""
    body = zlib.compress(bytes(50_000_000))
    await reply.send(200, body, {"Content-Encoding": "deflate", "Content-Type": "image/jpeg"})


async def connection_reset(reply: Reply) -> None:
    """A TCP reset in the place of an answer."""
    reply.reset()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are there only if it is small."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = (bytes(1 + 3 * width)) * height if width * height < 10_000 else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


_BUSY = too_many_requests(1)

# Per mille of the photos; about a fifth is dead, as in the paper's download.
MIX: tuple[tuple[Fault, int], ...] = (
    (not_found, 90),
    (gone, 40),
    (redirect_to_unavailable, 70),
    (web_page, 10),
    (half_an_image, 5),
    (empty, 2),
    (bomb, 3),
    (compressed_bomb, 1),
    (redirect_to_private, 5),
    (redirect_to_itself, 2),
    (status(403), 5),
    (_BUSY, 3),
    (server_error(1), 20),
    (at_first(truncated), 10),
    (at_first(cut_chunks), 5),
    (at_first(connection_reset), 5),
)
QUICK_MIX = tuple(entry for entry in MIX if entry[0] is not _BUSY)  # nobody has to wait


def mixed_faults(
    ids: Iterable[str], *, seed: int = 0, mix: Iterable[tuple[Fault, int]] = MIX
) -> dict[str, Fault]:
    """Faults for some of the photos: each id's own draw, so more ids change no other's."""
    shares = list(mix)
    faults: dict[str, Fault] = {}
    for photo_id in ids:
        draw = random.Random(f"{seed} {photo_id}").randrange(1000)
        for fault, share in shares:
            if draw < share:
                faults[photo_id] = fault
                break
            draw -= share
    return faults
