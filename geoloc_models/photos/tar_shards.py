"""Images in tar files: where each member lies, and its bytes."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np

from geoloc_models.errors import BrokenImageError

_BLOCK = 512
_LONGEST_HEADER = 1 << 20
_ORDINARY = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True)
class TarMember:
    """A file in a tar: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


def read_tar_member(tar: str, name: str) -> bytes:
    """Read one member of a tar.

    Parameters
    ----------
    tar : str
        An uncompressed tar file.
    name : str
        Name of the member, with ``/``; where several have it, the last one counts.

    Raises
    ------
    BrokenImageError
        If the tar cannot be read, has no such member, or ends within it.

    Notes
    -----
    The first read from a tar goes through its headers; the following ones cost a binary search, a
    seek and a read. A tar that has changed since is gone through again.
    """
    path = f"{tar}/{name}"
    try:
        with open(tar, "rb") as file:
            with _lock:
                index = _index_of(tar, _signature(file))
            place = index.find(name)
            if place is None:
                damage = "" if index.damage is None else f"; {index.damage}"
                raise BrokenImageError(f"the tar holds no such file{damage}", path)
            offset, size = place
            file.seek(offset)
            content = file.read(size)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BrokenImageError(f"the tar cannot be read ({reason})", path) from error
    if len(content) < size:
        raise BrokenImageError("is truncated; the tar ends within it", path)
    return content


def tar_members(file: BinaryIO) -> tuple[list[TarMember], str | None]:
    """List the ordinary files of a tar.

    Parameters
    ----------
    file : binary file
        An uncompressed tar, seekable.

    Returns
    -------
    members : list of TarMember
        In the order of the tar. The last one may reach beyond the end of a truncated tar.
    damage : str or None
        What is wrong with the tar, if anything is.

    Notes
    -----
    After a damaged header the walk goes on at the next whole one, so that only members whose own
    headers are damaged are lost.
    """
    size = file.seek(0, os.SEEK_END)
    members: list[TarMember] = []
    damage: str | None = None
    position = 0
    long_name: str | None = None
    long_size: int | None = None
    while position + _BLOCK <= size:
        file.seek(position)
        header = file.read(_BLOCK)
        position += _BLOCK
        if not any(header):  # the end; but another tar may have been joined on
            continue
        try:
            entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError):
            kind = next((k for start, k in _COMPRESSED.items() if header.startswith(start)), None)
            if kind is not None and position == _BLOCK:
                return [], f"the tar is compressed by {kind}; unpack it to .tar"
            damage = "the tar is damaged"
            long_name = long_size = None
            continue
        n_bytes = entry.size
        if entry.type == tarfile.GNUTYPE_LONGNAME:
            long_name = _text(file.read(min(n_bytes, _LONGEST_HEADER)).rstrip(b"\0"))
        elif entry.type == tarfile.XHDTYPE:
            long_name, long_size = _of_extended_header(file.read(min(n_bytes, _LONGEST_HEADER)))
        elif entry.type not in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):
            if entry.type in _ORDINARY:
                n_bytes = n_bytes if long_size is None else long_size
                members.append(TarMember(_plain(long_name or entry.name), position, n_bytes))
            elif entry.type in tarfile.SUPPORTED_TYPES and not entry.isreg():
                n_bytes = 0  # of folders and links nothing follows, whatever the header says
            long_name = long_size = None
        position += -(-max(n_bytes, 0) // _BLOCK) * _BLOCK
    if position != size:
        damage = damage or "the tar is truncated"
    return members, damage


def _of_extended_header(content: bytes) -> tuple[str | None, int | None]:
    """Name and size that a POSIX.1-2001 header gives, in lines of ``LENGTH KEY=VALUE``."""
    values: dict[bytes, bytes] = {}
    start = 0
    while start < len(content):
        length, _, _ = content[start : start + 20].partition(b" ")
        if not length.isdigit() or int(length) == 0:
            break
        record = content[start + len(length) + 1 : start + int(length) - 1]
        key, _, value = record.partition(b"=")
        values[key] = value
        start += int(length)
    name, size = values.get(b"path"), values.get(b"size", b"")
    return None if name is None else _text(name), int(size) if size.isdigit() else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _plain(name: str) -> str:
    """Name as a path has it, without ``./`` and doubled slashes."""
    return str(PurePosixPath(name))


@dataclass(frozen=True)
class _TarIndex:
    """Where the members of a tar lie: 16 bytes each, ordered by the hash of the name."""

    hashes: np.ndarray  # (n,) uint64, ascending
    blocks: np.ndarray  # (n,) uint32, of 512 bytes, from the tar's start
    sizes: np.ndarray  # (n,) uint32, bytes
    damage: str | None

    @classmethod
    def from_file(cls, file: BinaryIO) -> _TarIndex:
        members, damage = tar_members(file)
        # No image is so large; and no place beyond 2 TB can be named.
        members = [m for m in members if m.size < 2**32 and m.offset < _BLOCK * 2**32]
        hashes = np.array([_hash_of(member.name) for member in members], dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        # Of a repeated name the last member counts, as for tar itself.
        last = np.append(hashes[1:] != hashes[:-1], True)[: len(hashes)]
        blocks = np.array([member.offset // _BLOCK for member in members], dtype=np.uint32)
        sizes = np.array([member.size for member in members], dtype=np.uint32)
        return cls(hashes[last], blocks[order][last], sizes[order][last], damage)

    def find(self, name: str) -> tuple[int, int] | None:
        """Offset and size in bytes."""
        wanted = np.uint64(_hash_of(_plain(name)))
        place = int(np.searchsorted(self.hashes, wanted))
        if place == len(self.hashes) or self.hashes[place] != wanted:
            return None
        return int(self.blocks[place]) * _BLOCK, int(self.sizes[place])


def _hash_of(name: str) -> int:
    content = name.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _signature(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


_lock = threading.Lock()  # eight threads that begin with one tar go through it once


@cache
def _index_of(tar: str, signature: tuple[int, int]) -> _TarIndex:
    """Index of a tar of this size and time of change: made at the first call of this process."""
    with open(tar, "rb") as file:
        return _TarIndex.from_file(file)


def _new_lock() -> None:
    """Forget a lock that another thread held while this process was forked."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
