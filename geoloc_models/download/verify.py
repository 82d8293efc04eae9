"""From bytes off the network to an image that is whole, small enough, and without metadata."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from geoloc_models.download.download_options import DownloadOptions
from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.opening import PHOTO_FORMATS, open_header, open_photo

_EXTENSION_OF_FORMAT = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "TIFF": ".tif",
    "DIB": ".bmp",
    "JPEG2000": ".jp2",
    "HEIF": ".heic",
}
EXTENSIONS = frozenset(_EXTENSION_OF_FORMAT.get(name, f".{name.lower()}") for name in PHOTO_FORMATS)


@dataclass(frozen=True)
class PreparedImage:
    """Content of a file to be, its suffix with the dot, and its size in pixels."""

    content: bytes
    extension: str
    width: int
    height: int


def prepare_image(
    content: bytes, options: DownloadOptions, decode: Callable[..., Image.Image] = open_photo
) -> PreparedImage:
    """Check that bytes are a whole image, and make the file that is stored of it.

    Parameters
    ----------
    content : bytes
        Any kind that :func:`geoloc_models.photos.open_photo` reads.
    options : DownloadOptions
        Of these, ``max_side`` (smaller images are not enlarged), ``quality``, ``keep_original``
        (``content`` as it is, once it has been decoded to its end) and ``max_megapixels`` (by the
        header, before any pixel is decoded).
    decode : callable
        ``open_photo``, or that of a :class:`~geoloc_models.photos.guarded.GuardedDecoder`.

    Returns
    -------
    PreparedImage
        Unless ``keep_original``: a JPEG in RGB, upright by the EXIF orientation of its source,
        which it is without, as it is of GPS position, colour profile and comments.

    Raises
    ------
    BrokenImageError
        If the bytes are not an image of these kinds, or break off.
    TooManyPixelsError
        If the image is larger than ``max_megapixels``.
    """
    max_side, max_pixels = options.max_side, int(options.max_megapixels * 1e6)
    _check_kind(content)
    pixels = decode(content, min_side=max_side, max_pixels=max_pixels)
    if options.keep_original:
        with open_header(content) as header:
            kind = str(header.format)
            extension = _EXTENSION_OF_FORMAT.get(kind, f".{kind.lower()}")
            return PreparedImage(content, extension, *header.size)
    if max_side is not None:
        pixels.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=options.quality)
    return PreparedImage(buffer.getvalue(), ".jpg", *pixels.size)


def _check_kind(content: bytes) -> None:
    """Tell an empty answer and a web page from a damaged image."""
    if not content:
        raise BrokenImageError("is an empty answer")
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise BrokenImageError("is a web page")
