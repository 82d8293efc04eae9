"""Options and messages that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoloc_models._errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.photos.dataset import BrokenImages
    from geoloc_models.training import ModelRun, PhotoSource

TABLE_PANEL = "The table of photos"
CELLS_PANEL = "Cells"
MODEL_PANEL = "Model and training"
TASK_PANEL = "Offset, retrieval, nearest"
RUN_PANEL = "Run"

PathColumn = Annotated[
    str | None, typer.Option(help="Column of the image files.", rich_help_panel=TABLE_PANEL)
]
LatitudeColumn = Annotated[
    str | None, typer.Option(help="Column of latitudes, in degrees.", rich_help_panel=TABLE_PANEL)
]
LongitudeColumn = Annotated[
    str | None, typer.Option(help="Column of longitudes, in degrees.", rich_help_panel=TABLE_PANEL)
]
CountryColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of countries, by name or ISO code. Without one, countries come from the "
        "coordinates.",
        rich_help_panel=TABLE_PANEL,
        show_default="country, if there is one",
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of groups, such as the photographer or the place: photos of one group are "
        "never both trained on and held out.",
        rich_help_panel=TABLE_PANEL,
        show_default="group, if there is one",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder that relative image paths start from.",
        rich_help_panel=TABLE_PANEL,
        show_default="the table's own",
    ),
]


def table_source(origin: dict[str, Any], *, image_size: int | None = None) -> PhotoSource:
    """Photos of a table, by the options it was named with."""
    import numpy as np

    from geoloc_models.features.cache import FeatureCache
    from geoloc_models.photos.images import FileImages
    from geoloc_models.tables.parts import split_of_table, subset_rows
    from geoloc_models.tables.photo_table import read_photo_table
    from geoloc_models.training import PhotoSource

    skipped = ("kind", "path", "features", "subset")
    options = {name: value for name, value in origin.items() if name not in skipped}
    photos = read_photo_table(origin["path"], **options)
    if origin.get("subset") is not None:
        split = split_of_table(photos)
        rows = [subset_rows(photos, origin["subset"]), split.validation, split.test]
        photos = photos.take(np.sort(np.concatenate(rows)))
    features = None if origin.get("features") is None else FeatureCache.open(origin["features"])
    images = FileImages(photos.frame["path"].to_numpy(), min_side=image_size)
    return PhotoSource(photos, images, origin, features)


def numbers_of(text: str, option: str) -> tuple[float, ...]:
    """Numbers written with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise GeolocError(
            f"{option} takes numbers with commas, such as 1,256; not {text!r}."
        ) from None


def source_again(origin: dict[str, Any]) -> PhotoSource:
    """Photos of a run, from what its options.json says about them."""
    kind = origin.get("kind")
    try:
        if kind == "demo":
            from geoloc_models.demo import demo_source

            return demo_source(origin["region"], seed=origin["seed"])
        if kind == "table":
            return table_source(origin)
    except (KeyError, TypeError) as error:
        raise GeolocError(f"The run's options.json garbles its source: {error}.") from error
    raise GeolocError(
        f"The run's photos are of the unknown kind {kind!r}; name a table of test photos by "
        "--table."
    )


def tell_results(run: ModelRun) -> None:
    from geoloc_models.reports import table_text

    typer.echo("\n" + table_text({run.name: run.evaluation}, run.reference))
    if run.calibration_report is not None:
        from geoloc_models.inference.calibration_report import calibration_lines

        typer.echo("\n" + "\n".join(calibration_lines(run.calibration_report)))


def tell_skipped(broken: BrokenImages, path: Path) -> None:
    if len(broken):
        first = broken.messages[0]
        images = "1 broken image was" if len(broken) == 1 else f"{len(broken)} broken images were"
        typer.echo(f"\n{images} skipped (first: {first}); all are listed in {path}.")
