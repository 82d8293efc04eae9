"""The ``geoloc`` command: demo, train, evaluate."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from geoloc_models._errors import GeolocError

if TYPE_CHECKING:
    from geoloc_models.data import BrokenImages
    from geoloc_models.experiment import ModelRun, PhotoSource

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="geoloc",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train models that say where on earth a photo was taken, and measure how well they do.",
)


class Region(StrEnum):
    """Regions of the demo."""

    SWEDEN_SWITZERLAND = "sweden-switzerland"
    WORLD = "world"


class Task(StrEnum):
    """What a model is trained to tell."""

    COUNTRY = "country"
    CELLS = "cells"


class Method(StrEnum):
    """How cells are made."""

    TOP_DOWN = "top_down"
    CONSOLIDATED = "consolidated"


def _one_sentence_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Bad input ends with one sentence and exit code 2, an interruption with 130."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo(
                "\nInterrupted; nothing is half-written. The same command with --resume goes on "
                "after the last whole epoch.",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, OSError) as error:
            logger.debug("bad input", exc_info=True)
            typer.echo(f"Error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(BAD_INPUT) from None

    return wrapped


@app.callback()
def _settings(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what happens, tracebacks of errors included.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    for name in ("matplotlib", "PIL", "numba", "fsspec"):
        logging.getLogger(name).setLevel(logging.WARNING)


@app.command()
@_one_sentence_errors
def demo(
    region: Annotated[
        Region,
        typer.Option(
            help="Two countries and 2 000 places (three to four minutes on two cores), or 20 000 "
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
    _tell_skipped(result.broken, output / "skipped.csv")
    typer.echo("\nPictures and results:")
    for path in result.files:
        typer.echo(f"  {path}")


# Options that train and evaluate share.
_TABLE = "The table of photos"
_CELLS = "Cells"
_MODEL = "Model and training"
_RUN = "Run"

PathColumn = Annotated[str, typer.Option(help="Column of the image files.", rich_help_panel=_TABLE)]
LatitudeColumn = Annotated[
    str, typer.Option(help="Column of latitudes, in degrees.", rich_help_panel=_TABLE)
]
LongitudeColumn = Annotated[
    str, typer.Option(help="Column of longitudes, in degrees.", rich_help_panel=_TABLE)
]
CountryColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of countries, by name or ISO code. Without one, countries come from the "
        "coordinates.",
        rich_help_panel=_TABLE,
        show_default="country, if there is one",
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of groups, such as the photographer or the place: photos of one group never "
        "sit on both sides of the split.",
        rich_help_panel=_TABLE,
        show_default="group, if there is one",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder that relative image paths start from.",
        rich_help_panel=_TABLE,
        show_default="the table's own",
    ),
]


@app.command()
@_one_sentence_errors
def train(
    table: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet: a row per photo, with file, latitude, longitude."),
    ],
    task: Annotated[
        Task,
        typer.Option(help="Tell countries apart (the baseline) or cells.", rich_help_panel=_MODEL),
    ] = Task.CELLS,
    path_column: PathColumn = "path",
    latitude_column: LatitudeColumn = "latitude",
    longitude_column: LongitudeColumn = "longitude",
    country_column: CountryColumn = None,
    group_column: GroupColumn = None,
    root: Root = None,
    method: Annotated[
        Method, typer.Option(help="How the cells are made.", rich_help_panel=_CELLS)
    ] = Method.CONSOLIDATED,
    min_images: Annotated[
        int, typer.Option(help="Training images that a cell needs.", rich_help_panel=_CELLS)
    ] = 200,
    min_cell_size: Annotated[
        float,
        typer.Option(help="Shortest side of a cell, in degrees.", rich_help_panel=_CELLS),
    ] = 0.01,
    max_images: Annotated[
        int | None,
        typer.Option(
            help="With top_down: split while a cell holds more than this.",
            rich_help_panel=_CELLS,
            show_default="split by --min-images",
        ),
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="resnet50, vit_b_16 or tiny.", rich_help_panel=_MODEL)
    ] = "resnet50",
    weights: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder starts: `imagenet`, or a .pth or .safetensors file.",
            rich_help_panel=_MODEL,
            show_default="random numbers",
        ),
    ] = None,
    image_size: Annotated[
        int, typer.Option(help="Side of the images, in pixels.", rich_help_panel=_MODEL)
    ] = 224,
    epochs: Annotated[
        int, typer.Option(help="Times each photo is seen.", rich_help_panel=_MODEL)
    ] = 5,
    batch_size: Annotated[int, typer.Option(help="Photos a step.", rich_help_panel=_MODEL)] = 32,
    learning_rate: Annotated[
        float,
        typer.Option(
            help="Of Adam. The default suits pretrained weights; from random numbers take 1e-3.",
            rich_help_panel=_MODEL,
        ),
    ] = 1e-5,
    schedule: Annotated[
        str,
        typer.Option(
            help="Of the learning rate: constant, or cosine, which lowers it epoch by epoch and "
            "steadies a training from random numbers.",
            rich_help_panel=_MODEL,
        ),
    ] = "constant",
    hidden: Annotated[
        int, typer.Option(help="Width of the head's hidden layers.", rich_help_panel=_MODEL)
    ] = 256,
    dropout: Annotated[
        float, typer.Option(help="In the head, 0 to 1.", rich_help_panel=_MODEL)
    ] = 0.0,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment", help="Crop and mirror training images at random.", rich_help_panel=_MODEL
        ),
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            help="auto (16 bits where the device has them), 32, 16 or bf16.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder.", rich_help_panel=_RUN, show_default="runs/TABLE-MODEL"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the split and the training.", rich_help_panel=_RUN)
    ] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes that load images.", rich_help_panel=_RUN)
    ] = 0,
    log: Annotated[
        str,
        typer.Option(help="csv, or tensorboard for event files as well.", rich_help_panel=_RUN),
    ] = "csv",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --output after its last whole epoch.",
            rich_help_panel=_RUN,
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
    source = _table_source(
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
    _tell(run)
    _tell_skipped(run.broken, run_dir / "skipped.csv")
    typer.echo(f"\nThe run is in {run_dir}; evaluate it again with: geoloc evaluate {run_dir}")


@app.command()
@_one_sentence_errors
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
        source = _source_again(origin)
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
        source = _table_source(
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
    _tell(run)
    _tell_skipped(run.broken, skipped)
    typer.echo(f"\nResults and predictions are in {folder}.")


def _table_source(origin: dict[str, Any]) -> PhotoSource:
    """Photos of a table, by the options it was named with."""
    from geoloc_models.data import FileImages, read_photo_table
    from geoloc_models.experiment import PhotoSource

    options = {name: value for name, value in origin.items() if name not in ("kind", "path")}
    photos = read_photo_table(origin["path"], **options)
    return PhotoSource(photos, FileImages(photos.frame["path"].to_numpy()), origin)


def _source_again(origin: dict[str, Any]) -> PhotoSource:
    """Photos of a run, from what its options.json says about them."""
    kind = origin.get("kind")
    try:
        if kind == "demo":
            from geoloc_models.demo import demo_source

            return demo_source(origin["region"], seed=origin["seed"])
        if kind == "table":
            return _table_source(origin)
    except (KeyError, TypeError) as error:
        raise GeolocError(f"The run's options.json garbles its source: {error}.") from error
    raise GeolocError(
        f"The run's photos are of the unknown kind {kind!r}; name a table of test photos by "
        "--table."
    )


def _tell(run: ModelRun) -> None:
    from geoloc_models.reports import table_text

    typer.echo("\n" + table_text({run.name: run.evaluation}, run.reference))


def _tell_skipped(broken: BrokenImages, path: Path) -> None:
    if len(broken):
        first = broken.messages[0]
        images = "1 broken image was" if len(broken) == 1 else f"{len(broken)} broken images were"
        typer.echo(f"\n{images} skipped (first: {first}); all are listed in {path}.")


def main() -> None:
    """Run the command line."""
    # OpenMP's threads wait for each other by spinning; where other programs want the cores, that
    # made a training step forty times slower. After about a microsecond they now sleep.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
