"""A map in a browser: photos at their answers, and how the probability lies around them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image

from geocells import web_map

FloatArray = npt.NDArray[np.float64]

MOST_DETAILED = 50
"""Photos whose probabilities are drawn; of the others the answer alone."""

_MOST_CORNERS = 20_000  # of a photo's cells, before their outlines are simplified
_SURFACE_PIXELS = 256
_SURFACE_MASS = 0.98  # what the surface leaves out may lie anywhere on earth
_SURFACE_MARGIN = 0.15
_BLUR_PIXELS = 4.0
_MOST_NORTHERN = 85.0  # Mercator has no pole
_LEAST_REACH_KM = 25.0  # around one answer, so that a map shows where on earth it is
_ICON_PIXELS = 112  # twice what is shown, for fine screens
_POPUP_PIXELS = 240  # widest picture in a popup
_STOPS = np.array([(254, 224, 144), (244, 109, 67), (165, 0, 38)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class RegionCell:
    """A cell of a credible region, or a place of a gallery.

    Parameters
    ----------
    latitude, longitude : float
        Of its point, in degrees.
    probability : float
        That the photo was taken there.
    in_core : bool
        Whether it belongs to the smallest set that holds half of the probability.
    outline : polygon, optional
        In (longitude, latitude) degrees.
    """

    latitude: float
    longitude: float
    probability: float
    in_core: bool
    outline: Any = None


@dataclass(frozen=True, eq=False)
class MappedPhoto:
    """What a map shows of a photo.

    Parameters
    ----------
    name : str
        Any text; it is shown, never run.
    latitude, longitude : float
        The answer, in degrees.
    facts : tuple of (str, str)
        Titles and texts.
    thumbnail : PIL.Image.Image, optional
        RGB; its pixels alone go into the map.
    radius_km : float, optional
        The 90 % radius.
    region : tuple of RegionCell
        Of 90 % of the probability.
    surface : tuple of ndarray, optional
        (m, 2) places in degrees and the (m,) probability that each of them bears.
    exif : tuple of float, optional
        Latitude and longitude that the photo's own EXIF data say.
    """

    name: str
    latitude: float
    longitude: float
    facts: tuple[tuple[str, str], ...] = ()
    thumbnail: Image.Image | None = None
    radius_km: float | None = None
    region: tuple[RegionCell, ...] = ()
    surface: tuple[FloatArray, FloatArray] | None = None
    exif: tuple[float, ...] | None = None


def draw_map(
    photos: Sequence[MappedPhoto],
    *,
    tiles: str | None = "OpenStreetMap",
    credit: str | None = None,
) -> web_map.MapPage:
    """Draw photos at their answers.

    Parameters
    ----------
    photos : sequence of MappedPhoto
        Of more than :data:`MOST_DETAILED`, the probabilities of the first ones are drawn. Several
        photos take turns: one's details are seen at a time.
    tiles : str or None
        Background: a name of the package xyzservices; None asks no server, and shows the coasts and
        borders that lie below it.
    credit : str, optional
        Text below the legend: whose data the facts are.

    Returns
    -------
    MapPage

    Raises
    ------
    ValueError
        If the tiles are unknown.
    ModuleNotFoundError
        If jinja2 or xyzservices is missing.
    """
    scripts, styles = [_package_file("map.js")], [_package_file("map.css")]
    if len(photos) > 1:
        scripts.insert(0, _package_file("leaflet.markercluster.js"))
        styles.insert(0, _package_file("leaflet.markercluster.css"))
    content = map_content(photos, tiles=tiles, credit=credit)
    return web_map.map_page("Where photos were taken", content, scripts, styles)


def map_content(
    photos: Sequence[MappedPhoto], *, tiles: str | None, credit: str | None = None
) -> dict[str, Any]:
    """What ``drawMap`` of map.js draws, as JSON; the parameters are those of :func:`draw_map`."""
    bounds = _bounds(photos)
    return {
        "tiles": None if tiles is None else web_map.tile_source(tiles),
        "borders": web_map.country_borders(bounds),
        "bounds": bounds,
        "credit": credit,
        "photos": [
            _photo_content(photo, detailed=number < MOST_DETAILED)
            for number, photo in enumerate(photos)
        ],
    }


def _photo_content(photo: MappedPhoto, *, detailed: bool) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": photo.name,
        "position": [photo.latitude, photo.longitude],
        "facts": [list(fact) for fact in photo.facts],
        "picture": None,
        "details": None,
    }
    if photo.thumbnail is not None:
        # With its size given, a popup is laid out, and the map moved to show it, before it is loaded.
        scale = min(1.0, _POPUP_PIXELS / photo.thumbnail.width)
        width, height = (round(scale * side) for side in photo.thumbnail.size)
        content["picture"] = {
            "url": data_url(photo.thumbnail, "JPEG"),
            "icon": data_url(_square(photo.thumbnail), "JPEG"),
            "width": width,
            "height": height,
        }
    if detailed:
        surface = None
        if photo.surface is not None and len(photo.surface[1]):
            pixels, bounds = probability_surface(*photo.surface)
            surface = {"url": data_url(pixels, "PNG"), "bounds": bounds}
        content["details"] = {
            "surface": surface,
            "region": _region(photo.region) if photo.region else None,
            "radius_km": photo.radius_km,
            "exif": photo.exif,
        }
    return content


def _region(region: Sequence[RegionCell]) -> dict[str, Any]:
    """Cells as GeoJSON, the likeliest last, above the others."""
    highest = max(cell.probability for cell in region)
    outlines = [cell.outline for cell in region if cell.outline is not None]
    tolerance = 0.0
    if outlines and shapely.get_num_coordinates(outlines).sum() > _MOST_CORNERS:
        west, south, east, north = shapely.total_bounds(outlines).tolist()
        tolerance = max(east - west, north - south) / 2000.0
    features = []
    for cell in reversed(region):
        shape = cell.outline
        if shape is None:
            shape = shapely.Point(cell.longitude, cell.latitude)
        elif tolerance:
            shape = shapely.simplify(shape, tolerance, preserve_topology=True)
        features.append(
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(shape),
                "properties": {
                    "probability": f"{100 * cell.probability:.2g} %",
                    "in_core": cell.in_core,
                    "opacity": round(0.08 + 0.35 * cell.probability / highest, 3),
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def probability_surface(
    coords: FloatArray, shares: FloatArray
) -> tuple[Image.Image, list[list[float]]]:
    """Picture of where the probability lies, for the Mercator projection of web maps.

    Parameters
    ----------
    coords : ndarray
        (m, 2) latitude and longitude in degrees.
    shares : ndarray
        (m,) probability that each of them bears, above 0.

    Returns
    -------
    picture : PIL.Image.Image
        RGBA, 256 pixels at its longer side; the higher the density, the darker and the less
        transparent.
    bounds : list
        ``[[south, west], [north, east]]`` in degrees; east may be beyond 180.

    Notes
    -----
    Shares are gathered in pixels and blurred by a Gaussian of 4 pixels. The box holds the places
    with 98 % of the probability and some margin, by the shortest way around from the likeliest.
    """
    from scipy import ndimage

    order = np.argsort(-shares, kind="stable")
    belongs = np.cumsum(shares[order]) - shares[order] < _SURFACE_MASS * shares.sum()
    places, weights = coords[order][belongs], shares[order][belongs]
    middle = places[0, 1]
    east = middle + np.mod(places[:, 1] - middle + 180.0, 360.0) - 180.0
    north = _mercator(places[:, 0])
    x_range, y_range = _widened(east), _widened(north)
    longest = max(x_range[1] - x_range[0], y_range[1] - y_range[0])
    width, height = (
        max(16, round(_SURFACE_PIXELS * (high - low) / longest)) for low, high in (x_range, y_range)
    )
    density, _, _ = np.histogram2d(
        north, east, bins=(height, width), range=(y_range, x_range), weights=weights
    )
    density = ndimage.gaussian_filter(density, _BLUR_PIXELS, mode="constant")[::-1]
    share = np.sqrt(density / density.max())
    pixels = np.empty((height, width, 4))
    for channel in range(3):
        pixels[..., channel] = np.interp(share, np.linspace(0, 1, len(_STOPS)), _STOPS[:, channel])
    pixels[..., 3] = 200.0 * np.clip(share * 1.5 - 0.05, 0.0, 1.0)
    south_north = _latitude(np.array(y_range)).tolist()
    bounds = [[south_north[0], x_range[0]], [south_north[1], x_range[1]]]
    return Image.fromarray(pixels.round().astype(np.uint8), "RGBA"), bounds


def _widened(values: FloatArray) -> tuple[float, float]:
    """Range of values with a margin; a degree at the least."""
    low, high = float(values.min()), float(values.max())
    margin = max(_SURFACE_MARGIN * (high - low), 0.5)
    return low - margin, high + margin


def _mercator(latitude: FloatArray) -> FloatArray:
    """Northing in degrees of longitude."""
    clipped = np.radians(np.clip(latitude, -_MOST_NORTHERN, _MOST_NORTHERN))
    northing: FloatArray = np.degrees(np.arcsinh(np.tan(clipped)))
    return northing


def _latitude(northing: FloatArray) -> FloatArray:
    latitude: FloatArray = np.degrees(np.arctan(np.sinh(np.radians(northing))))
    return latitude


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    middle = image.crop((left, top, left + side, top + side))
    return middle.resize((_ICON_PIXELS, _ICON_PIXELS))


def picture_bytes(image: Image.Image, kind: str) -> bytes:
    """A picture as a file: pixels alone, whatever else the image knows.

    Parameters
    ----------
    image : PIL.Image.Image
        Of a mode that the format takes.
    kind : {"JPEG", "PNG"}
        Format.
    """
    file = BytesIO()
    Image.fromarray(np.asarray(image)).save(file, kind, quality=90)
    return file.getvalue()


def data_url(image: Image.Image, kind: str) -> str:
    """Put a picture, as :func:`picture_bytes` makes it, inside a link."""
    content = base64.b64encode(picture_bytes(image, kind)).decode()
    return f"data:image/{kind.lower()};base64,{content}"


def _bounds(photos: Sequence[MappedPhoto]) -> list[list[float]] | None:
    """Box of the answers; of one photo with its region, or else its radius: [[south, west], [north, east]]."""
    if not photos:
        return None
    boxes: list[tuple[float, ...]] = []
    for photo in photos:
        boxes.append((photo.longitude, photo.latitude, photo.longitude, photo.latitude))
        if photo.exif is not None:
            boxes.append((photo.exif[1], photo.exif[0], photo.exif[1], photo.exif[0]))
    if len(photos) == 1:
        (photo,) = photos
        for cell in photo.region:
            corner = (cell.longitude, cell.latitude)
            bounds = (*corner, *corner) if cell.outline is None else cell.outline.bounds
            boxes.append(tuple(float(value) for value in bounds))
        reach_km = _LEAST_REACH_KM if photo.region else photo.radius_km or _LEAST_REACH_KM
        north = min(reach_km / 111.2, 90.0)
        east = min(north / max(np.cos(np.radians(photo.latitude)), 0.05), 180.0)
        southern = max(photo.latitude - north, -_MOST_NORTHERN)
        northern = min(photo.latitude + north, _MOST_NORTHERN)
        boxes.append((photo.longitude - east, southern, photo.longitude + east, northern))
    west, south = np.min([box[:2] for box in boxes], axis=0).tolist()
    east, north = np.max([box[2:] for box in boxes], axis=0).tolist()
    return [[south, west], [north, east]]


@cache
def _package_file(name: str) -> str:
    """Text of a file that lies beside this module: Leaflet's own, or this map's."""
    return files("geoloc_models.inference").joinpath("leaflet", name).read_text(encoding="utf-8")
