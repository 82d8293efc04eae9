"""The paper as one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._shared import numbers_of, table_source
from geoloc_models.cli._typer import app, one_sentence_errors

_DEMO_REMARKS = """
**What these data can show.** The coordinates are those of real photos; the images are satellite crops around them,
since photos cannot be shipped. Which cells suit where people take photos, how models and losses differ on the same
features, and whether everything works from end to end can be seen.

**What they cannot show.** How well photos tell of their place: a satellite crop shows the place itself, whatever the
photographer did, and two places within a crop's width look alike. A pixel is 7 km high, so little can be told at 1
km. With some 200 test images an interval is ten points wide and more: most ablations here cannot be told apart, and
the intervals say so. The paper's own figures stand beside ours as those of another data set: 180 000 photos.
"""


@app.command()
@one_sentence_errors
def reproduce(
    data: Annotated[
        Path | None,
        typer.Option(help="Table of photos, as geoloc train takes it.", show_default="--demo"),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Use the demo's places and satellite crops.")
    ] = False,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the report and its stages."),
    ] = Path("runs/paper"),
    encoder: Annotated[
        str,
        typer.Option(
            help="Frozen encoder of all models.",
            show_default="resnet50; efficientnet_lite0 in the demo",
        ),
    ] = "",
    weights: Annotated[str, typer.Option(help="imagenet, or a file.")] = "imagenet",
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the images, in pixels.", show_default="224; 128 in the demo"),
    ] = None,
    min_images: Annotated[
        int | None,
        typer.Option(help="Training images that a cell needs.", show_default="200; 20 in the demo"),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Of every head.")] = 30,
    pixel_epochs: Annotated[
        int, typer.Option(help="Of the runs that compare augmentations, which see pixels.")
    ] = 8,
    seeds: Annotated[int, typer.Option(help="Runs of each model of Table 1.")] = 3,
    sizes: Annotated[
        str,
        typer.Option(
            help="Training subsets of Figure 8, with commas.",
            show_default="1000,10000,20000,100000; 100,400 in the demo",
        ),
    ] = "",
    false_locations: Annotated[
        int | None,
        typer.Option(
            "--false", help="False locations a batch.", show_default="1024; 256 in the demo"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that load images.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and the first runs.")] = 0,
) -> None:
    """Train all models of the paper, every ablation and figure, and write a report.

    Stages that are done are kept: a second run computes nothing, another option only what depends
    on it, and an interrupted run goes on.
    """
    from geoloc_models.reproduce import ReproduceSettings
    from geoloc_models.reproduce import reproduce as reproduce_paper
    from geoloc_models.training import TrainingOptions, split_source

    if demo == (data is not None):
        raise GeolocError("Name a table of photos with --data, or take the demo's with --demo.")
    training = TrainingOptions(
        encoder=encoder or ("efficientnet_lite0" if demo else "resnet50"),
        weights=weights,
        image_size=image_size or (128 if demo else 224),
        batch_size=64 if demo else 256,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=epochs,
        dropout=0.3,
        seed=seed,
        workers=workers,
        train_encoder="none",
    )
    if data is None:
        from geoloc_models.demo import demo_source

        source = demo_source("sweden-switzerland", seed=seed)
    else:
        source = table_source(
            {"kind": "table", "path": str(data.resolve())}, image_size=training.image_size
        )
    pixels = TrainingOptions(
        encoder="tiny",
        image_size=64,
        batch_size=32,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=pixel_epochs,
        seed=seed,
        workers=workers,
    )
    settings = ReproduceSettings(
        training,
        pixels,
        min_images=min_images or (20 if demo else 200),
        seeds=seeds,
        sizes=tuple(
            int(size)
            for size in numbers_of(
                sizes or ("100,400" if demo else "1000,10000,20000,100000"), "--sizes"
            )
        ),
        location_hidden=256 if demo else 1024,
        n_false=false_locations or (256 if demo else 1024),
    )
    result = reproduce_paper(
        source,
        split_source(source, seed=seed),
        settings,
        output,
        remarks=_DEMO_REMARKS if demo else "",
        say=typer.echo,
    )
    typer.echo(f"\nThe report is {result.report}, and as text {result.report.with_suffix('.md')}.")
