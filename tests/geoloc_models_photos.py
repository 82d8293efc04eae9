"""Photos and tars for the tests: pixels, EXIF data and shards made on the spot."""

import io
import tarfile

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational


def noise(width, height, seed=0):
    """An image that no two seeds share."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def degrees_minutes_seconds(value):
    """A coordinate as cameras write it, in ten-thousandths of a second."""
    total = round(abs(value) * 3600 * 10_000)
    degrees, rest = divmod(total, 3600 * 10_000)
    minutes, seconds = divmod(rest, 60 * 10_000)
    return (IFDRational(degrees, 1), IFDRational(minutes, 1), IFDRational(seconds, 10_000))


def gps_exif(latitude=None, longitude=None, *, orientation=None, time=None, offset=None):
    """EXIF data as a camera writes them."""
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    if latitude is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                1: "N" if latitude >= 0 else "S",
                2: degrees_minutes_seconds(latitude),
                3: "E" if longitude >= 0 else "W",
                4: degrees_minutes_seconds(longitude),
            }
        )
    if time is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
    if offset is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.OffsetTimeOriginal] = offset
    for directory in list(exif._ifds):
        exif[directory] = 0  # some of Pillow's writers forget a directory that is not listed
    return exif


def encoded(image, kind="JPEG", **options):
    """Bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_tar(path, content_of_name, *, format=tarfile.PAX_FORMAT):
    """Write a tar of files with these contents; a value of None makes a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in content_of_name.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path
