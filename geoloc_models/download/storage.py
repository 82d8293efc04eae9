"""Images as files in a tree of folders; what any storage of images can do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from geoloc_models.download.index import FOUND, OK, UNTRIED, PhotoIndex
from geoloc_models.download.names import folder_of
from geoloc_models.download.verify import (
    EXTENSION_OF_FORMAT,
    NotAnImageError,
    PreparedImage,
    image_size,
)

EXTENSIONS = tuple(dict.fromkeys(EXTENSION_OF_FORMAT.values()))
_CODE_OF_EXTENSION = {extension: code for code, extension in enumerate(EXTENSIONS)}
_BATCH = 50_000
_PARTIAL = ".part-"


@dataclass(frozen=True)
class StoredImage:
    """An image on disk: path from the output folder, bytes, and size in pixels."""

    path: str
    bytes: int
    width: int
    height: int


class Storage(Protocol):
    """Where images are kept, under their names.

    A stored image has a *place*, an int32 that with its name gives its path.
    """

    def survey(self, index: PhotoIndex) -> int:
        """Compare what is on disk with the index, which holds the ledger's states.

        Images that the ledger does not know become ``FOUND``; photos whose image is not there any
        more become ``UNTRIED``, and are counted. Leftovers of a killed run are cleared away.
        """
        ...

    def look(self, name: str, place: int) -> StoredImage | None:
        """Tell of an image that the survey found; None if it is no whole image."""
        ...

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> tuple[int, str]:
        """Store an image, whole or not at all; its place and path."""
        ...

    def path_of(self, name: str, place: int) -> str:
        """Path of an image from the output folder."""
        ...

    def places_of(self, paths: Sequence[str]) -> np.ndarray:
        """Places of images by their paths, int32 (len(paths),)."""
        ...

    def close(self) -> None:
        """Finish what is open."""
        ...


def extension_code(extension: str) -> int:
    """Short number of a suffix such as ``.jpg``; -1 if no image has it."""
    return _CODE_OF_EXTENSION.get(extension, -1)


class FolderStorage:
    """A file per photo: ``ab/cd/NAME.jpg``, in 65 536 folders by the hash of the name.

    Parameters
    ----------
    root : path
        The output folder.

    Notes
    -----
    An image is written beside its target and renamed, so it is whole or not there. Its place is
    the number of its suffix.
    """

    def __init__(self, root: Path):
        self._root = root

    def survey(self, index: PhotoIndex) -> int:
        """Walk the tree once: one listing per folder, no look at the files themselves."""
        is_there = np.zeros(len(index), dtype=bool)
        names: list[str] = []
        codes: list[int] = []

        def note() -> None:
            position = index.positions(names)
            known = position >= 0
            position, code = position[known], np.array(codes, dtype=np.int32)[known]
            is_there[position] = True
            is_new = index.state[position] != OK
            index.state[position[is_new]] = FOUND
            index.place[position] = code
            names.clear()
            codes.clear()

        for name, code in self._files():
            names.append(name)
            codes.append(code)
            if len(names) >= _BATCH:
                note()
        note()
        is_lost = (index.state == OK) & ~is_there
        index.state[is_lost] = UNTRIED
        return int(is_lost.sum())

    def _files(self) -> Iterator[tuple[str, int]]:
        for outer in _hash_folders(self._root):
            for inner in _hash_folders(Path(outer.path)):
                with os.scandir(inner.path) as entries:
                    for entry in entries:
                        name, dot, suffix = entry.name.partition(".")
                        code = extension_code(dot + suffix)
                        if name and code >= 0:
                            yield name, code
                        elif entry.name.startswith(_PARTIAL):
                            with suppress(OSError):
                                os.unlink(entry.path)

    def look(self, name: str, place: int) -> StoredImage | None:
        """Read the header of a file."""
        path = self.path_of(name, place)
        file = self._root / path
        try:
            n_bytes = file.stat().st_size
            width, height = image_size(str(file))
        except (OSError, NotAnImageError):
            return None
        return StoredImage(path, n_bytes, width, height)

    def write(self, name: str, image: PreparedImage, about: dict[str, Any]) -> tuple[int, str]:
        """Write a file beside its target, then rename it."""
        place = extension_code(image.extension)
        path = self.path_of(name, place)
        target = self._root / path
        partial = target.with_name(f"{_PARTIAL}{target.name}")
        try:
            try:
                file = partial.open("wb")
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                file = partial.open("wb")
            with file:
                file.write(image.content)
            os.replace(partial, target)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        return place, path

    def path_of(self, name: str, place: int) -> str:
        """Path of an image from the output folder."""
        return f"{folder_of(name)}/{name}{EXTENSIONS[place]}"

    def places_of(self, paths: Sequence[str]) -> np.ndarray:
        """Places of images by their paths."""
        return np.fromiter(
            (max(0, extension_code(path[path.rfind(".") :])) for path in paths),
            dtype=np.int32,
            count=len(paths),
        )

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _hash_folders(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [
            entry
            for entry in entries
            if len(entry.name) == 2
            and all(c in "0123456789abcdef" for c in entry.name)
            and entry.is_dir(follow_symlinks=False)
        ]
