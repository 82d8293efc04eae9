"""What a camera noted in a photo's EXIF data: where, when, and which way up."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from geoloc_models.photos.opening import Openable, open_header, orientation_of

logger = logging.getLogger(__name__)

_SIGN_OF_REFERENCE = {
    "latitude": {"N": 1.0, "S": -1.0},
    "longitude": {"E": 1.0, "W": -1.0},
}
_TAGS_OF_TIME = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)
_TIME = re.compile(r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+\-](?:0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True)
class PhotoExif:
    """What the EXIF data say that matters here; None where they say nothing sensible.

    Parameters
    ----------
    latitude, longitude : float or None
        Degrees; either both or neither.
    time : str or None
        When it was taken, in ISO 8601: ``2019-07-01T12:34:56``, local time, with ``+02:00`` behind
        it where the camera noted its offset.
    orientation : int
        1 (upright) to 8, as EXIF counts them.
    """

    latitude: float | None = None
    longitude: float | None = None
    time: str | None = None
    orientation: int = 1

    @property
    def has_position(self) -> bool:
        """Whether the photo says where it was taken."""
        return self.latitude is not None


def read_exif(photo: Openable) -> PhotoExif:
    """Read position, time and orientation from a photo's EXIF data.

    Parameters
    ----------
    photo : path, bytes, binary file or pillow image
        JPEG, TIFF, PNG, WebP, AVIF, or HEIC where the package pillow-heif is installed.

    Returns
    -------
    PhotoExif
        Damaged EXIF data count as none; they never raise.

    Raises
    ------
    BrokenImageError
        If the file is no photo.

    Notes
    -----
    A position needs both coordinates with their references (N or S, E or W). A negative number, which the standard
    does not have, is read as south or west; with N or E it counts as none. So do a part with a zero denominator,
    minutes or seconds from 60 on, a coordinate out of range, and 0, 0, which devices write before they know better.
    The date of the last change is no date of taking.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> exif = Image.Exif()
    >>> exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 36.84), 3: "E", 4: (8.0, 32.0, 30.12)})
    >>> file = BytesIO()
    >>> Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    >>> found = read_exif(file)
    >>> round(found.latitude, 4), round(found.longitude, 4)
    (47.3769, 8.5417)
    """
    with open_header(photo) as image:
        return exif_of(image)


def exif_of(image: Image.Image) -> PhotoExif:
    """Position, time and orientation of an opened image; see :func:`read_exif`."""
    latitude, longitude = _position(_directory(image, ExifTags.IFD.GPSInfo))
    time = _time(_directory(image, ExifTags.IFD.Exif))
    return PhotoExif(latitude, longitude, time, orientation_of(image))


def _directory(image: Image.Image, directory: ExifTags.IFD) -> dict[int, Any]:
    try:
        return dict(image.getexif().get_ifd(directory))
    except Exception:  # as above
        logger.debug("damaged EXIF data", exc_info=True)
        return {}


def _position(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(gps, "latitude", ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef)
    longitude = _degrees(gps, "longitude", ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef)
    if latitude is None or longitude is None or not is_position(latitude, longitude):
        return None, None
    return latitude, longitude


def is_position(latitude: float, longitude: float) -> bool:
    """Whether degrees are on the globe, and not the 0, 0 of devices that know no position yet."""
    return abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude != 0 or longitude != 0)


def _degrees(gps: dict[int, Any], name: str, tag: int, reference_tag: int) -> float | None:
    """One coordinate in signed degrees, None where it is missing or makes no sense."""
    parts = _numbers(gps.get(tag))
    if not 1 <= len(parts) <= 3 or not all(math.isfinite(part) for part in parts):
        return None
    size = abs(parts[0])
    for part, unit in zip(parts[1:], (60.0, 3600.0), strict=False):
        # A writer may have rounded 59.9999 up to 60.
        if not 0 <= part <= 60:
            return None
        size += part / unit
    reference = _text(gps.get(reference_tag)).strip().upper()[:1]
    is_negative = math.copysign(1.0, parts[0]) < 0
    if reference == "":
        return -size if is_negative else None
    sign = _SIGN_OF_REFERENCE[name].get(reference)
    if sign is None or (is_negative and size > 0 and sign > 0):
        return None
    return sign * size


def _numbers(value: Any) -> list[float]:
    """Parts of a coordinate; a zero denominator gives NaN, text that is not a number gives no parts."""
    if isinstance(value, bytes | str):
        text = _text(value).replace(",", " ").replace(":", " ")
        parts: tuple[Any, ...] = tuple(text.split())
    elif isinstance(value, tuple | list):
        parts = tuple(value)
    else:
        parts = () if value is None else (value,)
    numbers = []
    for part in parts:
        try:
            numbers.append(float(part))
        except ZeroDivisionError:
            numbers.append(math.nan)
        except (TypeError, ValueError, OverflowError):
            return []
    return numbers


def _time(details: dict[int, Any]) -> str | None:
    for tag, offset_tag in _TAGS_OF_TIME:
        match = _TIME.match(_text(details.get(tag)).strip())
        if match is None:
            continue
        try:
            time = datetime(*(int(part) for part in match.groups())).isoformat()  # type: ignore[arg-type]
        except ValueError:  # 0000:00:00, or a 31st of June
            continue
        offset = _OFFSET.fullmatch(_text(details.get(offset_tag)).strip())
        return time + (offset[0] if offset else "")
    return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.replace("\0", "") if isinstance(value, str) else ""
