"""Index one's own photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._typer import app, one_sentence_errors

if TYPE_CHECKING:
    import pandas as pd

    from geoloc_models.photos.folders import FolderScan

_MOST_COUNTRIES = 10
_WHAT_OF_LIST = {
    "without_position.csv": "photos without coordinates",
    "unreadable.csv": "what could not be read",
}


@app.command()
@one_sentence_errors
def index(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="PHOTOS_DIR",
            help="Folder of photos, gone through with all folders and tars in it.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file to write.")] = Path(
        "photos.parquet"
    ),
    coordinates: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet with latitude, longitude and id or path; its coordinates go before "
            "those in the photos.",
            show_default="GPS positions in the photos' EXIF data",
        ),
    ] = None,
    keep_unplaced: Annotated[
        bool,
        typer.Option("--keep-unplaced", help="Keep photos without coordinates in the table."),
    ] = False,
    sea_tolerance_km: Annotated[
        float, typer.Option(help="How far off a country's shore a photo may lie, in kilometres.")
    ] = 20.0,
    threads: Annotated[int, typer.Option(help="Files that are read at a time.")] = 8,
) -> None:
    """Make a table of your own photos: where and when each was taken, by its EXIF data.

    Photos are told from other files by their content. Those without coordinates are listed in
    without_position.csv beside the table. GPS positions become the truth to learn from and to
    measure against; a model sees pixels only.
    """
    from geoloc_models.photos.folders import scan_photos

    if output.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"The table is written as Parquet; name a .parquet file, not {output}.")
    if output.is_dir():
        raise GeolocError(f"{output} is a folder; name the .parquet file to write.")
    found = scan_photos(
        folder,
        coordinates=coordinates,
        root=output.parent,
        keep_unplaced=keep_unplaced,
        sea_tolerance_km=sea_tolerance_km,
        threads=threads,
        progress=True,
    )
    lists = found.save(output)
    _tell(found, coordinates)
    typer.echo(f"\n{_counted(len(found.frame), 'photo')} in {output}.")
    for path in lists:
        typer.echo(f"Listed in {path}: {_WHAT_OF_LIST[path.name]}.")


def _tell(found: FolderScan, coordinates: Path | None) -> None:
    lines = [
        ("photos", found.n_photos),
        ("  placed by GPS", found.n_from_exif),
        ("  placed by Google Takeout", found.n_from_sidecar),
        ("  placed by the table", found.n_from_table),
        ("  without coordinates", len(found.without_position)),
        ("could not be read", len(found.unreadable)),
        ("other files", found.n_other_files),
    ]
    for what, count in lines:
        if count or what == "photos":
            typer.echo(f"{what:<28}{count:>10,}")
    if len(found.unreadable):
        first = found.unreadable.iloc[0]
        typer.echo(f"First that could not be read: {first['path']}, {first['reason']}.")
    if found.n_unmatched and coordinates is not None:
        typer.echo(f"{_counted(found.n_unmatched, 'row')} of {coordinates} matched no photo here.")
    _tell_countries(found.frame)


def _tell_countries(frame: pd.DataFrame) -> None:
    countries = frame["country"].value_counts()
    if len(countries):
        shown = [f"{code} {count:,}" for code, count in countries.head(_MOST_COUNTRIES).items()]
        more = len(countries) - len(shown)
        typer.echo(f"Countries: {', '.join(shown)}{f' and {more} more' if more else ''}.")
    at_sea = int((frame["country"].isna() & frame["latitude"].notna()).sum())
    if at_sea:
        typer.echo(
            f"{_counted(at_sea, 'photo')} at sea {'has' if at_sea == 1 else 'have'} no country; "
            "training needs one, or the row removed."
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
