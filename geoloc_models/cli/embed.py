"""Compute the features of all photos once, for training without an encoder's cost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoloc_models.cli._shared import (
    MODEL_PANEL,
    RUN_PANEL,
    CountryColumn,
    LatitudeColumn,
    LongitudeColumn,
    PathColumn,
    Root,
    report_skipped,
)
from geoloc_models.cli._typer import app, one_sentence_errors


class Numbers(StrEnum):
    """Of the features on disk."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


@app.command()
@one_sentence_errors
def embed(
    table: Annotated[
        Path, typer.Argument(help="CSV, TSV or Parquet: a row per photo, with its image file.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The .npy file of features.")
    ] = Path("features.npy"),
    encoder: Annotated[
        str,
        typer.Option(
            help="efficientnet_lite0, resnet50, vit_b_16, tiny, or timm:NAME.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = "efficientnet_lite0",
    weights: Annotated[
        str,
        typer.Option(help="imagenet, or the file of a state dict.", rich_help_panel=MODEL_PANEL),
    ] = "imagenet",
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the square images, in pixels.",
            rich_help_panel=MODEL_PANEL,
            show_default="the encoder's own",
        ),
    ] = None,
    dtype: Annotated[
        Numbers,
        typer.Option(help="float16 takes half the room.", rich_help_panel=RUN_PANEL),
    ] = Numbers.FLOAT32,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images per step.", rich_help_panel=RUN_PANEL, show_default="what the device holds"
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes that read and decode images.", rich_help_panel=RUN_PANEL),
    ] = 0,
    precision: Annotated[
        str, typer.Option(help="auto, 32, bf16 or 16.", rich_help_panel=RUN_PANEL)
    ] = "auto",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="Go on with the features in --output, or replace them.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = True,
    retry_broken: Annotated[
        bool,
        typer.Option(
            "--retry-broken",
            help="Try images again that could not be read before.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Share the work with other processes, here or on machines with the same file "
            "system, that run the same command.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    path_column: PathColumn = None,
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
    country_column: CountryColumn = None,
    root: Root = None,
) -> None:
    """Run an encoder over all photos once and keep the features.

    Stopped at any moment, the same command goes on where it stopped. Training on the features of a
    frozen encoder then costs next to nothing.
    """
    from geoloc_models.features.cache import row_keys
    from geoloc_models.features.embed import embed as embed_photos
    from geoloc_models.features.files import FeatureFiles
    from geoloc_models.models.encoders import build_encoder
    from geoloc_models.photos.images import FileImages
    from geoloc_models.tables.photo_table import read_photo_table

    files = FeatureFiles(output)  # a bad name is told before anything is read
    image_encoder = build_encoder(encoder, weights=weights, image_size=image_size)
    size = image_encoder.preprocessing.image_size
    photos = read_photo_table(
        table.resolve(),  # as train does, so that paths are equal as keys
        path_column=path_column,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        country_column=country_column,
        root=None if root is None else root.resolve(),
        unplaced="drop",
    )
    record = embed_photos(
        FileImages(photos.frame["path"].to_numpy(), min_side=size),
        row_keys(photos),
        image_encoder,
        output,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        dtype=dtype.value,
        resume=resume,
        retry_broken=retry_broken,
        shared=shared,
    )
    card = record.cache.card
    typer.echo(f"{card.n_rows:,} photos, {card.dim} numbers each, of {card.title}, in {output}.")
    if record.n_embedded:
        images = "image" if record.n_embedded == 1 else "images"
        typer.echo(
            f"{record.n_embedded:,} {images}{' by this worker' if shared else ''} in {record.seconds:.1f} s: "
            f"{record.images_per_second:.0f} images a second, {record.batch_size} at a time."
        )
    else:
        typer.echo("Nothing was left to embed." if shared else "All had been embedded before.")
    report_skipped(record.broken, files.broken)
    typer.echo(f"\nTrain on them: geoloc train {table} --features {output}")
