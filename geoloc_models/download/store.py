"""Where images are kept, under names made of their ids: a tree of folders, or tar shards.

Both stores have the same four methods: scan, measure, write and close.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from geoloc_models._errors import BrokenImageError
from geoloc_models.download.verify import EXTENSIONS, PreparedImage
from geoloc_models.photos.opening import open_header

MAX_NAME_LENGTH = 80

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSAFE_RUN = re.compile(r"[^a-z0-9_-]+")
_SLUG_LENGTH = 40
# Windows takes these for devices, whatever their suffix.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))]
)
_HASH_FOLDER = re.compile(r"[0-9a-f]{2}")
_PARTIAL = ".part-"

_SHARDS = "shards"
_SHARD_NAME = re.compile(r"([0-9]{5,9})\.tar")
_BLOCK = tarfile.BLOCKSIZE
_END_OF_ARCHIVE = bytes(2 * _BLOCK)


class StoredImage(NamedTuple):
    """An image on disk: its name, path from the output folder, bytes, and size in pixels."""

    name: str
    path: str
    bytes: int | None = None
    width: int | None = None
    height: int | None = None


class FolderStore:
    """A file per photo: ``ab/cd/NAME.jpg``, in 65 536 folders by the hash of the name.

    Parameters
    ----------
    root : path
        The output folder.

    Notes
    -----
    An image is written beside its target and renamed, so it is whole or not there.
    """

    def __init__(self, root: Path):
        self._root = root

    def scan(self, known_shards: Callable[[], set[str]]) -> tuple[Iterator[StoredImage], list[str]]:
        """Walk the tree once; leftovers of a killed run are cleared away.

        Parameters
        ----------
        known_shards : callable
            Gives the tar files whose photos the queue knows; not asked here.

        Returns
        -------
        iterator of StoredImage
            All images: one listing per folder, no look at the files themselves.
        list of str
            Shards that were left out; none here.
        """
        return self._images(), []

    def _images(self) -> Iterator[StoredImage]:
        for outer in _hash_folders(self._root):
            for inner in _hash_folders(Path(outer.path)):
                with os.scandir(inner.path) as entries:
                    for entry in entries:
                        name, dot, suffix = entry.name.partition(".")
                        if name and dot + suffix in EXTENSIONS:
                            yield StoredImage(name, f"{outer.name}/{inner.name}/{entry.name}")
                        elif entry.name.startswith(_PARTIAL):
                            with suppress(OSError):
                                os.unlink(entry.path)

    def measure(self, image: StoredImage) -> StoredImage | None:
        """Fill in size and pixels of an image on disk, by its header; None if it is not whole."""
        file = self._root / image.path
        try:
            n_bytes = file.stat().st_size
            with open_header(file) as opened:
                return StoredImage(image.name, image.path, n_bytes, *opened.size)
        except (OSError, BrokenImageError):
            return None

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> str:
        """Write a file beside its target, then rename it; its path from the output folder."""
        path = f"{folder_of(name)}/{name}{image.extension}"
        target = self._root / path
        partial = target.with_name(f"{_PARTIAL}{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(image.content)
            os.replace(partial, target)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        return path

    def close(self) -> None:
        """Do nothing: no file stays open."""


class TarStore:
    """Photos in tar files ``shards/00012.tar``, each as ``NAME.jpg`` and ``NAME.json``.

    Parameters
    ----------
    root : path
        The output folder.
    shard_size : int
        Photos per tar file.

    Notes
    -----
    A photo's two members are appended in one write, the JSON last; what a kill or a full disk
    leaves of them is cut off when the file is opened next. The end-of-archive mark is written when
    a shard is full or the run ends in order.
    """

    def __init__(self, root: Path, shard_size: int):
        self._folder = root / _SHARDS
        self._shard_size = shard_size
        self._shard = 0
        self._n_photos = 0
        self._end = 0
        self._file: Any = None

    def scan(self, known_shards: Callable[[], set[str]]) -> tuple[Iterator[StoredImage], list[str]]:
        """Read the members of the last shard, and of those that the queue knows nothing of.

        As :meth:`FolderStore.scan`; shards that are full and known are left out.
        """
        names = os.listdir(self._folder) if self._folder.is_dir() else []
        shards = sorted(int(match[1]) for match in map(_SHARD_NAME.fullmatch, names) if match)
        if not shards:
            return iter(()), []
        known = known_shards()
        unread = [shard for shard in shards[:-1] if _path_of(shard) in known]
        last, self._end = whole_photos(self._file_of(shards[-1]), _path_of(shards[-1]))
        self._shard, self._n_photos = shards[-1], len(last)

        def images() -> Iterator[StoredImage]:
            for shard in sorted({*shards[:-1]} - {*unread}):
                yield from whole_photos(self._file_of(shard), _path_of(shard))[0]
            yield from last

        return images(), [_path_of(shard) for shard in unread]

    def measure(self, image: StoredImage) -> StoredImage | None:
        """Give the image back: the member's JSON has told its size."""
        return image

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> str:
        """Append an image and its JSON to the open shard; its path from the output folder."""
        if self._n_photos >= self._shard_size:
            self.close()
            self._shard, self._n_photos, self._end = self._shard + 1, 0, 0
        if self._file is None:
            self._open()
        facts = {
            **about,
            "width": image.width,
            "height": image.height,
            "bytes": len(image.content),
        }
        members = _member(name + image.extension, image.content)
        members += _member(f"{name}.json", json.dumps(facts, ensure_ascii=True).encode("ascii"))
        try:
            self._append(members)
        except OSError:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += len(members)
        self._n_photos += 1
        return f"{_path_of(self._shard)}/{name}{image.extension}"

    def close(self) -> None:
        """Write the end-of-archive mark of the open shard, if there is one."""
        if self._file is None:
            return
        try:
            self._append(_END_OF_ARCHIVE)
        finally:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        path = self._file_of(self._shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:  # an unbuffered file may write a part
            view = view[self._file.write(view) :]

    def _file_of(self, shard: int) -> Path:
        return self._folder / f"{shard:05d}.tar"


def whole_photos(file: Path, path: str) -> tuple[list[StoredImage], int]:
    """Photos of a tar file whose two members are whole.

    Parameters
    ----------
    file : path
        A shard, which may break off anywhere.
    path : str
        Its path from the output folder.

    Returns
    -------
    list of StoredImage
        With what their JSON members say.
    int
        Bytes from the file's start to the end of the last whole photo.
    """
    photos: list[StoredImage] = []
    end = offset = 0
    image_name = ""
    with file.open("rb") as opened:
        n_bytes = os.fstat(opened.fileno()).st_size
        while True:
            opened.seek(offset)
            try:
                member = tarfile.TarInfo.frombuf(opened.read(_BLOCK), "utf-8", "surrogateescape")
            except tarfile.HeaderError:  # the end mark, the file's end, or half a header
                break
            content_start = offset + _BLOCK
            offset = content_start + -(-member.size // _BLOCK) * _BLOCK
            if offset > n_bytes:
                break
            if not member.name.endswith(".json"):
                image_name = member.name
                continue
            name, dot, suffix = image_name.partition(".")
            opened.seek(content_start)
            try:
                facts = json.loads(opened.read(member.size))
                sizes = [int(facts[key]) for key in ("bytes", "width", "height")]
            except (ValueError, KeyError, TypeError):
                break
            if f"{name}.json" != member.name or dot + suffix not in EXTENSIONS:
                break
            photos.append(StoredImage(name, f"{path}/{image_name}", *sizes))
            image_name, end = "", offset
    return photos, end


def safe_name(photo_id: str) -> str:
    """File name, without a suffix, for a photo's id.

    Parameters
    ----------
    photo_id : str
        Any text: empty, long, with slashes or in any script.

    Returns
    -------
    str
        At most 80 of ``a-z 0-9 _ - ~``, not starting with ``-``, ``_`` or ``~``. An id that is
        such a name already is its own name; every other one gives what is safe of it, ``~`` and
        the 128-bit hash of the id.

    Notes
    -----
    Capitals count as unsafe, so that ``A`` and ``a`` do not meet in one file where the file system
    ignores case. There is no dot, because WebDataset ends a key at the first one. Names of ids that
    are kept hold no ``~``; so two ids share a name only if their hashes collide.

    Examples
    --------
    >>> safe_name("2034871")
    '2034871'
    >>> safe_name("../../etc/passwd")
    'etc-passwd~03d915744132df301bb7f67f4e92a4e9'
    """
    if _SAFE.fullmatch(photo_id) and photo_id not in _DEVICES:
        return photo_id
    slug = _UNSAFE_RUN.sub("-", photo_id.lower())[:_SLUG_LENGTH].strip("-_") or "photo"
    return f"{slug}~{_digest(photo_id)}"


def folder_of(name: str) -> str:
    """Folder ``ab/cd`` of a name: two bytes of its hash, so that 65 536 folders fill evenly.

    Examples
    --------
    >>> folder_of("2034871")
    'da/03'
    """
    digest = _digest(name)
    return f"{digest[:2]}/{digest[2:4]}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _hash_folders(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [
            entry
            for entry in entries
            if _HASH_FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]


def _path_of(shard: int) -> str:
    return f"{_SHARDS}/{shard:05d}.tar"


def _member(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mtime = int(time.time())
    padding = bytes(-len(content) % _BLOCK)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + padding
