"""Text files of any size, plain or compressed, as blocks of whole lines."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from geocells.tables.rows import TableError, check_unpacked

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
BLOCK_BYTES = 16 << 20
_LONGEST_LINE_BYTES = 64 << 20
# What damage, a password or an unknown compression raise; zipfile alone has six kinds.
_DAMAGE = (
    EOFError, OSError, ValueError, NotImplementedError, RuntimeError, struct.error, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException,
)  # fmt: skip


def text_blocks(
    path: Path, *, block_bytes: int = BLOCK_BYTES, encoding: str | None = None
) -> Iterator[tuple[bytes, int, bool]]:
    """Whole lines of a file in UTF-8, how far into the file on the disk reading has got, and whether no other follow.

    Parameters
    ----------
    path : Path
        Plain, or ``.gz``, ``.bz2``, ``.xz``, ``.zst``, or ``.zip`` with one file in it.
    block_bytes : int
        About how much is read at a time.
    encoding : str, optional
        Of the text, such as ``latin-1``. By default UTF-8 or, where a byte-order mark says so, UTF-16; that UTF-8 is
        valid is not checked here.

    Raises
    ------
    TableError
        If the archive is damaged or ends too early, the text is not in this encoding, or a line is longer than 64 MB.

    Notes
    -----
    A thread reads and unpacks one block ahead.
    """
    blocks = _blocks(path, block_bytes, encoding)
    with ThreadPoolExecutor(1) as thread:
        block = thread.submit(next, blocks, None).result()
        pending = thread.submit(next, blocks, None)
        while block is not None:
            following = pending.result()
            pending = thread.submit(next, blocks, None)
            yield *block, following is None
            block = following


def _blocks(path: Path, block_bytes: int, encoding: str | None) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as raw:
        content = _read_pieces(path, raw, block_bytes)
        decoder: codecs.IncrementalDecoder | None = None
        rest = b""
        for number, piece in enumerate(content):
            if number == 0:
                if encoding is None and piece.startswith(
                    (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
                ):
                    encoding = "utf-16"
                if encoding is not None:
                    decoder = codecs.getincrementaldecoder(encoding)()
                else:
                    piece = piece.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            text = rest + (piece if decoder is None else _decoded(decoder, piece, path, encoding))
            end = text.rfind(b"\n") + 1
            if end:
                yield text[:end], _position(raw)
            rest = text[end:]
            if len(rest) > max(_LONGEST_LINE_BYTES, 2 * block_bytes):
                raise TableError(
                    f"{path.name} has a line of more than {_LONGEST_LINE_BYTES >> 20} MB. Is it a table of text?"
                )
        if decoder is not None:
            rest += _decoded(decoder, b"", path, encoding)
        if rest:
            yield rest, _position(raw)


def _position(raw: BinaryIO) -> int:
    """How far reading has got; Arrow closes a damaged file on its own."""
    return 0 if raw.closed else raw.tell()


def _decoded(
    decoder: codecs.IncrementalDecoder, piece: bytes, path: Path, encoding: str | None
) -> bytes:
    try:
        return decoder.decode(piece, final=not piece).encode("utf-8")
    except UnicodeError:
        raise TableError(f"{path.name} is not text in {encoding}. Name its encoding.") from None


def _read_pieces(path: Path, raw: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    try:
        content = _unpacked(path, raw)
        # The first piece is long enough to tell of the encoding.
        piece = content.read(max(block_bytes, 4))
        n_bytes = 0
        while piece:
            n_bytes += len(piece)
            check_unpacked(path, n_bytes)
            yield piece
            piece = content.read(block_bytes)
    except TableError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise TableError(
            f"{path.name} is damaged or cannot be unpacked ({reason}). Copy or download it again."
        ) from error


def _unpacked(path: Path, raw: BinaryIO) -> Any:
    suffix = path.suffix.lower()
    if suffix in (".gz", ".bz2", ".xz"):
        opener: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[suffix]
        return opener(raw, "rb")
    if suffix == ".zst":
        return pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
    if suffix == ".zip":
        archive = zipfile.ZipFile(raw)
        files = [name for name in archive.namelist() if not name.endswith("/")]
        if len(files) != 1:
            raise TableError(
                f"{path.name} holds {len(files)} files. Unpack it and name the tables in it."
            )
        return archive.open(files[0])
    return raw
