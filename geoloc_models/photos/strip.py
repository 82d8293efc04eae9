"""Take metadata, the GPS position above all, out of one's own photos; the pixels stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageSequence

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.files import replacing
from geoloc_models.photos.containers import bare_jpeg, bare_png, bare_webp
from geoloc_models.photos.exif import exif_of
from geoloc_models.photos.opening import (
    naming_errors,
    open_header,
    open_photo,
    orientation_of,
)

_BARE: dict[str, Callable[[bytes, int], bytes]] = {
    "JPEG": bare_jpeg,
    "MPO": bare_jpeg,
    "PNG": bare_png,
    "WEBP": bare_webp,
}
# Kinds whose pixels were coded with losses: as PNG they would grow tenfold for nothing.
_LOSSY = {"HEIF", "AVIF"}
_JPEG_QUALITY = 95
_ORIENTATION = 0x0112
# What Pillow tells of a picture itself, in the info of a file without metadata.
_METADATA_KEYS = {
    "exif",
    "xmp",
    "XML:com.adobe.xmp",
    "photoshop",
    "comment",
    "Raw profile type exif",
    "Raw profile type iptc",
    "Raw profile type xmp",
    "mp",
    "mpoffset",
    "flashpix",
}


def strip_photo(content: bytes, name: str) -> bytes:
    """Photo without its metadata, its coded pixels as they were.

    Parameters
    ----------
    content : bytes
        A JPEG, PNG or WebP file.
    name : str
        What errors call the photo.

    Returns
    -------
    bytes
        A file of the same kind without EXIF, XMP, IPTC, text, comments, thumbnails and whatever
        follows the picture. It keeps the colour profile and, in EXIF data of this one entry, the
        orientation. Nothing is decoded and coded again.

    Raises
    ------
    BrokenImageError
        If the photo is damaged or of another kind, or if the result does not show the same picture
        or still tells more than its pixels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from geoloc_models.photos import strip_photo
    >>> bare = strip_photo(Path("photos/0.jpg").read_bytes(), "0.jpg")
    >>> b"Exif" in bare
    False
    """
    with open_header(content, name=name) as image:
        kind, orientation = str(image.format), orientation_of(image)
    if kind not in _BARE:
        raise BrokenImageError(
            f"is a {kind} image; only JPEG, PNG and WebP can be stripped without coding them again "
            "(--reencode does)",
            name,
        )
    with naming_errors(name):
        bare = _BARE[kind](content, orientation)
    check_stripped(content, bare, name)
    return bare


def reencode_photo(content: bytes, name: str) -> tuple[bytes, str]:
    """Photo of any kind coded anew from its pixels alone, upright.

    Returns
    -------
    content : bytes
        A JPEG of quality 95 of HEIC and AVIF, a PNG of all others; with the colour profile.
    suffix : str
        ``.jpg`` or ``.png``.

    Raises
    ------
    BrokenImageError
        If the photo cannot be read, or is an animation.
    """
    with open_header(content, name=name) as image:
        with naming_errors(name):  # looks for further pictures, which may be damaged
            n_frames = getattr(image, "n_frames", 1)
        if n_frames > 1:
            raise BrokenImageError(
                "holds several pictures, of which coding anew would keep the first only", name
            )
        profile = image.info.get("icc_profile")
        lossy = image.format in _LOSSY
    pixels = open_photo(content, name=name)
    options = {"icc_profile": profile} if profile else {}
    options |= {"quality": _JPEG_QUALITY, "subsampling": 0} if lossy else {}
    file = BytesIO()
    pixels.save(file, "JPEG" if lossy else "PNG", **options)
    return file.getvalue(), ".jpg" if lossy else ".png"


def strip_file(
    source: str | Path,
    target: str | Path | None = None,
    *,
    reencode: bool = False,
    overwrite: bool = False,
) -> Path:
    """Strip a photo file; see :func:`strip_photo`.

    Parameters
    ----------
    source : path
        The photo.
    target : path, optional
        File to write; by default the photo itself is replaced. Written whole or not at all; it gets
        the permissions of the source.
    reencode : bool
        Whether photos other than JPEG, PNG and WebP are coded anew, see :func:`reencode_photo`; the
        target's suffix changes then.
    overwrite : bool
        Whether a target that exists is replaced.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    BrokenImageError
        If the photo cannot be read or stripped.
    GeolocError
        If the target exists, or a photo is to be replaced in place but would change its kind.
    """
    source = Path(source)
    written = source if target is None else Path(target)
    try:
        content = source.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise BrokenImageError(f"cannot be read ({reason})", str(source)) from error
    with open_header(content, name=str(source)) as image:
        can_be_stripped = image.format in _BARE
    if can_be_stripped or not reencode:
        bare = strip_photo(content, str(source))
    elif target is None:
        raise GeolocError(
            f"{source} would become another kind of file; name a folder for it (--output)."
        )
    else:
        bare, suffix = reencode_photo(content, str(source))
        written = written.with_suffix(suffix)
    if target is None:
        written = written.resolve()  # a link stays a link: what it leads to is replaced
    elif written.exists() and not overwrite:
        raise GeolocError(f"{written} exists already; name another folder, or --overwrite it.")
    with replacing(written) as partial:
        partial.write_bytes(bare)
        shutil.copymode(source, partial)
    return written


def check_stripped(before: bytes, after: bytes, name: str) -> None:
    """Compare the pictures of a photo before and after, pixel by pixel, and look for metadata.

    Raises
    ------
    BrokenImageError
        If a pixel, the orientation or the colour profile differs, or metadata are left.
    """
    with (
        naming_errors(name),
        open_header(before, name=name) as old,
        open_header(after, name=name) as new,
    ):
        left = _left_over(new)
        same = (
            orientation_of(old) == orientation_of(new)
            and old.info.get("icc_profile") == new.info.get("icc_profile")
            and _same_pictures(old, new)
        )
    if not same:
        raise BrokenImageError("would not look the same without its metadata", name)
    if left:
        raise BrokenImageError(f"still holds metadata after stripping ({', '.join(left)})", name)


def _same_pictures(old: Image.Image, new: Image.Image) -> bool:
    if old.format == "MPO":  # its further pictures are left out
        return _same_picture(old, new)
    if getattr(old, "n_frames", 1) != getattr(new, "n_frames", 1):
        return False
    return all(
        _same_picture(one, other)
        for one, other in zip(ImageSequence.Iterator(old), ImageSequence.Iterator(new), strict=True)
    )


def _same_picture(old: Image.Image, new: Image.Image) -> bool:
    return (old.size, old.mode, old.getpalette()) == (new.size, new.mode, new.getpalette()) and (
        old.tobytes() == new.tobytes()
    )


def _left_over(image: Image.Image) -> list[str]:
    """Names of the metadata that an image still holds, but for the orientation."""
    image.load()
    left = sorted(key for key in image.info if key in _METADATA_KEYS - {"exif"})
    left += sorted(getattr(image, "text", {}))
    tags = set(image.getexif())
    if tags - {_ORIENTATION} or exif_of(image).has_position:
        left.append("exif")
    return left
