"""Train a model, and test it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from geocells.output import echo
from geoloc_models.cli.common import command_line, report_skipped
from geoloc_models.errors import GeolocError
from geoloc_models.models.options import ModelPlan, TrainingOptions
from geoloc_models.training.sources import TableOptions

if TYPE_CHECKING:
    from geoloc_models.tables.photo_table import PhotoTable
    from geoloc_models.training import ModelRun

_WORSE = 0.01  # of an error of calibration

TABLE = Parameter(name="*", group=Group("The table of photos", sort_key=1))
MODEL = Group("The model", sort_key=2)
PLAN = Parameter(name="*", group=MODEL)
TRAINING = Parameter(name="*", group=Group("Training", sort_key=3))


def train(
    table: Path,
    *,
    columns: Annotated[TableOptions, TABLE] = TableOptions(),  # noqa: B008  # frozen
    plan: Annotated[ModelPlan, PLAN] = ModelPlan(),  # noqa: B008
    training: Annotated[TrainingOptions, TRAINING] = TrainingOptions(),  # noqa: B008
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    cells: Annotated[Path | None, Parameter(group=MODEL)] = None,
    keep_places: bool = True,
    resume: bool = False,
) -> None:
    """Train a model on your photos and test it.

    The photos are split 80/10/10 into training, validation and test, unless the table has a
    column part. Results are on the test photos, for the epoch with the lowest validation loss.

    Parameters
    ----------
    table : Path
        CSV, TSV, JSON lines or Parquet: one row per photo, with file, latitude, longitude.
    columns : TableOptions
        What of it is read.
    plan : ModelPlan
        What is trained.
    training : TrainingOptions
        How. The seed is that of the split too.
    output : Path, optional
        Folder of the run. Default: runs/TABLE-MODEL.
    cells : Path, optional
        Learn the cells in this file, of `geocells build` or from Python. Default: cells are made by
        the options above.
    keep_places : bool
        Keep the coordinates of the training photos in the bundle, for better answers. Turn this off
        for a model that you share.
    resume : bool
        Continue the run in --output after its last complete epoch.
    """
    from geocells import load_cells
    from geocells.tables import columns_note
    from geoloc_models.training import run_model, split_source
    from geoloc_models.training.sources import table_source

    if cells is not None and plan.label is None:
        plan = replace(plan, label=cells.stem)
    run_dir = output or Path("runs") / f"{table.stem}-{plan.name}"
    image_size = training.resolve().image_size
    source = table_source(table, columns, image_size=image_size, run_dir=run_dir)
    echo(columns_note(source.table.columns))
    split = split_source(source, seed=training.seed)
    plan = plan.resolve(len(split.train))
    echo(
        f"{source.table.n_rows} photos: {len(split.train)} to train, {len(split.validation)} to "
        f"validate, {len(split.test)} to test."
    )
    run = run_model(
        source,
        split,
        plan,
        training,
        run_dir,
        resume=resume,
        keep_places=keep_places,
        cells=None if cells is None else load_cells(cells),
    )
    if run.cells is not None:
        counts, of_each = run.cells.counts, ""
        if cells is None:
            of_each = f" of {counts.min()} to {counts.max()} training photos (min_images {plan.min_images})"
        echo(f"{run.cells.n_cells} cell{'s' if run.cells.n_cells != 1 else ''}{of_each}.")
        if plan.partitions and cells is None:
            echo(f"Partitions: {', '.join(plan.partitions)}.")
    _report_results(run)
    report_skipped(run.broken, run_dir / "skipped.csv")
    echo(
        f"\nThe run is in {run_dir}. Ask it, or test it again:\n"
        f"  {command_line('geoloc', 'predict', 'PHOTOS', **{'--model': run_dir})}\n"
        f"  {command_line('geoloc', 'evaluate', run_dir)}"
    )


def evaluate(
    run_dir: Path,
    *,
    table: Path | None = None,
    columns: Annotated[TableOptions, TABLE] = TableOptions(),  # noqa: B008
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    workers: int | None = None,
) -> None:
    """Test a trained model again, or on another table.

    Parameters
    ----------
    run_dir : Path
        Folder of a run of train or demo.
    table : Path, optional
        Test on all photos of this table. Default: on the run's own test photos.
    columns : TableOptions
        With --table: what of it is read.
    output : Path, optional
        Folder for results.json, predictions.parquet and skipped.csv. Default: RUN_DIR, or
        RUN_DIR/on-TABLE.
    workers : int, optional
        Processes that load images; 0: the main process. Default: 0, with a GPU one per core up to
        16.
    """
    import numpy as np

    from geocells.tables import columns_note
    from geoloc_models.evaluation import write_predictions, write_results
    from geoloc_models.files import locked
    from geoloc_models.training import read_split
    from geoloc_models.training.run import evaluate_run
    from geoloc_models.training.run_folder import run_options
    from geoloc_models.training.sources import source_of_run, table_source

    run_options(run_dir)
    if table is None:
        source, split = source_of_run(run_dir), read_split(run_dir)
        rows = split.test
        n_rows = len(split.train) + len(split.validation) + len(split.test)
        if n_rows != source.table.n_rows:
            raise GeolocError(
                f"The table has {source.table.n_rows} rows now, but had {n_rows} when the run was "
                "made, so its test photos are unknown; name a table of test photos by --table."
            )
        folder = output or run_dir
    else:
        source = table_source(table, columns)
        rows = np.arange(source.table.n_rows)
        folder = output or run_dir / f"on-{table.stem}"
        echo(columns_note(source.table.columns))
        n_known = _n_trained_on(run_dir, source.table)
        if n_known:
            echo(
                f"Note: the model was trained on {n_known} of these {len(rows)} photos, so the figures "
                "are too good. Without --table, it is tested on its own test photos.",
                error=True,
            )
    with locked(folder):
        run = evaluate_run(run_dir, source, rows, workers=workers)
        write_predictions(folder / "predictions.parquet", run.predictions)
        write_results(folder / "results.json", run.evaluations, run.reference)
        # A run's own list names its training photos too, and stays.
        skipped = folder / ("skipped.csv" if folder != run_dir else "skipped_test.csv")
        if len(run.broken) or folder != run_dir:
            run.broken.write_csv(skipped)
    _report_results(run)
    report_skipped(run.broken, skipped)
    echo(f"\nResults and predictions are in {folder}.")


def _n_trained_on(run_dir: Path, table: PhotoTable) -> int:
    """Photos of a table that are training photos of a run; 0 where its own table is gone."""
    from geoloc_models.features.cache import row_keys
    from geoloc_models.training import read_split
    from geoloc_models.training.sources import source_of_run

    try:
        trained = source_of_run(run_dir).table.take(read_split(run_dir).train)
    except (ValueError, IndexError):
        return 0
    trained_on, evaluated = (
        set(zip(row_keys(each), *each.coords.T.tolist(), strict=True)) for each in (trained, table)
    )
    return len(trained_on & evaluated)


def _report_results(run: ModelRun) -> None:
    from geoloc_models.reports import table_text

    calibration = {run.name: run.calibration_report}
    echo("\n" + table_text(run.evaluations, run.reference, calibration))
    report = run.calibration_report
    errors = (None, None) if report is None else (report.error_as_trained, report.error_calibrated)
    before, after = errors
    if before is not None and after is not None and after > before + _WORSE:
        echo(
            "Note: calibration raised the error of the likeliest class's probability on the test "
            f"photos from {100 * before:.1f} to {100 * after:.1f} %: do not rely on these "
            "probabilities. More validation photos help.",
            error=True,
        )
