"""Photos and tars for the tests: pixels, EXIF data and shards made on the spot."""

import io
import struct
import tarfile

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational


def noise(width, height, seed=0):
    """An image that no two seeds share."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def scene(seed, size=(200, 150)):
    """Blobs of colour of all sizes: a picture with structure, like a photo."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24):
        blobs = rng.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
        grown = Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)
        picture += np.asarray(grown, dtype=float) * (2.0 / cells)
    picture *= 255 / picture.max()
    return Image.fromarray(picture.astype(np.uint8))


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


def many_scans(n_scans=3000, size=(800, 600)):
    """A progressive JPEG that goes over its picture again and again, at 40 bytes a time."""
    content = encoded(Image.new("RGB", size, (9, 99, 9)), progressive=True)
    last = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + last * n_scans + b"\xff\xd9"


def sequential_scans(n_scans, size=(800, 600)):
    """A JPEG that is not progressive, of many scans of a third of its components each."""
    content = encoded(Image.new("L", size), quality=50)
    frame = content.index(b"\xff\xc0")
    scan = content.index(b"\xff\xda")
    components = bytes([3, 1, 17, 0, 2, 17, 0, 3, 17, 0])
    head = content[:frame] + b"\xff\xc0\0\x11" + content[frame + 4 : frame + 9] + components
    between = content[frame + 13 : scan]
    return head + between + content[scan:-2] * n_scans + b"\xff\xd9"


def jpeg_in_tiff(content, size):
    """A TIFF of one strip that is a JPEG."""
    width, height = size
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 158), (259, 3, 1, 7)]
    entries += [(262, 3, 1, 6), (273, 4, 1, 164), (277, 3, 1, 3), (278, 4, 1, height)]
    entries += [(279, 4, 1, len(content)), (530, 3, 2, 2 << 16 | 2)]
    ifd = struct.pack("<H", len(entries))
    ifd += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    head = b"II*\0" + struct.pack("<I", 8) + ifd
    return head.ljust(158, b"\0") + struct.pack("<3H", 8, 8, 8) + content


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
