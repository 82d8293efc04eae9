"""Images as members of tar files, in WebDataset's layout, that survive a kill."""

from __future__ import annotations

import json
import os
import re
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_models.download.index import FOUND, OK, UNTRIED, PhotoIndex
from geoloc_models.download.storage import EXTENSIONS, StoredImage, extension_code
from geoloc_models.download.verify import PreparedImage

FOLDER = "shards"

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_SHARD_NAME = re.compile(r"([0-9]{5,9})\.tar")
_SUFFIXES = 16  # a place is the shard's number times this, plus the number of the suffix


class TarStorage:
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
        self._shard: int | None = None
        self._n_photos = 0
        self._end = 0
        self._file: _WholeWrites | None = None
        self._found: dict[str, StoredImage] = {}

    def survey(self, index: PhotoIndex) -> int:
        """Read the members of the last shard, and of those that the ledger knows nothing of."""
        shards = self._shards_on_disk()
        shard_of_photo = index.place // _SUFFIXES
        is_ok = index.state == OK
        is_lost = is_ok & ~np.isin(shard_of_photo, shards)
        known = set(np.unique(shard_of_photo[is_ok]).tolist())
        last = max(shards, default=None)
        for shard in shards:
            if shard in known and shard != last:
                continue
            members, end = read_whole_photos(self._file_of(shard))
            position = index.positions([name for name, _, _ in members])
            if shard == last:
                self._shard, self._n_photos, self._end = shard, len(members), end
                is_whole = np.zeros(len(index), dtype=bool)
                is_whole[position[position >= 0]] = True
                is_lost |= is_ok & (shard_of_photo == shard) & ~is_whole
            for (name, extension, about), k in zip(members, position, strict=True):
                if k >= 0 and index.state[k] != OK:
                    index.state[k] = FOUND
                    index.place[k] = place = shard * _SUFFIXES + extension_code(extension)
                    self._found[name] = StoredImage(
                        self.path_of(name, place),
                        int(about["bytes"]),
                        int(about["width"]),
                        int(about["height"]),
                    )
        index.state[is_lost] = UNTRIED
        return int(is_lost.sum())

    def look(self, name: str, place: int) -> StoredImage | None:
        """Tell what a member's JSON says."""
        return self._found.pop(name, None)

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> tuple[int, str]:
        """Append an image and its JSON to the open shard."""
        if self._shard is not None and self._n_photos >= self._shard_size:
            self.close()
            self._shard, self._n_photos, self._end = self._shard + 1, 0, 0
        if self._shard is None:
            self._shard = max(self._shards_on_disk(), default=-1) + 1
        if self._file is None:
            self._open()
        assert self._file is not None
        facts = {
            **about,
            "width": image.width,
            "height": image.height,
            "bytes": len(image.content),
        }
        block = _member(name + image.extension, image.content) + _member(
            f"{name}.json", json.dumps(facts, ensure_ascii=True).encode("ascii")
        )
        try:
            self._file.write(block)
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(block)
        self._n_photos += 1
        place = self._shard * _SUFFIXES + extension_code(image.extension)
        return place, self.path_of(name, place)

    def path_of(self, name: str, place: int) -> str:
        """Path of a member from the output folder."""
        shard, code = divmod(int(place), _SUFFIXES)
        return f"{FOLDER}/{shard:05d}.tar/{name}{EXTENSIONS[code]}"

    def places_of(self, paths: Sequence[str]) -> np.ndarray:
        """Places of members by their paths."""
        return np.fromiter(
            (
                int(path[len(FOLDER) + 1 : path.index(".tar/")]) * _SUFFIXES
                + max(0, extension_code(path[path.rfind(".") :]))
                for path in paths
            ),
            dtype=np.int32,
            count=len(paths),
        )

    def close(self) -> None:
        """Write the end-of-archive mark of the open shard, if there is one."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file:
            file.write(_END)

    def _open(self) -> None:
        assert self._shard is not None
        path = self._file_of(self._shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        file.truncate(self._end)
        file.seek(self._end)
        self._file = _WholeWrites(file)

    def _file_of(self, shard: int) -> Path:
        return self._root / FOLDER / f"{shard:05d}.tar"

    def _shards_on_disk(self) -> list[int]:
        folder = self._root / FOLDER
        names = os.listdir(folder) if folder.is_dir() else []
        matches = (_SHARD_NAME.fullmatch(name) for name in names)
        return sorted(int(match[1]) for match in matches if match)


def read_whole_photos(path: Path) -> tuple[list[tuple[str, str, dict[str, Any]]], int]:
    """Photos of a tar file whose two members are whole.

    Parameters
    ----------
    path : path
        A shard, which may break off anywhere.

    Returns
    -------
    list of (name, suffix, facts)
        ``facts`` is the content of the JSON member.
    int
        Bytes from the file's start to the end of the last whole photo.
    """
    photos: list[tuple[str, str, dict[str, Any]]] = []
    end = offset = 0
    image_name: str | None = None
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        while True:
            file.seek(offset)
            try:
                member = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
            except tarfile.HeaderError:  # the end mark, the file's end, or half a header
                break
            content_start = offset + _BLOCK
            offset = content_start + -(-member.size // _BLOCK) * _BLOCK
            if offset > n_bytes:
                break
            if not member.name.endswith(".json"):
                image_name = member.name
                continue
            file.seek(content_start)
            try:
                facts = json.loads(file.read(member.size))
                name, dot, suffix = str(image_name).partition(".")
                whole = f"{name}.json" == member.name and extension_code(dot + suffix) >= 0
                whole = whole and all(
                    isinstance(facts[k], int) for k in ("bytes", "width", "height")
                )
            except (ValueError, KeyError, TypeError):
                break
            if not whole:
                break
            photos.append((name, dot + suffix, facts))
            image_name = None
            end = offset
    return photos, end


class _WholeWrites:
    """A file whose writes are complete or raise; a plain unbuffered file may write a part."""

    def __init__(self, file: Any):
        self._file = file

    def write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]

    def truncate(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)

    def __enter__(self) -> _WholeWrites:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def _member(name: str, content: bytes) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mtime = int(time.time())
    padding = bytes(-len(content) % _BLOCK)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + padding
