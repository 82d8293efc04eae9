"""Where images come from: a numbered collection, and the one of files and pictures in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from geoloc_models.errors import GeolocError
from geoloc_models.photos.exif import PhotoExif, read_exif
from geoloc_models.photos.opening import open_photo

__all__ = ["IN_MEMORY", "FileImages", "ImageSource"]

IN_MEMORY = (Image.Image, np.ndarray)
"""What holds a picture itself, and not its path."""


@runtime_checkable
class ImageSource(Protocol):
    """A numbered collection of images.

    Examples
    --------
    >>> from geoloc_models.photos import FileImages, ImageSource
    >>> images: ImageSource = FileImages(["photos/0.jpg", "photos/1.jpg"])
    >>> len(images), images.load(0).size
    (2, (24, 24))
    """

    def __len__(self) -> int:
        """Count the images."""
        ...

    def load(self, row: int) -> Image.Image:
        """Image of a row in RGB; BrokenImageError, with its name and the reason, if it has none."""
        ...

    def describe(self, row: int) -> str:
        """Name of a row's image that a user recognises."""
        ...


class FileImages:
    """Images in files, in tar shards, or in memory.

    Parameters
    ----------
    paths : sequence of path, pillow image or ndarray
        One per row: a file, in whatever tree of folders, or a member of an uncompressed tar file as
        ``shards/00012.tar/NAME.jpg`` (a component that ends in ``.tar`` and is a file); or a picture
        as :func:`open_photo` takes it.
    root : path, optional
        Folder that relative paths start from.
    min_side : int, optional
        The least that the shorter side of an image must have, in pixels. JPEGs are decoded at 1/2,
        1/4 or 1/8 of their size where that leaves as much, which saves most of the time. Other
        kinds come as they are. By default every image has its full size.

    Raises
    ------
    GeolocError
        If ``min_side`` is below 1, or a row has no path.

    Notes
    -----
    Images are decoded as :func:`open_photo` does: upright, in RGB, without metadata. What cannot
    be read whole raises BrokenImageError.

    The index of a tar is read once per process, 16 bytes a member. Threads and forked processes
    may read at once.

    Examples
    --------
    >>> images = FileImages(["a.jpg", "shards/00012.tar/b.jpg"], root="photos", min_side=224)
    >>> len(images)
    2
    """

    def __init__(
        self,
        paths: Sequence[Any] | np.ndarray,
        root: str | Path | None = None,
        *,
        min_side: int | None = None,
    ):
        if min_side is not None and not min_side >= 1:
            raise GeolocError(f"min_side must be at least 1 pixel; got {min_side}.")
        self.min_side = None if min_side is None else int(min_side)
        self._root = "" if root is None else str(root)
        self._in_memory = {
            row: item for row, item in enumerate(paths) if isinstance(item, IN_MEMORY)
        }
        # One text of all paths: less than as many objects, and forked processes share it.
        encoded = [_bytes_of(item, row) for row, item in enumerate(paths)]
        self._paths = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def describe(self, row: int) -> str:
        """Path of a row's image, or its number."""
        if row in self._in_memory:
            return f"image {row}"
        path = self._paths[self._ends[row] : self._ends[row + 1]]
        return str(Path(self._root, os.fsdecode(path)))

    def load(self, row: int) -> Image.Image:
        """Read a row's image, upright, in RGB."""
        return open_photo(self._source(row), name=self.describe(row), min_side=self.min_side)

    def exif(self, row: int) -> PhotoExif:
        """What the EXIF data of a row's image say: nothing of an array."""
        source = self._source(row)
        return PhotoExif() if isinstance(source, np.ndarray) else read_exif(source)

    def _source(self, row: int) -> str | Image.Image | np.ndarray:
        return self._in_memory[row] if row in self._in_memory else self.describe(row)


def _bytes_of(item: object, row: int) -> bytes:
    """Path of a file; empty for a picture in memory."""
    if isinstance(item, IN_MEMORY):
        return b""
    if isinstance(item, str | bytes | os.PathLike):
        return os.fsencode(item)
    raise GeolocError(f"Every row needs the path of its image; row {row} has {item!r}.")
