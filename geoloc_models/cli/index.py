"""Index one's own photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from geocells.output import echo
from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    import pandas as pd

    from geoloc_models.photos.folders import FolderScan

_MOST_COUNTRIES = 10
_MOST_NAMED = 5
_WHAT_OF_LIST = {
    "without_position.csv": "photos without coordinates",
    "unreadable.csv": "what could not be read",
}


def index(
    folder: Annotated[Path, Parameter(name="PHOTOS_DIR")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("photos.parquet"),
    coordinates: Path | None = None,
    keep_unplaced: Annotated[bool, Parameter(negative=())] = False,
    sea_tolerance_km: float = 20.0,
) -> None:
    """Make a table of your own photos, by their EXIF data.

    Photos are recognised by their content. Those without coordinates are listed in
    without_position.csv beside the table.

    Parameters
    ----------
    folder : Path
        Folder of photos, searched with all folders and tar files in it.
    output : Path
        Parquet file to write.
    coordinates : Path, optional
        Table with latitude, longitude and id or path. Its coordinates replace those in the photos;
        its other columns are kept.
    keep_unplaced : bool
        Keep photos without coordinates in the table.
    sea_tolerance_km : float
        Photos at sea belong to the nearest country within this distance, in kilometres.
    """
    from geoloc_models.files import refuse_input
    from geoloc_models.photos.folders import scan_photos

    if output.suffix.lower() not in (".parquet", ".pq"):
        raise GeolocError(f"The table is written as Parquet; name a .parquet file, not {output}.")
    if output.is_dir():
        raise GeolocError(f"{output} is a folder; name the .parquet file to write.")
    for name in (output.name, *_WHAT_OF_LIST):
        refuse_input(output.with_name(name), coordinates)
    scan = scan_photos(
        folder,
        coordinates=coordinates,
        root=output.parent,
        keep_unplaced=keep_unplaced,
        sea_tolerance_km=sea_tolerance_km,
        progress=True,
    )
    lists = scan.save(output)
    _report(scan, coordinates)
    echo(f"\n{_counted(len(scan.frame), 'photo')} in {output}.")
    for path in lists:
        echo(f"Listed in {path}: {_WHAT_OF_LIST[path.name]}.")


def _report(scan: FolderScan, coordinates: Path | None) -> None:
    lines = [
        ("photos", scan.n_photos),
        ("  placed by GPS", scan.n_from_exif),
        ("  placed by Google Takeout", scan.n_from_sidecar),
        ("  placed by the table", scan.n_from_table),
        ("  without coordinates", len(scan.without_position)),
        ("could not be read", len(scan.unreadable)),
        ("other files", scan.n_other_files),
    ]
    for what, count in lines:
        if count or what == "photos":
            echo(f"{what:<28}{count:>10,}")
    if len(scan.unreadable):
        first = scan.unreadable.iloc[0]
        echo(f"First that could not be read: {first['path']}, {first['reason']}.")
    if scan.n_unmatched and coordinates is not None:
        echo(f"{_counted(scan.n_unmatched, 'row')} of {coordinates} matched no photo here.")
    _report_countries(scan.frame)


def _report_countries(frame: pd.DataFrame) -> None:
    countries = frame["country"].value_counts()
    if len(countries):
        shown = [f"{code} {count:,}" for code, count in countries.head(_MOST_COUNTRIES).items()]
        more = len(countries) - len(shown)
        echo(f"Countries: {', '.join(shown)}{f' and {more} more' if more else ''}.")
    at_sea = frame.loc[frame["country"].isna() & frame["latitude"].notna(), "path"]
    if len(at_sea):
        etc = ", ..." if len(at_sea) > _MOST_NAMED else ""
        echo(
            f"{_counted(len(at_sea), 'photo')} at sea: {', '.join(at_sea[:_MOST_NAMED])}{etc}. "
            "Training leaves them out, unless the column country is filled in."
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
