"""Open one photo by its content, with its size checked, before anything is decoded."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from geoloc_models._errors import BrokenImageError

MAX_PIXELS = 200_000_000

# Kinds that photos come in. Pillow knows more, but some of those start other programs (EPS runs
# Ghostscript) or take almost any bytes for an image (TGA).
PHOTO_FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "TIFF",
    "GIF",
    "BMP",
    "DIB",
    "PPM",
    "JPEG2000",
    "AVIF",
    "HEIF",
)
_HEIF_BRANDS = {
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
}  # fmt: skip
_PHOTO_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".heic",
    ".heif", ".hif", ".avif", ".jp2",
}  # fmt: skip
_AVIF_BRANDS = {b"avif", b"avis"}


class _QuietPillow:
    """Silence Pillow's warnings while at least one thread is inside.

    Pillow warns of large images from 89 million pixels on, and of damaged EXIF data; both are
    dealt with here. The list of filters belongs to the whole process, so the first thread to enter
    adds to it and the last one to leave puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before: warnings.catch_warnings[None] | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        """In a forked child the other threads, and what they held, are gone."""
        self._lock = threading.Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            self._n_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_inside = max(self._n_inside - 1, 0)
            if self._n_inside == 0 and self._before is not None:
                self._before.__exit__(None, None, None)
                self._before = None


_QUIET_PILLOW = _QuietPillow()


@contextmanager
def opened_photo(source: str | BinaryIO, name: str) -> Iterator[Image.Image]:
    """Open a photo by its content and check its size by its header; nothing is decoded yet.

    Raises
    ------
    BrokenImageError
        If there is no such file, it is of no known kind, or has more than 200 million pixels.
    """
    with _QUIET_PILLOW:
        with one_reason(name):
            try:
                image = Image.open(source, formats=_formats())
            except UnidentifiedImageError:
                _prepare_heif(source, name)
                image = Image.open(source, formats=_formats())
        with image:
            n_pixels = image.width * image.height
            if n_pixels > MAX_PIXELS:
                raise BrokenImageError(f"{name}: has {n_pixels:,} pixels, more than {MAX_PIXELS:,}")
            yield image


def is_photo(source: str | BinaryIO, name: str) -> bool:
    """Whether a file opens as a photo, or was meant as one."""
    try:
        with opened_photo(source, name):
            return True
    except BrokenImageError:
        return looks_like_photo(source, name)


def looks_like_photo(source: str | BinaryIO, name: str) -> bool:
    """Whether a file that cannot be opened was meant as a photo, by its name or first bytes."""
    if os.path.splitext(name)[1].lower() in _PHOTO_SUFFIXES:
        return True
    head = _head_of(source)
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n")) or _iso_media_kind(source) is not None


@contextmanager
def one_reason(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a BrokenImageError of one sentence."""
    try:
        yield
    except BrokenImageError:
        raise
    except FileNotFoundError as error:
        raise BrokenImageError(f"{name}: there is no such file") from error
    except UnidentifiedImageError as error:
        raise BrokenImageError(f"{name}: is not an image of a known kind") from error
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"{name}: cannot be decoded ({reason})") from error


def _formats() -> list[str]:
    """Names of the kinds that this Pillow can open."""
    if any(kind not in Image.OPEN for kind in PHOTO_FORMATS):
        Image.init()  # the second call does nothing
    return [kind for kind in PHOTO_FORMATS if kind in Image.OPEN]


def _prepare_heif(source: str | BinaryIO, name: str) -> None:
    """Let Pillow open HEIC from now on, if that is what the file is; name what is missing."""
    kind = _iso_media_kind(source)
    if kind == "AVIF" and "AVIF" not in Image.OPEN:
        raise BrokenImageError(f"{name}: is an AVIF image, which needs Pillow 11.3 or newer")
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError as error:
            raise BrokenImageError(
                f"{name}: is a HEIC image, which needs the package pillow-heif; run: "
                "pip install 'geocells[heif]'"
            ) from error
        pillow_heif.register_heif_opener()


def _iso_media_kind(source: str | BinaryIO) -> str | None:
    """HEIF or AVIF, by the brands in the first box of the file."""
    head = _head_of(source)
    if head[4:8] != b"ftyp":
        return None
    end = min(max(int.from_bytes(head[:4], "big"), 12), len(head))
    brands = {head[8:12]} | {head[start : start + 4] for start in range(16, end - 3, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _head_of(source: str | BinaryIO) -> bytes:
    if isinstance(source, str):
        with open(source, "rb") as file:
            return file.read(64)
    source.seek(0)
    head = source.read(64)
    source.seek(0)
    return head
