"""Open a photo from whatever holds it, within limits: its header alone, or its pixels upright in RGB."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.gates import MOST_SCANS, bound_tags, has_many_scans
from geoloc_models.photos.tar_shards import read_tar_member

logger = logging.getLogger(__name__)

Openable: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

MAX_BYTES = 1 << 30  # of a file
MAX_PIXELS = 178_956_970  # where Pillow itself suspects a decompression bomb

# Formats that photos come in. Pillow reads more, but some of those start other programs (EPS runs
# Ghostscript) or take almost any bytes for an image (TGA).
PHOTO_FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "HEIF",
)  # fmt: skip
_PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".heic",
    ".heif", ".hif", ".avif", ".jp2",
)  # fmt: skip
_HEIF_BRANDS = {
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
}  # fmt: skip
_AVIF_BRANDS = {b"avif", b"avis"}
_SIXTEEN_BIT_FORMATS = ("PNG", "PPM")  # whose mode I holds 16 bits a pixel
_TAGS_OF_TILES = ((273, 279), (324, 325))  # of a TIFF: offsets and sizes of strips, of tiles
_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TooManyPixelsError(BrokenImageError):
    """The photo's header promises more pixels than the limit."""


def split_tar_path(path: str) -> tuple[str, str] | None:
    """Split ``shards/00012.tar/NAME.jpg`` into the tar and the member.

    Returns
    -------
    tuple of str, or None
        The tar's path and the member's name; None if no component of the path ends in ``.tar`` and
        is a file.
    """
    if ".tar" not in path.lower():
        return None
    parts = Path(path).parts
    for n in range(1, len(parts)):
        if parts[n - 1].lower().endswith(".tar"):
            tar = os.path.join(*parts[:n])
            if os.path.isfile(tar):
                return tar, "/".join(parts[n:])
    return None


def open_photo(
    source: Openable,
    *,
    name: str | None = None,
    min_side: int | None = None,
    max_pixels: int | None = None,
) -> Image.Image:
    """Decode a photo's pixels: upright, RGB, and nothing else of the file.

    Parameters
    ----------
    source : path, bytes, binary file, pillow image or ndarray
        A path may lead to a member of a tar (``shards/00012.tar/NAME.jpg``); a file stands at its
        beginning and can seek; an array is uint8 of shape (H, W, 3), (H, W, 4) or (H, W).
    name : str, optional
        What errors call the photo; by default its path.
    min_side : int, optional
        A JPEG may come at 1/2, 1/4 or 1/8 of its size, the smallest of them whose shorter side is
        still at least this many pixels: the decoder then does a part of the work only.
    max_pixels : int, optional
        Largest photo that is decoded, by its header; by default 178 956 970 pixels.

    Returns
    -------
    PIL.Image.Image
        Mode RGB; its ``info`` is empty: no EXIF, no text, no colour profile. Turned upright by the
        EXIF orientation. Of an animation the first picture; transparency is left out; 16 bits a
        channel become 8.

    Raises
    ------
    BrokenImageError
        If it cannot be read whole (missing, truncated, of another kind, pixels that are
        floating-point or 32-bit numbers of unknown scale), has more than 1 GB, is a JPEG
        of more than 50 scans or a TIFF of overlapping strips; one sentence with the name and the reason. A
        truncated photo is never padded with grey.
    TooManyPixelsError
        If it is larger than ``max_pixels``.

    Notes
    -----
    All limits are looked at before a pixel is decoded. A pixel then takes up to 25 bytes of memory in JPEG 2000, 17 in
    WebP, 14 in all other kinds; 4 of them are the result.

    Examples
    --------
    >>> from geoloc_models.photos import open_photo
    >>> photo = open_photo("photos/0.jpg")
    >>> photo.size, photo.mode
    ((24, 24), 'RGB')
    """
    name = _name_of(name, source)
    with open_header(source, name=name, max_pixels=max_pixels) as image, naming_errors(name):
        is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
        if min_side is not None and is_jpeg and image is not source:
            image.draft(None, (min_side, min_side))
        image.load()
        # After load: a PNG may hold its EXIF data behind the pixels.
        method = _TRANSPOSE_OF_ORIENTATION.get(orientation_of(image))
        pixels = _in_rgb(image if method is None else image.transpose(method), image.format)
        if pixels is image:
            pixels = image.copy()
        pixels.info = {}
        return pixels


@contextmanager
def open_header(
    source: Openable, *, name: str | None = None, max_pixels: int | None = None
) -> Iterator[Image.Image]:
    """Open a photo by its content and check its size by its header; no pixel is decoded yet.

    The parameters and errors are those of :func:`open_photo`.
    """
    limit = MAX_PIXELS if max_pixels is None else min(max_pixels, MAX_PIXELS)
    name = _name_of(name, source)
    with quiet_pillow():
        with naming_errors(name):
            image = _opened(source)
        with nullcontext() if isinstance(source, Image.Image) else image:
            n_pixels = image.width * image.height
            if n_pixels > limit:
                raise TooManyPixelsError(f"has {n_pixels:,} pixels, more than {limit:,}", name)
            with naming_errors(name):
                _check_work(image)
            yield image


def read_bytes(path: str) -> bytes:
    """Bytes of a file, or of the member of a tar that the path leads to."""
    member = split_tar_path(path)
    if member is not None:
        return read_tar_member(*member)
    with open(path, "rb") as file:
        return file.read()


def is_photo(source: Openable, name: str) -> bool:
    """Whether a file opens as a photo, or was meant as one by its name or first bytes."""
    try:
        with open_header(source, name=name):
            return True
    except BrokenImageError:
        return looks_like_photo(source, name)


def looks_like_photo(source: Openable, name: str) -> bool:
    """Whether a file that cannot be opened was meant as a photo, by its name or first bytes."""
    if name.lower().endswith(_PHOTO_SUFFIXES):
        return True
    try:
        head = _head_of(_file_of(source))
    except (BrokenImageError, OSError):  # the reason is told where it is read
        return True
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n")) or _iso_media_kind(head) is not None


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        orientation = int(value[0] if isinstance(value, tuple) else value)
    except Exception:  # Pillow's parser of EXIF data fails in many ways
        logger.debug("damaged EXIF data", exc_info=True)
        return 1
    return orientation if 1 <= orientation <= 8 else 1


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings of large images and damaged EXIF data, both dealt with here.

    Filters belong to the whole process: put this around a pool of threads that open photos.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


def _opened(source: Openable) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        fits = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
        if source.dtype != np.uint8 or not fits or 0 in source.shape:
            raise ValueError(
                "an array must be uint8 of shape (H, W, 3), (H, W, 4) or (H, W), not "
                f"{source.dtype} of shape {source.shape}"
            )
        return Image.fromarray(np.ascontiguousarray(source))
    file = _file_of(source)
    bound_tags()
    if any(kind not in Image.OPEN for kind in PHOTO_FORMATS):
        Image.init()  # the second call does nothing
    if _iso_media_kind(_head_of(file)) == "HEIF" and "HEIF" not in Image.OPEN:
        try:
            import pillow_heif
        except ImportError as error:
            raise BrokenImageError(
                "is a HEIC image, which needs the package pillow-heif; run: pip install '.[heif]'"
            ) from error
        pillow_heif.register_heif_opener()
    return Image.open(file, formats=[kind for kind in PHOTO_FORMATS if kind in Image.OPEN])


def _check_work(image: Image.Image) -> None:
    """Refuse a JPEG, alone or in a TIFF, or a TIFF that has its decoder go over the same again and again."""
    file = getattr(image, "fp", None)  # none of an array, nor of what is decoded already
    if file is None:
        return
    position = file.tell()
    pictures = [file]
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        n_bytes = file.seek(0, os.SEEK_END)
        tiles = [
            (start, min(size, n_bytes))
            for offsets, sizes in _TAGS_OF_TILES
            for start, size in zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False)
        ]
        if sum(size for _, size in tiles) > 2 * n_bytes:
            raise BrokenImageError("is a TIFF whose strips overlap, which would take too long")
        if image.info.get("compression") == "jpeg":
            file.seek(0)
            content = file.read()
            pictures = [BytesIO(content[start : start + size]) for start, size in tiles]
    if any(map(has_many_scans, pictures)):
        raise BrokenImageError(
            f"is a JPEG of more than {MOST_SCANS} scans, which would take too long"
        )
    file.seek(position)


def _file_of(source: Any) -> str | BinaryIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    if isinstance(source, str | os.PathLike):
        path = str(os.fspath(source))
        member = split_tar_path(path)
        return path if member is None else BytesIO(read_tar_member(*member))
    file: BinaryIO = source
    return file


def _head_of(file: str | BinaryIO) -> bytes:
    """First bytes of a file that is not too large."""
    with open(file, "rb") if isinstance(file, str) else nullcontext(file) as opened:
        n_bytes = opened.seek(0, os.SEEK_END)
        if n_bytes > MAX_BYTES:
            raise BrokenImageError(f"has {n_bytes:,} bytes, more than {MAX_BYTES:,}")
        opened.seek(0)
        head = opened.read(64)
        opened.seek(0)
        return head


def _iso_media_kind(head: bytes) -> str | None:
    """HEIF or AVIF, by the brands in the first box of the file."""
    if head[4:8] != b"ftyp":
        return None
    end = min(max(int.from_bytes(head[:4], "big"), 12), len(head))
    brands = {head[8:12]} | {head[start : start + 4] for start in range(16, end - 3, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _in_rgb(image: Image.Image, format: str | None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and format in _SIXTEEN_BIT_FORMATS):
        # convert("RGB") would cut off, not scale
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    elif image.mode in ("F", "I"):
        numbers = "floating-point" if image.mode == "F" else "32-bit"
        raise ValueError(f"its pixels are {numbers} numbers of unknown scale; save it with 8 bits")
    return image if image.mode == "RGB" else image.convert("RGB")


def _name_of(name: str | None, source: Any) -> str:
    if name is not None:
        return name
    if isinstance(source, str | os.PathLike):
        return str(os.fspath(source))
    return str(getattr(source, "name", "the photo"))


@contextmanager
def naming_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a BrokenImageError with the photo's name."""
    try:
        yield
    except BrokenImageError as error:
        error.name = error.name or name
        raise
    except FileNotFoundError as error:
        raise BrokenImageError("there is no such file", name) from error
    except UnidentifiedImageError as error:
        raise BrokenImageError("is not an image of a known kind", name) from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(f"has too many pixels ({error})", name) from error
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"cannot be decoded ({reason})", name) from error
