"""Take metadata out of one's own photos."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells.output import echo
from geocells.program import BAD_INPUT
from geoloc_models.errors import GeolocError


def strip(
    photos: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    in_place: bool = False,
    reencode: bool = False,
    overwrite: bool = False,
) -> None:
    """Remove GPS positions and all other metadata from your photos.

    EXIF, XMP, IPTC, comments, thumbnails and data that cameras append are removed. Pixels, colour
    profile and orientation stay the same, which is checked before a file is written.

    Parameters
    ----------
    photos : list of Path
        Photos, or folders of photos.
    output : Path, optional
        Folder for the stripped photos.
    in_place : bool
        Replace the photos themselves.
    reencode : bool
        Also take other formats than JPEG, PNG and WebP, and encode them anew: HEIC and AVIF as
        JPEG, others as PNG.
    overwrite : bool
        Replace files that are in the folder already.
    """
    from geoloc_models.errors import BrokenImageError
    from geoloc_models.files import locked
    from geoloc_models.photos.strip import strip_file

    if (output is None) == (not in_place):
        raise GeolocError(
            "Say where the stripped photos go: either --output FOLDER, or --in-place to replace "
            "the photos themselves."
        )
    jobs, n_other = _jobs(photos, output)
    n_stripped = 0
    with nullcontext() if output is None else locked(output):
        for source, target in jobs:
            try:
                strip_file(source, target, reencode=reencode, overwrite=overwrite)
                n_stripped += 1
            except (BrokenImageError, GeolocError, OSError) as error:
                if isinstance(error, OSError) and error.filename != str(source):
                    raise  # no other photo could be written either
                echo(f"Not stripped: {' '.join(str(error).split())}", error=True)
    where = f" into {output}" if output is not None else " in place"
    echo(f"{n_stripped} {'photo' if n_stripped == 1 else 'photos'} stripped{where}.")
    if n_other:
        echo(f"{n_other} other {'file' if n_other == 1 else 'files'} left alone.")
    if n_stripped < len(jobs):
        raise SystemExit(BAD_INPUT)


def _jobs(photos: list[Path], output: Path | None) -> tuple[list[tuple[Path, Path | None]], int]:
    """Every photo with the file to write, and the number of other files in the folders."""
    from geoloc_models.photos.opening import is_photo
    from geoloc_models.photos.photo_files import find_photo_files

    names: list[tuple[Path, str]] = []  # folder, and the photo's name in it
    n_other = 0
    for photo in photos:
        if photo.is_dir():
            files = find_photo_files(photo).names
            # Members of tars are no files of their own, and not rewritten.
            in_folder = [f for f in files if (photo / f).is_file() and is_photo(str(photo / f), f)]
            names += [(photo, name) for name in in_folder]
            n_other += len(files) - len(in_folder)
        elif photo.exists():
            names.append((photo.parent, photo.name))
        else:
            raise GeolocError(f"There is no photo {photo}. Check the path.")
    if not names:
        raise GeolocError("There is no photo in the named files and folders.")
    if output is None:
        return [(folder / name, None) for folder, name in names], n_other
    source_of_target: dict[Path, Path] = {}
    for folder, name in names:
        source = source_of_target.setdefault(output / name, folder / name)
        if source != folder / name:
            raise GeolocError(
                f"{source} and {folder / name} would both become {output / name}. Strip them apart."
            )
    return [(source, target) for target, source in source_of_target.items()], n_other
