"""Photos as files and pixels: opening, EXIF, folders, tar shards, stripping, batches."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.photos.exif import PhotoExif, read_exif
    from geoloc_models.photos.images import FileImages, ImageSource
    from geoloc_models.photos.opening import open_header, open_photo

__all__ = ["FileImages", "ImageSource", "PhotoExif", "open_header", "open_photo", "read_exif"]

_MODULE_OF_NAME = {
    "FileImages": "images",
    "ImageSource": "images",
    "PhotoExif": "exif",
    "open_header": "opening",
    "open_photo": "opening",
    "read_exif": "exif",
}


def __getattr__(name: str) -> Any:
    # Each name is imported when first used: some need torch or Pillow.
    if name in _MODULE_OF_NAME:
        return getattr(import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
