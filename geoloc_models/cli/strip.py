"""Take metadata out of one's own photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._typer import BAD_INPUT, app, one_sentence_errors


@app.command()
@one_sentence_errors
def strip(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the stripped photos.", show_default=False),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the photos themselves.")
    ] = False,
    reencode: Annotated[
        bool,
        typer.Option(
            "--reencode",
            help="Take other kinds than JPEG, PNG and WebP too, and code them anew: HEIC and AVIF "
            "as JPEG, all others as PNG.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that the folder holds already.")
    ] = False,
) -> None:
    """Take GPS positions and all other metadata out of your photos.

    EXIF, XMP, IPTC, comments, thumbnails and what cameras hide behind the picture go; the pixels
    stay as they are, bit by bit, and so do the colour profile and which way is up. Every result is
    checked before it is written. What the picture itself shows stays in it.
    """
    from geoloc_models._errors import BrokenImageError
    from geoloc_models.photos.strip import strip_file

    if (output is None) == (not in_place):
        raise GeolocError(
            "Say where the stripped photos go: either --output FOLDER, or --in-place to replace "
            "the photos themselves."
        )
    jobs, n_other = _jobs(photos, output)
    n_done = 0
    refused: list[str] = []
    for source, target in jobs:
        try:
            strip_file(source, target, reencode=reencode, overwrite=overwrite)
            n_done += 1
        except (BrokenImageError, GeolocError, OSError) as error:
            refused.append(" ".join(str(error).split()))
    for reason in refused:
        typer.echo(f"Not stripped: {reason}", err=True)
    where = f" into {output}" if output is not None else " in place"
    typer.echo(f"{n_done} {'photo' if n_done == 1 else 'photos'} stripped{where}.")
    if n_other:
        typer.echo(
            f"{n_other} {'file that is' if n_other == 1 else 'files that are'} no photo left alone."
        )
    if refused:
        raise typer.Exit(BAD_INPUT)


def _jobs(photos: list[Path], output: Path | None) -> tuple[list[tuple[Path, Path | None]], int]:
    """Every photo with the file to write, and the number of other files in the folders."""
    from geoloc_models.photos.folders import find_photo_files
    from geoloc_models.photos.opening import is_photo

    jobs: list[tuple[Path, Path | None]] = []
    n_other = 0
    for photo in photos:
        if not photo.is_dir():
            if not photo.exists():
                raise GeolocError(f"There is no photo {photo}. Check the path.")
            jobs.append((photo, None if output is None else output / photo.name))
            continue
        for name in find_photo_files(photo).names:
            source = photo / name
            if not source.is_file() or not is_photo(str(source), name):
                n_other += 1  # members of tars too: these are not rewritten
                continue
            jobs.append((source, None if output is None else output / name))
    targets: dict[Path, Path] = {}
    for source, target in jobs:
        if target is not None and targets.setdefault(target, source) != source:
            raise GeolocError(
                f"{targets[target]} and {source} would both become {target}. Strip them apart."
            )
    if not jobs:
        raise GeolocError("There is no photo in what was named.")
    return jobs, n_other
