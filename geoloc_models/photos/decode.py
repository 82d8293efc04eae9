"""Pixels of one photo: decoded, upright, RGB, and nothing else of its file."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from geoloc_models.photos.exif import orientation_of
from geoloc_models.photos.opening import one_reason, opened_photo

_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_photo(source: str | BinaryIO, name: str, *, min_side: int | None = None) -> Image.Image:
    """Decode a photo's pixels: upright, RGB, and nothing else of the file.

    Parameters
    ----------
    source : str or binary file
        Path, or a seekable file that stands at its beginning.
    name : str
        What errors call the photo.
    min_side : int, optional
        A JPEG may come at 1/2, 1/4 or 1/8 of its size, the smallest of them whose shorter side is
        still at least this many pixels: the decoder then does a part of the work only.

    Returns
    -------
    PIL.Image.Image
        Mode RGB; its ``info`` is empty: no EXIF, no text, no colour profile.

    Raises
    ------
    BrokenImageError
        If it cannot be read whole; one sentence with the name and the reason.
    """
    with opened_photo(source, name) as image, one_reason(name):
        if min_side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(None, (min_side, min_side))
        image.load()
        # After load: a PNG may hold its EXIF data behind the pixels.
        method = _TRANSPOSE_OF_ORIENTATION.get(orientation_of(image))
        upright = image if method is None else image.transpose(method)
        pixels = _in_rgb(upright)
        if pixels is image:
            pixels = image.copy()
        pixels.info = {}
        return pixels


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown scale")
    if image.mode.startswith("I"):  # 16 bits a pixel: convert("RGB") would cut off, not scale
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
