"""EXIF data and TIFF tags of a bounded size: Pillow alone would read the same bytes for each of 65 535 tags."""

from __future__ import annotations

import os
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SPARE_BYTES = 4096


class _MeteredFile:
    """A file that ends once twice its size was read from it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        position = file.tell()
        self._left = 2 * file.seek(0, os.SEEK_END) + _SPARE_BYTES
        file.seek(position)

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise OSError("its tags hold the same bytes again and again")
        return content


def bound_tags() -> None:
    """Have Pillow end a directory of tags whose values lie on top of each other; once in a process.

    Notes
    -----
    Each of the 65 535 tags of a directory may point at the same megabyte, so that a file of 1 MB
    takes 65 GB as soon as Pillow opens it. What was read before the end stays, as with damaged data.
    """
    load = ImageFileDirectory_v2.load
    if load.__module__ == __name__:
        return

    def load_metered(self: ImageFileDirectory_v2, fp: Any) -> None:
        file: Any = _MeteredFile(fp)
        load(self, file)

    ImageFileDirectory_v2.load = load_metered  # type: ignore[method-assign]
