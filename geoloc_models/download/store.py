"""Where images are kept, under names made of their ids: a tree of folders, or tar shards.

Both stores have the same methods: scan, write and close.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from geoloc_models.download.verify import EXTENSIONS, PreparedImage
from geoloc_models.files import replacing
from geoloc_models.photos.tar_shards import tar_members

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSAFE_RUN = re.compile(r"[^a-z0-9_-]+")
_SLUG_LENGTH = 40
# Windows takes these for devices, whatever their suffix.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))]
)
_HASH_FOLDER = "[0-9a-f][0-9a-f]"

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

    def scan(self, known_shards: Collection[str]) -> tuple[Iterator[StoredImage], list[str]]:
        """Walk the tree once; leftovers of a killed run are cleared away.

        Parameters
        ----------
        known_shards : collection of str
            Tar files whose photos the queue knows; there are none here.

        Returns
        -------
        iterator of StoredImage
            All images, without their sizes: no file is looked at.
        list of str
            Shards that were left out; none here.
        """
        return self._images(), []

    def _images(self) -> Iterator[StoredImage]:
        pattern = f"{_HASH_FOLDER}/{_HASH_FOLDER}/*"
        for path in glob.iglob(pattern, root_dir=self._root, include_hidden=True):
            file = os.path.basename(path)
            name, dot, suffix = file.partition(".")
            if name and dot + suffix in EXTENSIONS:
                yield StoredImage(name, path.replace(os.sep, "/"))
            elif file.startswith(".part-"):
                shutil.rmtree(self._root / path, ignore_errors=True)

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> str:
        """Write a file, whole or not at all; its path from the output folder."""
        path = f"{folder_of(name)}/{name}{image.extension}"
        with replacing(self._root / path) as partial:
            partial.write_bytes(image.content)
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
        self._root = root
        self._shard_size = shard_size
        self._shard = 0
        self._n_photos = 0
        self._end = 0
        self._file: Any = None

    def scan(self, known_shards: Collection[str]) -> tuple[Iterator[StoredImage], list[str]]:
        """Read the members of the last shard, and of those that the queue knows nothing of.

        As :meth:`FolderStore.scan`; shards that are full and known are left out. The JSON members
        tell the sizes.
        """
        folder = self._root / _SHARDS
        names = os.listdir(folder) if folder.is_dir() else []
        shards = sorted(int(match[1]) for match in map(_SHARD_NAME.fullmatch, names) if match)
        if not shards:
            return iter(()), []
        self._shard = shards.pop()
        last, self._end = whole_photos(self._root, _path_of(self._shard))
        self._n_photos = len(last)
        paths = [_path_of(shard) for shard in shards]

        def images() -> Iterator[StoredImage]:
            for path in paths:
                if path not in known_shards:
                    yield from whole_photos(self._root, path)[0]
            yield from last

        return images(), [path for path in paths if path in known_shards]

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> str:
        """Append an image and its JSON to the open shard; its path from the output folder."""
        if self._n_photos >= self._shard_size:
            self.close()
            self._shard, self._n_photos, self._end = self._shard + 1, 0, 0
        path = _path_of(self._shard)
        if self._file is None:
            file = self._root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("r+b" if file.exists() else "x+b", buffering=0)
            self._cut()
        sizes = {"width": image.width, "height": image.height, "bytes": len(image.content)}
        facts = json.dumps({**about, **sizes}, ensure_ascii=True).encode("ascii")
        members = _member(name + image.extension, image.content) + _member(f"{name}.json", facts)
        try:
            self._append(members)
        except OSError:
            self._cut()
            raise
        self._end += len(members)
        self._n_photos += 1
        return f"{path}/{name}{image.extension}"

    def close(self) -> None:
        """Write the end-of-archive mark of the open shard, if there is one."""
        if self._file is None:
            return
        try:
            self._append(_END_OF_ARCHIVE)
        finally:
            self._file.close()
            self._file = None

    def _cut(self) -> None:
        """Cut off what follows the last whole photo."""
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _append(self, content: bytes) -> None:
        view = memoryview(content)
        while view:  # an unbuffered file may write a part
            view = view[self._file.write(view) :]


def whole_photos(root: Path, path: str) -> tuple[list[StoredImage], int]:
    """Photos of a tar file whose two members are whole.

    Parameters
    ----------
    root : path
        The output folder.
    path : str
        A shard in it, which may break off anywhere.

    Returns
    -------
    list of StoredImage
        With what their JSON members say.
    int
        Bytes from the file's start to the end of the last whole photo.
    """
    photos: list[StoredImage] = []
    end = 0
    with (root / path).open("rb") as opened:
        n_bytes = os.fstat(opened.fileno()).st_size
        members, _ = tar_members(opened)
        for image, about in zip(members[::2], members[1::2], strict=False):
            name, dot, suffix = image.name.partition(".")
            opened.seek(about.offset)
            try:
                facts = json.loads(opened.read(about.size))
                sizes = [int(facts[key]) for key in ("bytes", "width", "height")]
            except (ValueError, KeyError, TypeError):
                break
            stop = about.offset + -(-about.size // _BLOCK) * _BLOCK
            follows = image.offset == end + _BLOCK and stop <= n_bytes
            if not follows or about.name != f"{name}.json" or dot + suffix not in EXTENSIONS:
                break
            photos.append(StoredImage(name, f"{path}/{image.name}", *sizes))
            end = stop
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


def _path_of(shard: int) -> str:
    return f"{_SHARDS}/{shard:05d}.tar"


def _member(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mtime = int(time.time())
    padding = bytes(-len(content) % _BLOCK)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + padding
