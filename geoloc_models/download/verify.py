"""From bytes off the network to an image that is whole, small enough, and without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# What photos come in. Pillow knows more, and for some of them starts other programs.
EXTENSION_OF_FORMAT = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "HEIF": ".heic",
}


class NotAnImageError(Exception):
    """The bytes are no whole image."""


class TooManyPixelsError(Exception):
    """The image's header says that it is larger than allowed."""


@dataclass(frozen=True)
class PreparedImage:
    """Content of a file to be, its suffix with the dot, and its size in pixels."""

    content: bytes
    extension: str
    width: int
    height: int


def prepare_image(
    content: bytes,
    *,
    max_side: int | None = None,
    quality: int = 90,
    keep_original: bool = False,
    max_megapixels: float = 80.0,
) -> PreparedImage:
    """Check that bytes are a whole image, and make the file that is stored of it.

    Parameters
    ----------
    content : bytes
        JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF; HEIC where ``pillow-heif`` is installed.
    max_side : int, optional
        Longest side of the result in pixels; smaller images are not enlarged.
    quality : int
        Of the JPEG that comes out.
    keep_original : bool
        Give back ``content`` as it is, once it has been decoded to its end.
    max_megapixels : float
        Largest image that is decoded. The size is read from the header, before any pixel.

    Returns
    -------
    PreparedImage
        Unless ``keep_original``: a JPEG in RGB, upright by the EXIF orientation of its source,
        which it is without, as it is of GPS position, colour profile and comments.

    Raises
    ------
    NotAnImageError
        If the bytes are no image of these kinds, or break off.
    TooManyPixelsError
        If the image is larger than ``max_megapixels``.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_known_formats()) as image:
            if image.width * image.height > max_megapixels * 1e6:
                raise TooManyPixelsError(
                    f"{image.width} x {image.height} pixels, more than {max_megapixels:g} million"
                )
            if keep_original:
                extension = EXTENSION_OF_FORMAT[str(image.format)]
                size = image.size
                image.load()
                return PreparedImage(content, extension, *size)
            if max_side is not None and image.format in ("JPEG", "MPO"):
                # The decoder skips detail that the smaller image would not show.
                image.draft("RGB", (max_side, max_side))
            upright = _in_rgb(ImageOps.exif_transpose(image))
    except TooManyPixelsError:
        raise
    except Image.DecompressionBombError:
        raise TooManyPixelsError("more than 178 million pixels") from None
    except UnidentifiedImageError:
        raise NotAnImageError(_what_it_looks_like(content)) from None
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error
        raise NotAnImageError(" ".join(str(error).split()) or type(error).__name__) from error
    if max_side is not None:
        upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    upright.info.clear()
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=quality)
    return PreparedImage(buffer.getvalue(), ".jpg", *upright.size)


def image_size(path: str) -> tuple[int, int]:
    """Width and height in pixels of an image file, from its header."""
    try:
        with Image.open(path, formats=_known_formats()) as image:
            return image.size
    except Exception as error:
        raise NotAnImageError(str(error)) from error


@lru_cache(maxsize=1)
def _known_formats() -> list[str]:
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    Image.init()
    return [name for name in EXTENSION_OF_FORMAT if name in Image.OPEN]


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: convert("RGB") would cut off, not scale
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _what_it_looks_like(content: bytes) -> str:
    if not content:
        return "empty answer"
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    return "no image of a known kind"
