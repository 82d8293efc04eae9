"""Train a model, and test it again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._app import app, one_sentence_errors
from geoloc_models.cli._shared import (
    CELLS_PANEL,
    MODEL_PANEL,
    RUN_PANEL,
    CountryColumn,
    GroupColumn,
    LatitudeColumn,
    LongitudeColumn,
    PathColumn,
    Root,
    source_again,
    table_source,
    tell_results,
    tell_skipped,
)


class Task(StrEnum):
    """What a model is trained to tell."""

    COUNTRY = "country"
    CELLS = "cells"


class Method(StrEnum):
    """How cells are made."""

    TOP_DOWN = "top_down"
    CONSOLIDATED = "consolidated"


@app.command()
@one_sentence_errors
def train(
    table: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet: a row per photo, with file, latitude, longitude."),
    ],
    task: Annotated[
        Task,
        typer.Option(
            help="Tell countries apart (the baseline) or cells.", rich_help_panel=MODEL_PANEL
        ),
    ] = Task.CELLS,
    path_column: PathColumn = "path",
    latitude_column: LatitudeColumn = "latitude",
    longitude_column: LongitudeColumn = "longitude",
    country_column: CountryColumn = None,
    group_column: GroupColumn = None,
    root: Root = None,
    method: Annotated[
        Method, typer.Option(help="How the cells are made.", rich_help_panel=CELLS_PANEL)
    ] = Method.CONSOLIDATED,
    min_images: Annotated[
        int, typer.Option(help="Training images that a cell needs.", rich_help_panel=CELLS_PANEL)
    ] = 200,
    min_cell_size: Annotated[
        float,
        typer.Option(help="Shortest side of a cell, in degrees.", rich_help_panel=CELLS_PANEL),
    ] = 0.01,
    max_images: Annotated[
        int | None,
        typer.Option(
            help="With top_down: split while a cell holds more than this.",
            rich_help_panel=CELLS_PANEL,
            show_default="split by --min-images",
        ),
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="resnet50, vit_b_16 or tiny.", rich_help_panel=MODEL_PANEL)
    ] = "resnet50",
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder starts: `imagenet`, or a .pth or .safetensors file.",
            rich_help_panel=MODEL_PANEL,
            show_default="random numbers",
        ),
    ] = None,
    image_size: Annotated[
        int, typer.Option(help="Side of the images, in pixels.", rich_help_panel=MODEL_PANEL)
    ] = 224,
    epochs: Annotated[
        int, typer.Option(help="Times each photo is seen.", rich_help_panel=MODEL_PANEL)
    ] = 5,
    batch_size: Annotated[
        int, typer.Option(help="Photos a step.", rich_help_panel=MODEL_PANEL)
    ] = 32,
    learning_rate: Annotated[
        float,
        typer.Option(
            help="Of Adam. The default suits pretrained weights; from random numbers take 1e-3.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = 1e-5,
    schedule: Annotated[
        str,
        typer.Option(
            help="Of the learning rate: constant, or cosine, which lowers it epoch by epoch and "
            "steadies a training from random numbers.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = "constant",
    hidden: Annotated[
        int, typer.Option(help="Width of the head's hidden layers.", rich_help_panel=MODEL_PANEL)
    ] = 256,
    dropout: Annotated[
        float, typer.Option(help="In the head, 0 to 1.", rich_help_panel=MODEL_PANEL)
    ] = 0.0,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment",
            help="Crop and mirror training images at random.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            help="auto (16 bits where the device has them), 32, 16 or bf16.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder.", rich_help_panel=RUN_PANEL, show_default="runs/TABLE-MODEL"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the split and the training.", rich_help_panel=RUN_PANEL)
    ] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes that load images.", rich_help_panel=RUN_PANEL)
    ] = 0,
    log: Annotated[
        str,
        typer.Option(
            help="csv, or tensorboard for event files as well.", rich_help_panel=RUN_PANEL
        ),
    ] = "csv",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --output after its last whole epoch.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
) -> None:
    """Train a model on your photos and test it.

    The photos are split 80/10/10 into training, validation and test; the figures are those of
    the best validation epoch, on the test photos.
    """
    from geoloc_models.experiment import ModelPlan, run_model, split_source
    from geoloc_models.training import TrainingOptions

    plan = ModelPlan(
        "country" if task is Task.COUNTRY else "cells",
        method.value,
        min_images,
        min_cell_size,
        max_images,
    )
    options = TrainingOptions(
        encoder=encoder,
        weights=weights,
        image_size=image_size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        epochs=epochs,
        hidden=hidden,
        dropout=dropout,
        seed=seed,
        workers=workers,
        precision=precision,
        augment=augment,
        log=log,
    )
    run_dir = output or Path("runs") / f"{table.stem}-{plan.name}"
    source = table_source(
        {
            "kind": "table",
            "path": str(table.resolve()),
            "path_column": path_column,
            "latitude_column": latitude_column,
            "longitude_column": longitude_column,
            "country_column": country_column,
            "group_column": group_column,
            "root": None if root is None else str(root.resolve()),
        }
    )
    split = split_source(source, seed=seed)
    typer.echo(
        f"{source.table.n_rows} photos: {len(split.train)} to train, {len(split.validation)} to "
        f"validate, {len(split.test)} to test."
    )
    run = run_model(source, split, plan, options, run_dir, resume=resume)
    if run.cells is not None:
        typer.echo(f"{run.cells.n_cells} cell{'s' if run.cells.n_cells != 1 else ''}.")
    tell_results(run)
    tell_skipped(run.broken, run_dir / "skipped.csv")
    typer.echo(f"\nThe run is in {run_dir}; evaluate it again with: geoloc evaluate {run_dir}")


@app.command()
@one_sentence_errors
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a run, made by train or demo.")],
    table: Annotated[
        Path | None,
        typer.Option(
            help="Test on all photos of this table instead.",
            show_default="the run's own test photos",
        ),
    ] = None,
    path_column: PathColumn = "path",
    latitude_column: LatitudeColumn = "latitude",
    longitude_column: LongitudeColumn = "longitude",
    country_column: CountryColumn = None,
    root: Root = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for results.json, predictions.parquet and skipped.csv.",
            show_default="RUN_DIR, or RUN_DIR/on-TABLE",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load images.")] = 0,
) -> None:
    """Test a trained model again: on its own test photos, or on another table."""
    import numpy as np

    from geoloc_models.experiment import evaluate_run, read_split, run_options
    from geoloc_models.reports import write_predictions, write_results

    origin = run_options(run_dir).get("source", {})
    if table is None:
        source = source_again(origin)
        split = read_split(run_dir)
        rows = split.test
        n_rows = len(split.train) + len(split.validation) + len(split.test)
        if n_rows != source.table.n_rows:
            raise GeolocError(
                f"The table has {source.table.n_rows} rows now, but had {n_rows} when the run was "
                "made, so its test photos are unknown; name a table of test photos by --table."
            )
        folder = output or run_dir
    else:
        source = table_source(
            {
                "kind": "table",
                "path": str(table.resolve()),
                "path_column": path_column,
                "latitude_column": latitude_column,
                "longitude_column": longitude_column,
                "country_column": country_column,
                "group_column": None,
                "root": None if root is None else str(root.resolve()),
            }
        )
        rows = np.arange(source.table.n_rows)
        folder = output or run_dir / f"on-{table.stem}"
    run = evaluate_run(run_dir, source, rows, workers=workers)
    write_predictions(folder / "predictions.parquet", run.predictions)
    write_results(folder / "results.json", {run.name: run.evaluation}, run.reference)
    # A run's own list names its training photos too, and stays.
    skipped = folder / ("skipped.csv" if folder != run_dir else "skipped_test.csv")
    if len(run.broken) or folder != run_dir:
        run.broken.write_csv(skipped)
    tell_results(run)
    tell_skipped(run.broken, skipped)
    typer.echo(f"\nResults and predictions are in {folder}.")
