"""What a picture's file may ask of a decoder: how many walks over its pixels, how many bytes of tags."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

MOST_SCANS = 50

_START, _START_OF_SCAN, _END = b"\xff\xd8\xff", 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
# Of a run of 255 the last is taken: "\xff+" would look at each run as often as it is long.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MARKER_AFTER_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_HEAD_BYTES = 1 << 16


def has_many_scans(file: BinaryIO, *, most: int = MOST_SCANS) -> bool:
    """Whether the first picture in a JPEG file has more scans than ``most``; what is no JPEG has none.

    Notes
    -----
    A progressive JPEG may hold any number of scans, each of a few dozen bytes and each a walk over
    all pixels: 300 kB of them keep a decoder busy for a minute, 20 MB for hours. Cameras and
    editors write 1 to about 12. Where the first scan holds all that there is of the pixels, as
    cameras write it, a decoder ends there, and the first 64 kB are read only. Else all is read, and
    stepped through by the length of its segments, so that the thumbnail in one is not counted, if so
    many scans may be in it.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not head.startswith(_START):
        return False
    n_components = b"none"
    for kind, start in _segments(head):
        if kind in _SEQUENTIAL:
            n_components = head[start + 7 : start + 8]
        elif kind == _START_OF_SCAN:
            if head[start + 2 : start + 3] == n_components:
                return False
            break
    content = head + file.read()
    n_scans = content.count(bytes([0xFF, _START_OF_SCAN]))
    if n_scans > most:
        scans = (kind for kind, _ in _segments(content) if kind == _START_OF_SCAN)
        n_scans = sum(1 for _ in islice(scans, most + 1))
    return n_scans > most


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Kind of each segment up to the end of the picture, and where its length stands."""
    position, pattern = 2, _MARKER
    while (marker := pattern.search(content, position)) is not None:
        position, kind, pattern = marker.end(), marker[1][0], _MARKER
        if kind == _END:
            return
        if kind in _ALONE:
            continue
        yield kind, position
        if kind == _START_OF_SCAN:
            pattern = _MARKER_AFTER_DATA
        position += max(int.from_bytes(content[position : position + 2], "big"), 2)


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
