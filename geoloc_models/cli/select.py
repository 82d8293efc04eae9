"""Choose photos from metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._typer import app, one_sentence_errors

if TYPE_CHECKING:
    from geoloc_models.tables.select import MetadataReport

COLUMNS_PANEL = "Columns"
COUNTRIES_PANEL = "Countries"
LAYOUT_PANEL = "Layout of the files"

_COUNTRIES_SHOWN = 20


def _column(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        help=text, rich_help_panel=COLUMNS_PANEL, show_default="the preset's, or a usual name"
    )
    return option


def _country(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=COUNTRIES_PANEL)
    return option


def _layout(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=LAYOUT_PANEL)
    return option


@app.command("select")
@one_sentence_errors
def select_command(
    metadata: Annotated[
        list[Path],
        typer.Argument(
            help="CSV, TSV, JSON lines (.gz, .bz2, .xz, .zst, .zip too), Parquet, or folders of "
            "Parquet files; of any size."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Parquet file of the photos kept.")
    ] = Path("photos.parquet"),
    preset: Annotated[
        str | None, _layout("Known data set: wws, yfcc100m, mp16, im2gps3k or osv5m.")
    ] = None,
    id_column: Annotated[str | None, _column("Column of ids.")] = None,
    latitude_column: Annotated[str | None, _column("Column of latitudes, in degrees.")] = None,
    longitude_column: Annotated[str | None, _column("Column of longitudes, in degrees.")] = None,
    url_column: Annotated[str | None, _column("Column of addresses to download from.")] = None,
    path_column: Annotated[str | None, _column("Column of image files.")] = None,
    user_column: Annotated[str | None, _column("Column of photographers.")] = None,
    time_column: Annotated[str | None, _column("Column of times.")] = None,
    group_column: Annotated[
        str | None, _column("Column of groups, never both trained on and held out.")
    ] = None,
    country_column: Annotated[
        str | None,
        typer.Option(
            help="Column of countries, by code or name, to be taken in place of the polygons.",
            rich_help_panel=COLUMNS_PANEL,
            show_default="the polygons decide",
        ),
    ] = None,
    countries: Annotated[
        str | None,
        _country("Countries to keep, by ISO code or name, with commas: SE,CH. By default all."),
    ] = None,
    countries_file: Annotated[
        Path | None, _country("Polygons of your own, such as GADM's gadm_410-levels.gpkg.")
    ] = None,
    countries_layer: Annotated[str | None, _country("Layer of that file, such as ADM_0.")] = None,
    countries_code_column: Annotated[
        str | None, _country("Column of country codes in that file, such as GID_0.")
    ] = None,
    tolerance_km: Annotated[
        float,
        _country("How far a photo in no country, say on a pier, may lie from the nearest one."),
    ] = 0.0,
    urls: Annotated[
        Path | None, _layout("Table of ids and addresses to join by id, such as mp16_urls.csv.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that relative image paths start from.",
            rich_help_panel=LAYOUT_PANEL,
            show_default="the metadata file's own",
        ),
    ] = None,
    delimiter: Annotated[
        str | None, _layout("Between columns; 'tab' for a tab. By default what the ending says.")
    ] = None,
    header: Annotated[
        bool | None,
        _layout("Whether there is a header line. Without one, columns are named 1, 2, 3, ..."),
    ] = None,
    encoding: Annotated[str | None, _layout("Of the text, such as latin-1; else UTF-8.")] = None,
    multiline: Annotated[
        bool,
        typer.Option(
            "--multiline", help="Quoted texts may hold line breaks.", rich_help_panel=LAYOUT_PANEL
        ),
    ] = False,
    keep_zero: Annotated[
        bool,
        typer.Option(
            "--keep-zero",
            help="Keep photos at 0, 0, where software puts those without a position.",
            rich_help_panel=LAYOUT_PANEL,
        ),
    ] = False,
) -> None:
    """Choose the photos of some countries from metadata, and write them as one clean table.

    Bad rows (no coordinate, out of range, an id twice, half a line, ...) are dropped and counted.
    """
    from geoloc_models.tables.select import select_photos

    chosen = {
        "id": id_column,
        "latitude": latitude_column,
        "longitude": longitude_column,
        "url": url_column,
        "path": path_column,
        "user": user_column,
        "time": time_column,
        "group": group_column,
        "country": country_column,
    }
    report = select_photos(
        list(metadata),
        output,
        preset=preset,
        columns={role: name for role, name in chosen.items() if name is not None},
        countries=None if countries is None else _listed(countries),
        countries_file=countries_file,
        countries_layer=countries_layer,
        countries_code_column=countries_code_column,
        tolerance_km=tolerance_km,
        urls=urls,
        root=root,
        delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter),
        header=header,
        encoding=encoding,
        multiline=multiline,
        keep_zero=keep_zero,
        progress=True,
    )
    typer.echo(_report_text(report, tolerance_km))
    typer.echo(f"\nThe table is {output}, with the columns {', '.join(report.columns)}.")


def _listed(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise GeolocError("Name at least one country, such as --countries SE,CH.")
    return names


def _report_text(report: MetadataReport, tolerance_km: float) -> str:
    width = len(f"{report.n_read:,}")
    lines = [f"{report.n_read:>{width},} rows read", f"{report.n_kept:>{width},} photos kept"]
    for reason, n_rows in report.dropped.items():
        example = report.examples.get(reason)
        shown = f" (first: {example})" if example else ""
        lines.append(f"{n_rows:>{width},} dropped: {reason}{shown}")
    if report.dropped.get("a place in no country") and tolerance_km == 0:
        lines.append("Photos just off a coast lie in no country; --tolerance-km 5 takes them in.")
    lines.append("\nPhotos per country:")
    shown_countries = list(report.countries.items())[:_COUNTRIES_SHOWN]
    lines += [f"  {code:<4}{n_photos:>{width},}" for code, n_photos in shown_countries]
    others = list(report.countries.values())[_COUNTRIES_SHOWN:]
    if others:
        lines.append(f"  and {sum(others):,} in {len(others)} more")
    return "\n".join(lines)
