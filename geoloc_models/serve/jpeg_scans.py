"""How often a JPEG asks its decoder to go over the whole picture."""

from __future__ import annotations

import re

MOST_SCANS = 50

_START, _START_OF_SCAN, _END = b"\xff\xd8\xff", 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_MARKER_AFTER_DATA = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


def count_scans(content: bytes, *, most: int = MOST_SCANS) -> int:
    """Scans of the first picture in a JPEG file; counting ends above ``most``.

    Parameters
    ----------
    content : bytes
        A whole file; what is no JPEG has no scans.
    most : int
        From one more than this on, the number is not needed exactly.

    Notes
    -----
    A progressive JPEG may hold any number of scans, each of a few dozen bytes and each a walk over
    all pixels: 300 kB of them keep a decoder busy for a minute, 20 MB for hours. Cameras and
    editors write 1 to about 12. Segments are stepped over by their length, so that the thumbnail in
    one is not counted; O(len(content)).
    """
    if not content.startswith(_START):
        return 0
    n_scans, position, pattern = 0, 2, _MARKER
    while n_scans <= most and (found := pattern.search(content, position)) is not None:
        position, kind, pattern = found.end(), found[1][0], _MARKER
        if kind == _END:
            break
        if kind in _ALONE:
            continue
        if kind == _START_OF_SCAN:
            n_scans += 1
            pattern = _MARKER_AFTER_DATA
        position += max(int.from_bytes(content[position : position + 2], "big"), 2)
    return n_scans
