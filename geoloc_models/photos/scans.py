"""How often a JPEG decoder walks over all pixels of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

MOST_SCANS = 50

_START, _START_OF_SCAN, _END = b"\xff\xd8\xff", 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_MARKER_AFTER_DATA = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_HEAD_BYTES = 1 << 16


def count_scans(file: BinaryIO, *, most: int = MOST_SCANS) -> int:
    """Scans of the first picture in a JPEG file; counting ends above ``most``.

    Parameters
    ----------
    file : binary file
        What is no JPEG has no scans.
    most : int
        From one more than this on, the number is not needed exactly.

    Notes
    -----
    A progressive JPEG may hold any number of scans, each of a few dozen bytes and each a walk over
    all pixels: 300 kB of them keep a decoder busy for a minute, 20 MB for hours. Cameras and
    editors write 1 to about 12. Segments are stepped over by their length, so that the thumbnail in
    one is not counted. Where the first scan holds all that there is of the pixels, as cameras write
    it, a decoder ends there, and the first 64 kB are read only; else O(bytes).
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not head.startswith(_START):
        return 0
    n_components = b"none"
    for kind, start in _segments(head):
        if kind in _SEQUENTIAL:
            n_components = head[start + 7 : start + 8]
        elif kind == _START_OF_SCAN:
            if head[start + 2 : start + 3] == n_components:
                return 1
            break
    n_scans = 0
    for kind, _ in _segments(head + file.read()):
        n_scans += kind == _START_OF_SCAN
        if n_scans > most:
            break
    return n_scans


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
