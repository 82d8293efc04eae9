"""JPEG, PNG and WebP files taken apart and put together without what is no picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from geoloc_models.errors import BrokenImageError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a picture is made of, its colours and its animation. Anything else goes, known or not.
_PNG_KEPT = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP",
    b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"acTL", b"fcTL",
    b"fdAT",
}  # fmt: skip
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0 = 0xE0
_START_OF_KEPT = {0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}  # APP2, APP14
_OF_THE_PICTURE = range(0xC0, 0xE0)  # frames, tables, scans, the end
_RESTARTS = range(0xD0, 0xD8)


def orientation_only_exif(orientation: int) -> bytes:
    """EXIF data that say which way is up and nothing else: a TIFF directory of one entry."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def bare_jpeg(content: bytes, orientation: int) -> bytes:
    """JPEG of the same coded pixels without metadata.

    Parameters
    ----------
    content : bytes
        A JPEG file.
    orientation : int
        1 to 8; kept as EXIF data of one entry unless it is 1.

    Returns
    -------
    bytes
        Kept are the tables, the coded pixels, the JFIF header without its thumbnail, the colour
        profile (APP2 ``ICC_PROFILE``) and the colour transform (APP14 ``Adobe``). Gone are all
        other APP segments (EXIF, XMP, IPTC, makers' own), comments, and whatever follows the end of
        the picture (second pictures, videos, makers' trailers).

    Raises
    ------
    BrokenImageError
        If the file is not a whole JPEG.
    """
    kept = [b"\xff\xd8"]
    place_of_exif = 1
    for marker, segment in _jpeg_segments(content):
        payload = segment[4:]
        if marker == _APP0:
            if not payload.startswith(b"JFIF\0") or len(payload) < 14:
                continue
            # A thumbnail may show what the picture no longer does.
            header = payload[:12] + b"\0\0"
            kept.append(b"\xff\xe0" + struct.pack(">H", len(header) + 2) + header)
            place_of_exif = len(kept)
        elif marker in _OF_THE_PICTURE or payload.startswith(_START_OF_KEPT.get(marker, ())):
            kept.append(segment)
    if orientation != 1:
        exif = b"Exif\0\0" + orientation_only_exif(orientation)
        kept.insert(place_of_exif, b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    return b"".join(kept)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment up to the end of the picture; scans with their pixels."""
    if not content.startswith(b"\xff\xd8"):
        raise BrokenImageError("does not begin as a JPEG")
    place = 2
    while True:
        start = place
        if content[place : place + 1] != b"\xff":
            raise BrokenImageError("is a damaged or truncated JPEG")
        while content[place : place + 1] == b"\xff":  # fill bytes
            place += 1
        if place >= len(content):
            raise BrokenImageError("is a damaged or truncated JPEG")
        marker = content[place]
        place += 1
        if marker == _EOI:
            yield marker, b"\xff\xd9"
            return
        if marker in _RESTARTS or marker in (0x00, 0x01, _SOI):
            raise BrokenImageError("is a damaged or truncated JPEG")
        length = int.from_bytes(content[place : place + 2], "big")
        place += length
        if length < 2 or place > len(content):
            raise BrokenImageError("is a damaged or truncated JPEG")
        if marker == _SOS:
            place = _end_of_scan(content, place)
            yield marker, content[start:place]
        else:
            yield marker, b"\xff" + bytes([marker]) + content[place - length : place]


def _end_of_scan(content: bytes, place: int) -> int:
    """Place of the next marker that is no part of the coded pixels."""
    while True:
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            raise BrokenImageError("is a damaged or truncated JPEG")
        following = content[place + 1]
        if following == 0xFF:
            place += 1
        elif following == 0 or following in _RESTARTS:
            place += 2
        else:
            return place


def bare_png(content: bytes, orientation: int) -> bytes:
    """PNG of the same coded pixels without text, time, EXIF and unknown chunks.

    The parameters and errors are those of :func:`bare_jpeg`. Animations stay whole.
    """
    if not content.startswith(_PNG_SIGNATURE):
        raise BrokenImageError("does not begin as a PNG")
    kept = [_PNG_SIGNATURE]
    place = len(_PNG_SIGNATURE)
    while True:
        length = int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(content):
            raise BrokenImageError("is a damaged or truncated PNG")
        if kind in _PNG_KEPT:
            kept.append(content[place:end])
        if kind == b"IHDR" and orientation != 1:
            kept.append(_png_chunk(b"eXIf", orientation_only_exif(orientation)))
        place = end
        if kind == b"IEND":
            return b"".join(kept)


def _png_chunk(kind: bytes, payload: bytes) -> bytes:
    check = zlib.crc32(kind + payload)
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", check)


def bare_webp(content: bytes, orientation: int) -> bytes:
    """WebP of the same coded pixels without EXIF, XMP and unknown chunks.

    The parameters and errors are those of :func:`bare_jpeg`. Animations stay whole.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        raise BrokenImageError("does not begin as a WebP")
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise BrokenImageError("is a damaged or truncated WebP")
    kept: list[bytes] = []
    place = 12
    while place + 8 <= end:
        kind = content[place : place + 4]
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        stop = place + 8 + length
        if stop > end:
            raise BrokenImageError("is a damaged or truncated WebP")
        if kind == b"VP8X":
            flags = content[place + 8] & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)
            flags |= _WEBP_EXIF_FLAG if orientation != 1 else 0
            kept.append(content[place : place + 8] + bytes([flags]) + content[place + 9 : stop])
        elif kind in _WEBP_KEPT:
            kept.append(content[place:stop] + b"\0" * (length % 2))
        place = stop + length % 2
    # Only the extended layout can hold EXIF data, so a photo that is turned has it already.
    if orientation != 1:
        kept.append(_webp_chunk(b"EXIF", orientation_only_exif(orientation)))
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)
