"""Choose photos from metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from geocells._output import say
from geoloc_models._errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.tables.select import MetadataReport

_COUNTRIES = Group("Countries", sort_key=2)
_LAYOUT = Group("Layout of the files", sort_key=3)
_COUNTRIES_SHOWN = 20


@Parameter(name="*", group=Group("Columns", sort_key=1))
@dataclass(frozen=True)
class ColumnOptions:
    """Columns of the metadata; by default the preset's, or those with usual names.

    Parameters
    ----------
    id_column : str, optional
        Column of ids.
    latitude_column : str, optional
        Column of latitudes, in degrees.
    longitude_column : str, optional
        Column of longitudes, in degrees.
    url_column : str, optional
        Column of addresses to download from.
    path_column : str, optional
        Column of image files.
    user_column : str, optional
        Column of photographers.
    time_column : str, optional
        Column of times.
    group_column : str, optional
        Column of groups that must not be split between training and test.
    country_column : str, optional
        Column of countries, by code or name. Default: from the coordinates, by polygons.
    """

    id_column: str | None = None
    latitude_column: str | None = None
    longitude_column: str | None = None
    url_column: str | None = None
    path_column: str | None = None
    user_column: str | None = None
    time_column: str | None = None
    group_column: str | None = None
    country_column: str | None = None


def select(
    metadata: Annotated[list[Path], Parameter(name="METADATA")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("photos.parquet"),
    columns: ColumnOptions = ColumnOptions(),
    countries: Annotated[str | None, Parameter(group=_COUNTRIES)] = None,
    countries_file: Annotated[Path | None, Parameter(group=_COUNTRIES)] = None,
    countries_layer: Annotated[str | None, Parameter(group=_COUNTRIES)] = None,
    countries_code_column: Annotated[str | None, Parameter(group=_COUNTRIES)] = None,
    tolerance_km: Annotated[float | None, Parameter(group=_COUNTRIES)] = None,
    preset: Annotated[str | None, Parameter(group=_LAYOUT)] = None,
    urls: Annotated[Path | None, Parameter(group=_LAYOUT)] = None,
    root: Annotated[Path | None, Parameter(group=_LAYOUT)] = None,
    delimiter: Annotated[str | None, Parameter(group=_LAYOUT)] = None,
    header: Annotated[bool | None, Parameter(group=_LAYOUT)] = None,
    encoding: Annotated[str | None, Parameter(group=_LAYOUT)] = None,
    quoting: Annotated[bool | None, Parameter(group=_LAYOUT)] = None,
    keep_zero: Annotated[bool | None, Parameter(group=_LAYOUT, negative=())] = None,
) -> None:
    """Write the photos of some countries as one clean table.

    Bad rows (no coordinate, out of range, repeated id, truncated line, ...) are dropped and counted.

    Parameters
    ----------
    metadata : list of Path
        CSV, TSV, JSON lines (.gz, .bz2, .xz, .zst, .zip too), Parquet, GeoJSON, or folders of
        Parquet files, of any size.
    output : Path
        Parquet file to write.
    columns : ColumnOptions
        Columns of the metadata.
    countries : str, optional
        Countries to keep, by ISO code or name, separated by commas: SE,CH. Default: all.
    countries_file : Path, optional
        Polygons of your own, such as GADM's gadm_410-levels.gpkg.
    countries_layer : str, optional
        Layer of that file, such as ADM_0.
    countries_code_column : str, optional
        Column of country codes in that file, such as GID_0.
    tolerance_km : float, optional
        Largest distance to a country of a photo in none, such as on a pier. Default: 0.
    preset : str, optional
        Known data set: wws, yfcc100m, mp16, im2gps3k or osv5m.
    urls : Path, optional
        Table of ids and addresses to join by id, such as mp16_urls.csv.
    root : Path, optional
        Folder that relative image paths start from. Default: the metadata file's own.
    delimiter : str, optional
        Delimiter of columns; 'tab' for a tab. Default: by the file's suffix or first line.
    header : bool, optional
        Whether there is a header line. Without one, columns are named 1, 2, 3, ...
    encoding : str, optional
        Encoding of text, such as latin-1. Default: UTF-8.
    quoting : bool, optional
        Whether double quotes enclose text. Not in GBIF's files: there they are plain characters.
    keep_zero : bool
        Keep photos at 0, 0, which often means no position.
    """
    from geocells.tables import columns_note
    from geoloc_models.tables.select import select_photos

    chosen = {
        role.removesuffix("_column"): name
        for role, name in asdict(columns).items()
        if name is not None
    }
    options: dict[str, Any] = {
        "countries": None if countries is None else _listed(countries),
        "countries_file": countries_file,
        "countries_layer": countries_layer,
        "countries_code_column": countries_code_column,
        "tolerance_km": tolerance_km,
        "preset": preset,
        "urls": urls,
        "root": root,
        "delimiter": {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),
        "header": header,
        "encoding": encoding,
        "quoting": quoting,
        "keep_zero": keep_zero,
    }
    given = {name: value for name, value in options.items() if value is not None}
    report = select_photos(metadata, output, columns=chosen, progress=True, **given)
    say(_report_text(report, tolerance_km or 0.0))
    say(f"\n{columns_note(report.sources)}")
    say(f"The table is {output}, with the columns {', '.join(report.columns)}.")


def _listed(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise GeolocError("Name at least one country, such as --countries SE,CH.")
    return names


def _report_text(report: MetadataReport, tolerance_km: float) -> str:
    from geocells.tables.rows import UNBALANCED

    width = len(f"{report.n_read:,}")
    lines = [f"{report.n_read:>{width},} rows read", f"{report.n_kept:>{width},} photos kept"]
    for reason, n_rows in report.dropped.items():
        example = report.examples.get(reason)
        shown = f" (first: {example})" if example else ""
        lines.append(f"{n_rows:>{width},} dropped: {reason}{shown}")
    if report.dropped.get("a place in no country") and tolerance_km == 0:
        lines.append("Photos just off a coast lie in no country; --tolerance-km 5 takes them in.")
    if report.dropped.get(UNBALANCED):
        lines.append(
            "Where quotes are plain characters, as in files of GBIF, --no-quoting keeps such rows."
        )
    lines.append("\nPhotos per country:")
    shown_countries = list(report.countries.items())[:_COUNTRIES_SHOWN]
    lines += [f"  {code:<4}{n_photos:>{width},}" for code, n_photos in shown_countries]
    others = list(report.countries.values())[_COUNTRIES_SHOWN:]
    if others:
        lines.append(f"  and {sum(others):,} in {len(others)} more")
    return "\n".join(lines)
