"""Say where photos were taken, with a trained model; hand the model on as ONNX."""

from __future__ import annotations

import json
import math
import os.path
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from geocells.output import echo, printable, without_formulas
from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.inference.predictions import PhotoPredictions

_FORMATS = ("json", "csv", "geojson")
_MOST_NAMED = 10  # broken photos, one by one


def predict(
    *photos: Annotated[str, Parameter(allow_leading_hyphen=True, required=True)],
    model: Annotated[Path, Parameter(alias="-m")],
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    as_csv: Annotated[bool, Parameter(name="--csv", negative=())] = False,
    as_geojson: Annotated[bool, Parameter(name="--geojson", negative=())] = False,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    map_file: Annotated[Path | None, Parameter(name="--map")] = None,
    tiles: str = "OpenStreetMap",
    top: NonNegativeInt = 0,
    compare_exif: Annotated[bool, Parameter(negative=())] = False,
    promise: Literal[1, 25, 200, 750] | None = None,
    decoder: Literal["argmax", "top_k", "expected_utility"] | None = None,
    names: bool = True,
    batch_size: PositiveInt = 32,
    workers: NonNegativeInt | None = None,
) -> None:
    """Say where photos were taken.

    A model guesses from pixels, without EXIF data: read the probability and the radius before you
    believe it. Unreadable photos are named and skipped.

    Parameters
    ----------
    photos : str
        Photos, folders, or patterns such as `"trip/**/*.jpg"`; `-` reads a list from standard
        input, one per line.
    model : Path
        Run folder of a trained model, or its bundle: runs/x, runs/x/bundle.
    as_json : bool
        Print JSON.
    as_csv : bool
        Print CSV.
    as_geojson : bool
        Print GeoJSON.
    output : Path, optional
        Write to this file; .json, .csv or .geojson also sets the format.
    map_file : Path, optional
        Write a map with the photos (.html).
    tiles : str
        Background of the map, such as OpenTopoMap, or none: borders only, no map server is asked.
    top : int
        Also print so many of the likeliest places of each photo.
    compare_exif : bool
        Show the photos' own GPS positions and the distance to them. The model never sees these.
    promise : {1, 25, 200, 750}, optional
        Answer only where the model is so sure that 90 % of its answers lie within so many
        kilometres.
    decoder : {"argmax", "top_k", "expected_utility"}, optional
        How probabilities become a point. Default: the decoder that the model is calibrated for.
    names : bool
        Name the nearest place.
    batch_size : int
        Images per step.
    workers : int, optional
        Processes that load images; 0: the main process. Default: 0, with a GPU one per core up to
        16.
    """
    chosen = [
        name for name, flag in zip(_FORMATS, (as_json, as_csv, as_geojson), strict=True) if flag
    ]
    if len(chosen) > 1:
        raise GeolocError(f"Choose one format; got {' and '.join(f'--{name}' for name in chosen)}.")
    background = None if tiles.lower() == "none" else tiles
    if map_file is not None:
        if map_file.suffix.lower() not in (".html", ".htm"):
            raise GeolocError(f"The map is a page; {map_file} should end in .html.")
        if background is not None:
            from geocells.web_map import tile_source

            tile_source(background)  # refuses an unknown one
    files = _files(photos)
    from geoloc_models.files import refuse_input

    for written in filter(None, (output, map_file)):
        refuse_input(written, *files)
    from geoloc_models.inference.model import load_model
    from geoloc_models.photos.images import FileImages

    loaded = load_model(model)
    predictions = loaded.predict(
        FileImages(files, min_side=loaded.image_size),
        decoder=decoder,
        names=None if names else False,
        promise_km=promise,
        batch_size=batch_size,
        workers=workers,
        progress=True,
    )
    if len(predictions) == 0:
        name, reason = predictions.broken[0]
        if len(predictions.broken) == 1:
            raise GeolocError(f"{name}: {reason}.")
        n = len(predictions.broken)
        raise GeolocError(f"None of the {n} photos can be read (first: {name}: {reason}).")
    if compare_exif:
        predictions = predictions.with_exif()
    suffix = "" if output is None else output.suffix.lower().lstrip(".")
    _write(_text(predictions, (*chosen, suffix)[0], top), output)
    if map_file is not None:
        predictions.save_map(map_file, tiles=background)
        echo(f"The map is {map_file}.", error=True)
    for note in predictions.notes:
        echo(f"Note: {note}", error=True)
    _report_broken(predictions)


def _files(names: Sequence[str]) -> list[str]:
    """Paths of the photos; those of the list on standard input may turn out missing later."""
    from geoloc_models.inference.inputs import list_photos

    given = [name for name in names if name != "-"]
    for name in given:
        if name.startswith("-") and not os.path.exists(name):
            raise GeolocError(f"There is no option {name}, and no photo of that name.")
    files = list_photos(given)
    if len(given) < len(names):
        lines = [line.rstrip("\r\n") for line in sys.stdin]
        listed = [line for line in lines if line.strip()]
        if not listed:
            raise GeolocError("The list on standard input names no photo.")
        files = list(dict.fromkeys([*files, *list_photos(listed, must_exist=False)]))
    return files


def _write(text: str, output: Path | None) -> None:
    from geoloc_models.files import replacing

    if output is None and sys.stdout.isatty():
        echo(text, fold=False)
        return
    if output is None:  # a program reads names as they are, but for bytes that are not text
        sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")
        return
    with replacing(output) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    echo(f"The answers are in {output}.", error=True)


def _text(predictions: PhotoPredictions, kind: str, top: int) -> str:
    if kind == "json":
        content = predictions.to_dict(top=top)
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if kind == "geojson":
        return json.dumps(predictions.to_geojson(top=top), ensure_ascii=False, allow_nan=False)
    if kind == "csv":
        frame = predictions.likeliest(top) if top else predictions.to_dataframe()
        return str(without_formulas(frame).to_csv(index=False)).rstrip("\n")
    return _table(predictions, top)


def _table(predictions: PhotoPredictions, top: int) -> str:
    from geoloc_models.inference.predictions import percent
    from geoloc_models.reports import Table, text_table

    header = ["File", "Place", "Position", "In 25 km", "90 % radius"]
    if predictions.exif_coords is not None:
        header.append("Off EXIF")
    names = _short_names(predictions.names)
    rows, ranked = [], []
    for number, record in enumerate(predictions.to_records(top=top)):
        within = record["probability_within_25_km"]
        row = [
            names[number],
            *_answer(predictions, number, record),
            "" if within is None else percent(within),
            _kilometres(record["radius_90_km"], 0),
        ]
        if predictions.exif_coords is not None:
            row.append(_kilometres(record["error_km"], 1))
        rows.append(row)
        ranked += [
            [
                names[number] if place["rank"] == 1 else "",
                _place_and_country(place["place"], str(place["country"])),
                _position(place),
                percent(place["probability"]),
            ]
            for place in record.get("likeliest", ())
        ]
    lines = [text_table(Table(header, rows), left=2)]
    if top:
        likeliest = text_table(Table(["File", "Likeliest", "Position", "P"], ranked), left=2)
        lines += ["", likeliest if ranked else "No likely places to list."]
    if predictions.credit:
        lines += ["", textwrap.fill(predictions.credit, 80)]
    return "\n".join(lines)


def _answer(predictions: PhotoPredictions, number: int, record: dict[str, Any]) -> tuple[str, str]:
    """Place and position, or why there are none to rely on."""
    from geoloc_models.inference.familiarity import UNLIKE

    if record["unlike_training"]:
        return UNLIKE, ""
    if record.get("promised") is False:
        return "not sure enough to answer", ""
    place = _place_and_country(predictions.place_text(number), str(record["country"]))
    return place, _position(record)


def _place_and_country(place: str | None, country: str) -> str:
    return country if place is None else f"{place}, {country}"


def _position(record: dict[str, Any]) -> str:
    return f"{record['latitude']:.3f}, {record['longitude']:.3f}"


def _kilometres(value: float | None, digits: int) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:,.{digits}f} km"


def _short_names(names: list[str]) -> list[str]:
    """Paths without the folder that they share, and without what a terminal would obey."""
    folders = [os.path.dirname(name) for name in names]
    shared = os.path.commonpath(folders) if len(names) > 1 and all(folders) else ""
    shown = [os.path.relpath(name, shared) if shared else name for name in names]
    return [printable(name) for name in shown]


def _report_broken(predictions: PhotoPredictions) -> None:
    broken = predictions.broken
    for name, reason in broken[:_MOST_NAMED]:
        echo(f"Skipped {printable(name)}: {printable(reason)}.", error=True)
    if len(broken) > _MOST_NAMED:
        n_more = len(broken) - _MOST_NAMED
        echo(f"{n_more} more photos could not be read; --json lists all.", error=True)
    if broken:
        n = len(predictions) + len(broken)
        echo(f"{len(predictions)} of {n} photos were placed.", error=True)


def export(
    model: Annotated[Path, Parameter(alias="-m")],
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("model.onnx"),
) -> None:
    """Write a model as ONNX, for programs without torch.

    The output of onnxruntime is compared with torch's. The JSON file says how to scale images and
    which place each number stands for.

    Parameters
    ----------
    model : Path
        Run folder of a trained model, or its bundle: runs/x, runs/x/bundle.
    output : Path
        ONNX file to write; a JSON file comes beside it.
    """
    from geoloc_models.inference.export import export_onnx
    from geoloc_models.inference.model import load_model

    loaded = load_model(model)
    card = export_onnx(loaded.task, output, folder=loaded.folder)
    sizes = ", ".join(f"{name} {shape}" for name, shape in card["outputs"].items())
    echo(
        f"{output}: image {card['input']['shape']} to {sizes}. onnxruntime and torch differ by at "
        f"most {card['largest_difference']:.1g}.\nWhat the numbers mean is in "
        f"{output.with_suffix('.json')}."
    )
