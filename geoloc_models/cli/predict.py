"""Say where photos were taken, with a trained model."""

from __future__ import annotations

import json
import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._shared import RUN_PANEL
from geoloc_models.cli._typer import app, one_sentence_errors

if TYPE_CHECKING:
    from geoloc_models.inference.predictions import PhotoPredictions

_OUTPUT_PANEL = "What comes out"
_MOST_NAMED = 10  # broken photos, one by one


class Decoder(StrEnum):
    """How a point is made of probabilities."""

    ARGMAX = "argmax"
    TOP_K = "top_k"
    EXPECTED_UTILITY = "expected_utility"


@app.command()
@one_sentence_errors
def predict(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO...",
            help="Photos, folders of photos, patterns such as 'trip/**/*.jpg'; - reads a list of "
            "them from standard input, one a line.",
        ),
    ],
    model: Annotated[
        Path,
        typer.Option("--model", "-m", help="Bundle of a trained model: runs/x/bundle, or runs/x."),
    ],
    as_json: Annotated[
        bool,
        typer.Option("--json", help="JSON, in place of a table.", rich_help_panel=_OUTPUT_PANEL),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV, in place of a table.", rich_help_panel=_OUTPUT_PANEL)
    ] = False,
    as_geojson: Annotated[
        bool,
        typer.Option(
            "--geojson", help="GeoJSON, in place of a table.", rich_help_panel=_OUTPUT_PANEL
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write to this file instead of standard output; .json, .csv or .geojson says "
            "the format too.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            help="Write a map with the photos as an HTML file.",
            rich_help_panel=_OUTPUT_PANEL,
            show_default=False,
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(
            help="Background of the map; none asks no map server, and draws borders alone.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = "OpenStreetMap",
    top: Annotated[
        int,
        typer.Option(
            min=0,
            help="Name this many of the likeliest places of each photo too.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = 0,
    compare_exif: Annotated[
        bool,
        typer.Option(
            "--compare-exif",
            help="Show the photos' own GPS positions and the distance to them. They never play a "
            "part in the answer.",
            rich_help_panel=_OUTPUT_PANEL,
        ),
    ] = False,
    decoder: Annotated[
        Decoder | None,
        typer.Option(
            help="How a point is made of probabilities.",
            rich_help_panel=RUN_PANEL,
            show_default="the one that the model is calibrated for",
        ),
    ] = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names/--no-names", help="Name the nearest place.", rich_help_panel=RUN_PANEL
        ),
    ] = True,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images per step.", rich_help_panel=RUN_PANEL)
    ] = 32,
    workers: Annotated[
        int,
        typer.Option(
            min=0, help="Processes that read and decode images.", rich_help_panel=RUN_PANEL
        ),
    ] = 0,
) -> None:
    """Say where photos were taken.

    A model guesses from pixels; read P and the radius before you believe it. EXIF data say nothing
    to it. Photos that cannot be read are named and skipped.
    """
    kind = _format(as_json, as_csv, as_geojson, output)
    if map_file is not None and map_file.suffix.lower() not in (".html", ".htm"):
        raise GeolocError(f"The map is a page; {map_file} should end in .html.")
    files = _files(photos)
    from geoloc_models.inference.inputs import Photos
    from geoloc_models.inference.model import load_model

    loaded = load_model(model)
    placed = loaded.predict(
        Photos(files, min_side=loaded.image_size),
        decoder=None if decoder is None else decoder.value,
        names=None if names else False,
        batch_size=batch_size,
        workers=workers,
        progress=sys.stderr.isatty(),
    )
    if len(placed) == 0:
        name, reason = placed.broken[0]
        if len(placed.broken) == 1:
            raise GeolocError(f"{name}: {reason}.")
        raise GeolocError(
            f"None of the {len(placed.broken)} photos can be read (first: {name}: {reason})."
        )
    if compare_exif:
        placed = placed.with_exif()
    _write(_text(placed, kind, top), output)
    if map_file is not None:
        placed.save_map(map_file, tiles=None if tiles.lower() == "none" else tiles)
        typer.echo(f"The map is {map_file}.", err=True)
    for note in placed.notes:
        typer.echo(f"Note: {note}", err=True)
    _tell_broken(placed)


def _format(as_json: bool, as_csv: bool, as_geojson: bool, output: Path | None) -> str:
    chosen = [
        name
        for name, is_chosen in (("json", as_json), ("csv", as_csv), ("geojson", as_geojson))
        if is_chosen
    ]
    if len(chosen) > 1:
        raise GeolocError(f"Choose one format; got {' and '.join(f'--{name}' for name in chosen)}.")
    if chosen:
        return chosen[0]
    suffix = "" if output is None else output.suffix.lower().lstrip(".")
    return suffix if suffix in ("json", "csv", "geojson") else "table"


def _files(names: list[str]) -> list[str]:
    """Paths of the photos; those of the list on standard input may turn out missing later."""
    from geoloc_models.inference.inputs import list_photos

    given = [name for name in names if name != "-"]
    files = list_photos(given)
    if len(given) < len(names):
        lines = [line.rstrip("\r\n") for line in sys.stdin]
        listed = [line for line in lines if line.strip()]
        if not listed:
            raise GeolocError("The list on standard input names no photo.")
        files = list(dict.fromkeys([*files, *list_photos(listed, must_exist=False)]))
    return files


def _write(text: str, output: Path | None) -> None:
    from geoloc_models._files import replacing

    if output is None:
        typer.echo(text)
        return
    with replacing(output) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    typer.echo(f"The answers are in {output}.", err=True)


def _text(placed: PhotoPredictions, kind: str, top: int) -> str:
    if kind == "json":
        content: Any = {
            "decoder": placed.decoder,
            "photos": placed.to_records(top=top),
            "skipped": [{"file": name, "reason": reason} for name, reason in placed.broken],
            "notes": list(placed.notes),
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if kind == "geojson":
        return json.dumps(placed.to_geojson(top=top), ensure_ascii=False, allow_nan=False)
    if kind == "csv":
        frame = placed.likeliest(top) if top else placed.to_dataframe()
        return str(frame.to_csv(index=False)).rstrip("\n")
    return _table(placed, top)


def _table(placed: PhotoPredictions, top: int) -> str:
    from geoloc_models.inference.predictions import percent, place_text

    errors = placed.errors_km
    header = ["File", "Place", "Country", "Latitude", "Longitude", "P 25 km", "90 % radius"]
    if errors is not None:
        header += ["EXIF latitude", "EXIF longitude", "Error"]
    shown = _short_names(placed.names)
    rows = []
    for number, name in enumerate(shown):
        latitude, longitude = placed.coords[number]
        within, radius = placed.probability_within_25_km[number], placed.radius_90_km[number]
        country = str(placed.countries[number])
        place = "" if placed.places is None else place_text(placed.places[number], country)
        row = [
            name,
            place,
            country,
            f"{latitude:.4f}",
            f"{longitude:.4f}",
            percent(within) if math.isfinite(within) else "",
            f"{radius:,.0f} km" if math.isfinite(radius) else "",
        ]
        if errors is not None and placed.exif_coords is not None:
            exif = placed.exif_coords[number]
            known = math.isfinite(errors[number])
            row += [f"{value:.4f}" if known else "" for value in exif]
            row.append(f"{errors[number]:,.1f} km" if known else "")
        rows.append(row)
    lines = _columns(header, rows, left=3)
    if top:
        lines.append("")
        found = placed.likeliest(top)
        header = ["File", "Rank", "Place", "Country", "Latitude", "Longitude", "Probability"]
        short = dict(zip(placed.names, shown, strict=True))
        listed = [
            [
                short[own["file"]] if own["rank"] == 1 else "",
                str(own["rank"]),
                own["place"] or "",
                str(own["country"]),
                f"{own['latitude']:.4f}",
                f"{own['longitude']:.4f}",
                percent(own["probability"]),
            ]
            for own in found.to_dict("records")
        ]
        lines += _columns(header, listed, left=4) if listed else ["No probabilities to rank by."]
    if placed.places is not None:
        from geoloc_models.inference.place_names import CREDIT

        lines += ["", CREDIT]
    return "\n".join(lines)


def _columns(header: list[str], rows: list[list[str]], *, left: int) -> list[str]:
    """Lines of a table; the first ``left`` columns begin, the others end at one edge."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    ]


def _short_names(names: list[str]) -> list[str]:
    """Paths without the folder that they share, and without what a terminal would obey."""
    import os.path

    folders = [os.path.dirname(name) for name in names]
    shared = os.path.commonpath(folders) if len(names) > 1 and all(folders) else ""
    shown = [os.path.relpath(name, shared) if shared else name for name in names]
    return [_printable(name) for name in shown]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _tell_broken(placed: PhotoPredictions) -> None:
    for name, reason in placed.broken[:_MOST_NAMED]:
        typer.echo(f"Skipped {_printable(name)}: {_printable(reason)}.", err=True)
    n_more = len(placed.broken) - _MOST_NAMED
    if n_more > 0:
        typer.echo(f"{n_more} more photos could not be read; --json lists all.", err=True)
    if placed.broken:
        n = len(placed) + len(placed.broken)
        typer.echo(f"{len(placed)} of {n} photos were placed.", err=True)


@app.command()
@one_sentence_errors
def export(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Bundle of a trained model, or its run folder.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The ONNX file; a JSON file comes beside it.")
    ] = Path("model.onnx"),
) -> None:
    """Write a model's encoder and head as ONNX, for programs without torch.

    What onnxruntime computes is compared with torch before anything is kept. The JSON file beside
    says how images have to be scaled, and which place each number stands for.
    """
    from geoloc_models.inference.export import export_onnx
    from geoloc_models.inference.model import load_model

    model = load_model(bundle)
    card = export_onnx(model.task, output, folder=model.folder)
    sizes = ", ".join(f"{name} {shape}" for name, shape in card["outputs"].items())
    typer.echo(
        f"{output}: image {card['input']['shape']} to {sizes}. onnxruntime and torch differ by at "
        f"most {card['largest_difference']:.1g}.\nWhat the numbers mean is in "
        f"{output.with_suffix('.json')}."
    )
