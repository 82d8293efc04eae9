"""Fingerprints of images: one of their exact pixels, one that small changes leave alone."""

from __future__ import annotations

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft
from PIL import Image
from tqdm import tqdm

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.photos.images import ImageSource

_SIDE = 32
_CHUNK = 512
# Spread (standard deviation) of the 32 x 32 grey values, of 255, below which an image is flat:
# what its hash would be made of is compression noise.
_FLAT_BELOW = 2.0


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of rows of an image source.

    Parameters
    ----------
    content : ndarray of uint64 (n,)
        Equal for equal pixels (and size), whatever the file around them.
    perceptual : ndarray of uint64 (n,)
        A few bits apart for images that look alike.
    is_flat : ndarray of bool (n,)
        Images of about one colour, whose perceptual hash says nothing.
    is_broken : ndarray of bool (n,)
        Images that cannot be read; their other values are 0.
    messages : tuple of str
        What is wrong with the broken ones, in the order of rows.
    """

    content: np.ndarray
    perceptual: np.ndarray
    is_flat: np.ndarray
    is_broken: np.ndarray
    messages: tuple[str, ...]


def fingerprint_images(images: ImageSource, *, n_workers: int | None = None) -> Fingerprints:
    """Read images and take their fingerprints, several at a time.

    Parameters
    ----------
    images : ImageSource
    n_workers : int, optional
        Threads (decoding releases Python's lock); by default one per processor.

    Raises
    ------
    GeolocError
        If none of the first 512 images can be read: the folder is likely a wrong one.
    """
    n = len(images)
    content, perceptual = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    is_flat, is_broken = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    messages: list[str] = []

    def read(row: int) -> str | None:
        try:
            image = images.load(row)
        except BrokenImageError as error:
            is_broken[row] = True
            return str(error)
        content[row] = content_hash(image)
        perceptual[row], is_flat[row] = perceptual_hash(image)
        return None

    # Warnings are settings of the whole process: changed once here, not by every thread in turn.
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(n_workers or _n_processors()) as pool,
        tqdm(
            total=n, desc="Fingerprints", unit=" images", delay=2, leave=False, disable=None
        ) as bar,
    ):
        for begin in range(0, n, _CHUNK):
            rows = range(begin, min(begin + _CHUNK, n))
            messages.extend(message for message in pool.map(read, rows) if message is not None)
            if begin == 0 and n and is_broken[: len(rows)].all():
                raise GeolocError(
                    f"None of the first {len(rows)} images can be read (first: {messages[0]}). "
                    "Is the folder of the images the right one?"
                )
            bar.update(len(rows))
    return Fingerprints(content, perceptual, is_flat, is_broken, tuple(messages))


def content_hash(image: Image.Image) -> int:
    """64 bits of BLAKE2b over an image's mode, size and pixels."""
    digest = hashlib.blake2b(f"{image.mode} {image.width} {image.height} ".encode(), digest_size=8)
    digest.update(image.tobytes())
    return int.from_bytes(digest.digest(), "little")


def perceptual_hash(image: Image.Image) -> tuple[int, bool]:
    """Hash what an image looks like, and tell whether it is too flat for that.

    Notes
    -----
    The image in grey, shrunk to 32 x 32 pixels; its two-dimensional cosine transform (DCT-II,
    orthonormal); of the 64 lowest frequencies but the mean, by ``i**2 + j**2``, one bit each: is
    the coefficient above their median? So brightness and contrast do not matter, and shrinking or
    compressing an image flips a few bits at most. Mirrored or much cropped images are far apart.
    """
    # Grey as floating numbers: shrinking would round whole ones.
    grey = image.convert("L").convert("F").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(grey, dtype=np.float64)
    waves = scipy.fft.dctn(pixels, norm="ortho")[_LOW_ROWS, _LOW_COLUMNS]
    waves = np.round(waves, 3)  # zeros stay zeros, whatever the last digits of a processor
    bits = waves > np.median(waves)
    value = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
    return value, bool(pixels.std() < _FLAT_BELOW)


def _lowest_frequencies(n: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.divmod(np.arange(_SIDE * _SIDE), _SIDE)
    lowest = np.lexsort([rows, rows**2 + columns**2])[1 : n + 1]
    return rows[lowest], columns[lowest]


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_LOW_ROWS, _LOW_COLUMNS = _lowest_frequencies(64)
