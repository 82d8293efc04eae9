"""What somebody uploaded: checked before it is decoded, decoded without its file ever existing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geocells.output import printable
from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.inference.inputs import as_photos
from geoloc_models.inference.map import picture_bytes
from geoloc_models.photos.opening import open_header, open_photo

_NAME = "The file"
_MOST_ELONGATED = 20
_LONGEST_REASON = 200
_MOST_EXAMPLES, _EXAMPLE_PIXELS = 12, 640


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Parameters
    ----------
    megabytes : float, default 20
        Of an upload.
    megapixels : float, default 50
        Of the photo in it. While one is decoded, each takes up to 25 bytes of memory (JPEG 2000),
        17 (WebP) or 14 (all other kinds).
    waiting : int, default 8
        Uploads at a time, the one that is being placed included; the next is asked to come again.
    seconds : float, default 60
        An upload may take.

    Raises
    ------
    GeolocError
        If one of them is not above 0.
    """

    megabytes: float = 20.0
    megapixels: float = 50.0
    waiting: int = 8
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("megabytes", "megapixels", "waiting", "seconds"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise GeolocError(f"The limit of {name} must be above 0 and finite; got {value}.")

    @property
    def max_bytes(self) -> int:
        """Largest upload."""
        return max(1, int(self.megabytes * 1e6))

    @property
    def max_pixels(self) -> int:
        """Largest photo."""
        return max(1, int(self.megapixels * 1e6))


def read_upload(
    content: bytes,
    limits: Limits,
    *,
    min_side: int | None = None,
    decode: Callable[..., Image.Image] = open_photo,
) -> Image.Image:
    """Decode an upload by its content alone, whatever it was called.

    Parameters
    ----------
    content : bytes
        The whole file.
    limits : Limits
        Pixels are counted by the file's header, before any are decoded.
    min_side : int, optional
        As for :func:`~geoloc_models.photos.opening.open_photo`.
    decode : callable
        ``open_photo``, or that of a :class:`~geoloc_models.photos.guarded.GuardedDecoder`.

    Returns
    -------
    PIL.Image.Image
        RGB, upright, without EXIF data or other metadata.

    Raises
    ------
    BrokenImageError
        One sentence for the person who uploaded it.
    """
    if not content:
        raise BrokenImageError("The file is empty.")
    if len(content) > limits.max_bytes:
        raise BrokenImageError(too_large(limits))
    try:
        with open_header(content, name=_NAME) as image:
            width, height = image.size
        if width * height > limits.max_pixels:
            raise BrokenImageError(
                f"The photo has {width:,} x {height:,} pixels, more than the "
                f"{limits.megapixels:g} megapixels that this page takes. Make it smaller first."
            )
        if max(width, height) > _MOST_ELONGATED * min(width, height):
            # The shorter side is scaled to what the network sees, so the longer one may explode.
            raise BrokenImageError(
                f"The picture is {width:,} x {height:,} pixels: too long and narrow for a photo."
            )
        return decode(content, name=_NAME, min_side=min_side)
    except BrokenImageError as error:
        message = str(error) if error.name is None else f"{error.name} {error.reason}."
        if "decompression bomb" in message:  # what Pillow says of pixels beyond its own limit
            message = f"The photo has more than the {limits.megapixels:g} megapixels of this page."
        raise BrokenImageError(_for_people(message)) from error


def read_examples(folder: str | Path) -> list[bytes]:
    """Photos of a folder to click on, as JPEG files of pixels alone.

    Parameters
    ----------
    folder : path
        Of more than 12 photos, 12 at even steps; each is scaled to 640 pixels at most.

    Raises
    ------
    GeolocError
        If there is no photo, or one cannot be read.
    """
    photos = as_photos(folder, min_side=_EXAMPLE_PIXELS)
    examples = []
    for row in np.unique(np.linspace(0, len(photos) - 1, _MOST_EXAMPLES).round().astype(int)):
        photo = photos.load(int(row))
        photo.thumbnail((_EXAMPLE_PIXELS, _EXAMPLE_PIXELS))
        examples.append(picture_bytes(photo, "JPEG"))
    return examples


def too_large(limits: Limits) -> str:
    """Sentence for a file above the limit."""
    return f"The file is larger than the {limits.megabytes:g} MB that this page takes."


def _for_people(message: str) -> str:
    """Printable characters, not too many."""
    text = printable(message)
    if "not an image of a known kind" in text:
        text += " JPEG, PNG, WebP, TIFF, GIF, HEIC and AVIF are known."
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
