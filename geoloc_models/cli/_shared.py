"""Options and messages that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from geoloc_models.photos.dataset import BrokenImages

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


def report_skipped(broken: BrokenImages, path: Path) -> None:
    if len(broken):
        first = broken.messages[0]
        images = "1 broken image was" if len(broken) == 1 else f"{len(broken)} broken images were"
        print(f"\n{images} skipped (first: {first}); all are listed in {path}.")
