"""The demo."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoloc_models.cli._app import app, one_sentence_errors
from geoloc_models.cli._shared import tell_skipped


class Region(StrEnum):
    """Regions of the demo."""

    SWEDEN_SWITZERLAND = "sweden-switzerland"
    WORLD = "world"


@app.command()
@one_sentence_errors
def demo(
    region: Annotated[
        Region,
        typer.Option(
            help="Two countries and 2 000 places (four to five minutes on two cores), or 20 000 "
            "places of the world (about half an hour)."
        ),
    ] = Region.SWEDEN_SWITZERLAND,
    output: Annotated[Path, typer.Option(help="Folder for results, pictures and models.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the split and the training.")] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of each model.", show_default="the region's own"),
    ] = None,
    min_images: Annotated[
        int | None,
        typer.Option(help="Training images that a cell needs.", show_default="the region's own"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted demo.")
    ] = False,
) -> None:
    """Run the whole job on data that came with the installation: places, cells, models, table.

    Satellite crops stand in for photos, which cannot be shipped; `geoloc train` takes your own.
    """
    from geoloc_models.demo import run_demo

    result = run_demo(
        output,
        region=region.value,
        seed=seed,
        epochs=epochs,
        min_images=min_images,
        resume=resume,
        say=typer.echo,
    )
    typer.echo("\n" + result.table)
    tell_skipped(result.broken, output / "skipped.csv")
    typer.echo("\nPictures and results:")
    for path in result.files:
        typer.echo(f"  {path}")
