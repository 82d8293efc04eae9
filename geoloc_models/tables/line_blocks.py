"""Text files of any size, plain or compressed, as blocks of whole lines."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import queue
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from geoloc_models._errors import GeolocError, reason_of

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
BLOCK_BYTES = 16 << 20
_LONGEST_LINE_BYTES = 64 << 20
_DAMAGE = (
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    pa.ArrowException,
)
# What zipfile raises: damage, a position before the file, a password, an unknown compression.
_DAMAGED_ZIP = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of a file.

    Parameters
    ----------
    text : bytes
        Lines, each with its end, save perhaps the file's last one.
    bytes_read : int
        How far into the file, as it lies on the disk, reading has got.
    """

    text: bytes
    bytes_read: int

    @property
    def cut_off(self) -> bool:
        """Whether the last line has no end: it may be half-written."""
        return not self.text.endswith((b"\n", b"\r"))


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The unpacked content and the raw file, whose position tells how far reading has got."""
    raw = path.open("rb")
    try:
        yield _unpacked(path, raw), raw
    finally:
        raw.close()


def line_blocks(
    path: Path,
    *,
    block_bytes: int = BLOCK_BYTES,
    quoted_lines: bool = False,
    encoding: str | None = None,
) -> Iterator[LineBlock]:
    """Content of a file in blocks that end where a line ends.

    Parameters
    ----------
    path : Path
        Plain, or ``.gz``, ``.bz2``, ``.xz``, ``.zst``, ``.zip`` with one file in it.
    block_bytes : int
        About how much is read at a time.
    quoted_lines : bool
        Lines may end inside double quotes; a block never ends there.
    encoding : str, optional
        Of the text, such as ``latin-1``; blocks come in UTF-8. By default nothing is converted.

    Raises
    ------
    GeolocError
        If the archive is damaged or ends too early, or a line is longer than 64 MB.

    Notes
    -----
    A thread reads and unpacks one block ahead.
    """
    return _ahead(_line_blocks(path, block_bytes, quoted_lines, encoding))


def _line_blocks(
    path: Path, block_bytes: int, quoted_lines: bool, encoding: str | None
) -> Iterator[LineBlock]:
    decoder = None if encoding is None else codecs.getincrementaldecoder(encoding)()
    with opened(path) as (content, raw):
        rest = b""
        while True:
            try:
                piece = content.read(block_bytes)
            except _DAMAGE as error:
                reason = reason_of(error)
                raise GeolocError(
                    f"{path.name} is damaged or ends too early ({reason}). Copy or download it "
                    "again."
                ) from error
            if not piece:
                break
            if decoder is not None:
                try:
                    piece = decoder.decode(piece).encode("utf-8")
                except UnicodeDecodeError:
                    raise GeolocError(
                        f"{path.name} is not text in {encoding}. Name its encoding (--encoding)."
                    ) from None
            text = rest + piece
            end = _last_line_end(text, quoted_lines)
            if end:
                yield LineBlock(text[:end], raw.tell())
            rest = text[end:]
            if len(rest) > max(_LONGEST_LINE_BYTES, 2 * block_bytes):
                cause = "a double quote is never closed" if quoted_lines else "is it a text table"
                raise GeolocError(
                    f"{path.name} has a line of more than {_LONGEST_LINE_BYTES >> 20} MB "
                    f"({cause}?)."
                )
        if rest:
            yield LineBlock(rest, raw.tell())


def _last_line_end(text: bytes, quoted_lines: bool) -> int:
    end = text.rfind(b"\n") + 1
    if quoted_lines:
        n_quotes = text.count(b'"', 0, end)
        while end and n_quotes % 2:
            earlier = text.rfind(b"\n", 0, end - 1) + 1
            n_quotes -= text.count(b'"', earlier, end)
            end = earlier
    return end


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(raw, "rb")  # type: ignore[return-value]
    if suffix == ".bz2":
        return bz2.open(raw, "rb")  # type: ignore[return-value]
    if suffix == ".xz":
        return lzma.open(raw, "rb")  # type: ignore[return-value]
    if suffix == ".zst":
        unpacked: BinaryIO = pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
        return unpacked
    if suffix == ".zip":
        return _only_member(path, raw)
    return raw


def _only_member(path: Path, raw: BinaryIO) -> BinaryIO:
    try:
        archive = zipfile.ZipFile(raw)
    except _DAMAGED_ZIP as error:
        raise _damaged_zip(path, error) from error
    files = [name for name in archive.namelist() if not name.endswith("/")]
    if len(files) != 1:
        raise GeolocError(
            f"{path.name} holds {len(files)} files; unpack it and name the tables in it."
        )
    try:
        return archive.open(files[0])  # type: ignore[return-value]
    except _DAMAGED_ZIP as error:
        raise _damaged_zip(path, error) from error


def _damaged_zip(path: Path, error: Exception) -> GeolocError:
    return GeolocError(
        f"{path.name} is damaged or cannot be unpacked ({reason_of(error)}). Copy or download it again, or unpack "
        "it yourself."
    )


def _ahead(blocks: Iterator[LineBlock]) -> Iterator[LineBlock]:
    """The same blocks, one made ahead in a thread; it ends with the reader."""
    waiting: queue.Queue[Any] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def hand_over(item: Any) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for block in blocks:
                hand_over(block)
                if stopped.is_set():
                    return
            hand_over(None)
        except BaseException as error:  # noqa: BLE001  (raised again where the blocks are used)
            hand_over(error)

    thread = threading.Thread(target=work, name="line-blocks", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
