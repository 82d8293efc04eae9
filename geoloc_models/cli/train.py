"""Train a model, and test it again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from geoloc_models._errors import GeolocError
from geoloc_models.cli._shared import (
    CELLS_PANEL,
    MODEL_PANEL,
    RUN_PANEL,
    TABLE_PANEL,
    TASK_PANEL,
    CountryColumn,
    GroupColumn,
    LatitudeColumn,
    LongitudeColumn,
    PathColumn,
    Root,
    numbers_of,
    source_again,
    table_source,
    tell_results,
    tell_skipped,
)
from geoloc_models.cli._typer import app, one_sentence_errors


class _Pace(NamedTuple):
    """How a training goes unless it is told otherwise."""

    epochs: int
    learning_rate: float


_FINE_TUNING = _Pace(5, 1e-5)  # the paper's, of pretrained weights
_HEAD_ALONE = _Pace(30, 1e-3)  # starts from random numbers, and an epoch of features takes seconds


class Task(StrEnum):
    """What a model is trained to tell."""

    COUNTRY = "country"
    OFFSET = "offset"
    CELLS = "cells"
    HIERARCHY = "hierarchy"
    RETRIEVAL = "retrieval"
    NEAREST = "nearest"
    REFINED = "refined"


class Method(StrEnum):
    """How cells are made."""

    TOP_DOWN = "top_down"
    CONSOLIDATED = "consolidated"
    BOTTOM_UP = "bottom_up"


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
    path_column: PathColumn = None,
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
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
    rank_by: Annotated[
        str | None,
        typer.Option(
            help="With bottom_up: hot spots claim by features, coordinates or count.",
            rich_help_panel=CELLS_PANEL,
            show_default="features, with --features",
        ),
    ] = None,
    overlap: Annotated[
        int,
        typer.Option(
            help="With bottom_up: heat-map windows a cell side, 1, 2, 4 or 8.",
            rich_help_panel=CELLS_PANEL,
        ),
    ] = 2,
    smoothing_km: Annotated[
        float | None,
        typer.Option(
            help="Spread the truth over cells so near, as PIGEON does with 65 to 75 km.",
            rich_help_panel=CELLS_PANEL,
            show_default="the true cell alone",
        ),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", help="Weigh all classes alike in the loss.", rich_help_panel=CELLS_PANEL
        ),
    ] = False,
    alpha: Annotated[
        float, typer.Option(help="Offset: share of the country.", rich_help_panel=TASK_PANEL)
    ] = 0.5,
    multi_task: Annotated[
        bool,
        typer.Option(
            help="Offset: with a head for the country, or the offset alone.",
            rich_help_panel=TASK_PANEL,
        ),
    ] = True,
    location_encoder: Annotated[
        str,
        typer.Option(
            help="Retrieval: rff (random Fourier features) or mlp.", rich_help_panel=TASK_PANEL
        ),
    ] = "rff",
    projection: Annotated[
        str,
        typer.Option(help="Retrieval: equal_earth or raw.", rich_help_panel=TASK_PANEL),
    ] = "equal_earth",
    sigmas: Annotated[
        str,
        typer.Option(help="Retrieval: of rff, with commas.", rich_help_panel=TASK_PANEL),
    ] = "1,256,65536",
    n_false: Annotated[
        int,
        typer.Option(
            "--false",
            help="Retrieval: false locations a batch; 0 trains without contrast.",
            rich_help_panel=TASK_PANEL,
        ),
    ] = 1024,
    false_from: Annotated[
        str,
        typer.Option(
            help="Retrieval: they come from train, or from a queue of earlier batches.",
            rich_help_panel=TASK_PANEL,
        ),
    ] = "train",
    mask_km: Annotated[
        float,
        typer.Option(
            help="Retrieval: what is nearer is not called false.", rich_help_panel=TASK_PANEL
        ),
    ] = 0.0,
    neighbours: Annotated[
        int, typer.Option(help="Nearest: training images that speak.", rich_help_panel=TASK_PANEL)
    ] = 10,
    bandwidth_km: Annotated[
        float,
        typer.Option(help="Nearest: kernel over their places.", rich_help_panel=TASK_PANEL),
    ] = 100.0,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Feature cache of geoloc embed: the encoder stays frozen and training takes "
            "seconds.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = None,
    subset: Annotated[
        int | None,
        typer.Option(
            help="Train on so many photos, by the table's column subset_rank.",
            rich_help_panel=TABLE_PANEL,
            show_default="all",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="resnet50, vit_b_16, efficientnet_lite0, tiny or timm:NAME.",
            rich_help_panel=MODEL_PANEL,
            show_default="resnet50, or that of --features",
        ),
    ] = "",
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder starts: `imagenet`, or a .pth or .safetensors file.",
            rich_help_panel=MODEL_PANEL,
            show_default="random numbers",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the images, in pixels.",
            rich_help_panel=MODEL_PANEL,
            show_default="224, or that of --features",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Times each photo is seen.",
            rich_help_panel=MODEL_PANEL,
            show_default=f"{_FINE_TUNING.epochs}; {_HEAD_ALONE.epochs} with --features",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Photos a step.", rich_help_panel=MODEL_PANEL)
    ] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Of Adam. The default suits pretrained weights; from random numbers take 1e-3.",
            rich_help_panel=MODEL_PANEL,
            show_default=f"{_FINE_TUNING.learning_rate:g}; {_HEAD_ALONE.learning_rate:g} with "
            "--features or --train-encoder none",
        ),
    ] = None,
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
    weight_decay: Annotated[
        float, typer.Option(help="Decoupled; 0 is plain Adam.", rich_help_panel=MODEL_PANEL)
    ] = 0.0,
    train_encoder: Annotated[
        str,
        typer.Option(
            help="all, none (frozen), or gradual: stage by stage from the last one down.",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = "all",
    unfreeze_every: Annotated[
        int, typer.Option(help="With gradual: epochs a stage.", rich_help_panel=MODEL_PANEL)
    ] = 1,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a lower validation loss.",
            rich_help_panel=MODEL_PANEL,
            show_default="never",
        ),
    ] = None,
    augment: Annotated[
        str,
        typer.Option(
            help="Vary training images at random: none, crop (and mirror), or simclr (colours and "
            "blurs too).",
            rich_help_panel=MODEL_PANEL,
        ),
    ] = "none",
    views: Annotated[
        int,
        typer.Option(
            help="Retrieval: varied copies of each image a step.", rich_help_panel=MODEL_PANEL
        ),
    ] = 1,
    devices: Annotated[
        int,
        typer.Option(
            help="Devices, or processes on a CPU, that share each batch.", rich_help_panel=RUN_PANEL
        ),
    ] = 1,
    compile_encoder: Annotated[
        bool,
        typer.Option("--compile", help="Compile the encoder.", rich_help_panel=RUN_PANEL),
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
    keep_places: Annotated[
        bool,
        typer.Option(
            help="Keep the coordinates of the training photos in the bundle, so that answers are "
            "decoded by expected utility. Leave them out of a model that strangers get.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = True,
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

    The photos are split 80/10/10 into training, validation and test, unless the table has a
    column part; the figures are those of the best validation epoch, on the test photos.
    """
    from geoloc_models.features.cache import FeatureCache
    from geoloc_models.training import ModelPlan, TrainingOptions, run_model, split_source

    plan = ModelPlan(
        task.value,
        method=method.value,
        min_images=min_images,
        min_cell_size=min_cell_size,
        max_images=max_images,
        rank_by=rank_by,
        overlap=overlap,
        smoothing_km=smoothing_km,
        balanced=balanced,
        alpha=alpha,
        multi_task=multi_task,
        location_encoder=location_encoder,
        projection=projection,
        sigmas=numbers_of(sigmas, "--sigmas"),
        n_false=n_false,
        false_from=false_from,
        mask_km=mask_km,
        n_neighbours=neighbours,
        bandwidth_km=bandwidth_km,
    )
    options = TrainingOptions(
        encoder=encoder or None,
        weights=weights,
        image_size=image_size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        train_encoder=train_encoder,
        unfreeze_every=unfreeze_every,
        epochs=epochs,
        patience=patience,
        hidden=hidden,
        dropout=dropout,
        seed=seed,
        workers=workers,
        precision=precision,
        augment=augment,
        views=views,
        devices=devices,
        compile=compile_encoder,
        log=log,
    )
    options = options.resolve(None if features is None else FeatureCache.open(features).card)
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
            "features": None if features is None else str(features.resolve()),
            "subset": subset,
        },
        image_size=options.image_size,
    )
    split = split_source(source, seed=seed)
    typer.echo(
        f"{source.table.n_rows} photos: {len(split.train)} to train, {len(split.validation)} to "
        f"validate, {len(split.test)} to test."
    )
    run = run_model(source, split, plan, options, run_dir, resume=resume, keep_places=keep_places)
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
    path_column: PathColumn = None,
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
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

    from geoloc_models.evaluation import write_predictions, write_results
    from geoloc_models.training import evaluate_run, read_split, run_options

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
                "features": None,
                "subset": None,
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
