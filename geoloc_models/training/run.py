"""One model from photos to results: cells, training, predictions, evaluation, a run folder."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from geocells import CellPartition, load_cells
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import (
    Evaluation,
    Predictions,
    evaluate,
    read_predictions,
    summarise_training,
    write_predictions,
    write_results,
)
from geoloc_models.evaluation.references import TrainingSummary, references
from geoloc_models.features.cache import FeatureCache
from geoloc_models.files import locked, reading, write_record
from geoloc_models.inference.bundle import Bundle, save_bundle
from geoloc_models.inference.calibration_report import (
    CALIBRATION_REPORT_FILE,
    CalibrationReport,
    judge_calibration,
    read_calibration_report,
    write_calibration_report,
)
from geoloc_models.inference.decoders import decode_every_way
from geoloc_models.inference.model import Model, load_model
from geoloc_models.inference.model_card import ModelCard, save_model_card
from geoloc_models.inference.network import NetworkOutputs, answer_outputs
from geoloc_models.models.options import ModelPlan, TrainingOptions
from geoloc_models.models.tasks import PlaceTask, PooledTask
from geoloc_models.photos.dataset import BrokenImages
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split
from geoloc_models.training.make_task import Labels, make_labels, make_task
from geoloc_models.training.photos import ModelPhotos, PhotoSource
from geoloc_models.training.run_folder import (
    ANSWERS,
    PARTS,
    RUN_FORMAT,
    RUN_VERSION,
    check_resumable,
    clear,
    holds_run,
    is_finished,
    plan_of_run,
    read_history,
    read_split,
    write_split,
)
from geoloc_models.training.sources import with_features

if TYPE_CHECKING:
    from geoloc_models.training.fit import FitRecord


@dataclass(frozen=True)
class ModelRun:
    """A trained model with its results.

    Parameters
    ----------
    name : str
        Of the model, as in ``results.json``.
    run_dir : Path
        Its folder.
    cells : CellPartition or None
        Its cells, where it has any.
    evaluation : Evaluation
        On the test images, of the answers that the model gives.
    reference : dict
        Figures of guesses that never look at the image, on the same test images.
    predictions : Predictions
        Of the test images that could be read.
    history : list of dict
        Losses and accuracies by epoch.
    broken : BrokenImages
        Images that could not be read, of any part.
    calibration_report : CalibrationReport or None
        Calibration on the test images; None where it was not calibrated.
    plain_evaluation : Evaluation or None
        Of the likeliest class's answers; None where these are the model's own.

    Examples
    --------
    >>> from geoloc_models.training import load_run, table_source
    >>> run = load_run("runs/mine", table_source("split.parquet"))
    >>> run.cells.n_cells > 1, len(run.history)
    (True, 2)
    """

    name: str
    run_dir: Path
    cells: CellPartition | None
    evaluation: Evaluation
    reference: dict[str, float]
    predictions: Predictions
    history: list[dict[str, float]]
    broken: BrokenImages
    calibration_report: CalibrationReport | None = None
    plain_evaluation: Evaluation | None = None

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """By name, as in ``results.json``: of its answers, and of its plain ones beside them."""
        evaluations = {self.name: self.evaluation}
        if self.plain_evaluation is not None:
            evaluations[f"{self.name}_plain"] = self.plain_evaluation
        return evaluations


def run_model(
    source: PhotoSource,
    split: Split,
    plan: ModelPlan,
    options: TrainingOptions,
    run_dir: str | Path,
    *,
    resume: bool = False,
    replace: bool = False,
    keep_places: bool = True,
    cells: CellPartition | None = None,
    progress: bool = True,
) -> ModelRun:
    """Train one model and evaluate it on the test rows.

    Parameters
    ----------
    source : PhotoSource
        All photos.
    split : Split
        Rows to train, validate and test on. Cells and country centres come from the training
        rows alone.
    plan : ModelPlan
        What to train.
    options : TrainingOptions
        How to train it.
    run_dir : str or Path
        Gets options.json, split.parquet, cells.parquet, checkpoints/, history.csv, bundle/,
        predictions.parquet, predictions_plain.parquet, skipped.csv, calibration_report.json and
        results.json.
    resume : bool, default False
        Go on with the run in ``run_dir`` after its last whole epoch; a finished one is read.
    replace : bool, default False
        Train anew although ``run_dir`` holds a run.
    keep_places : bool, default True
        Keep the coordinates of the training images in the bundle, so that it decodes by expected
        utility. Whoever gets the bundle gets them.
    cells : CellPartition, optional
        Cells to learn, in the place of those that the plan would make: by country as groups, or
        without groups.
    progress : bool, default True
        Show progress bars.

    Returns
    -------
    ModelRun

    Raises
    ------
    GeolocError
        Unsound input, or a run folder that holds another run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from geoloc_models.models import ModelPlan, TrainingOptions
    >>> from geoloc_models.training import TableOptions, run_model, split_source, table_source
    >>> source = table_source("split.parquet", TableOptions(features=Path("features.npy")))
    >>> plan, options = ModelPlan("country"), TrainingOptions(epochs=1)
    >>> run = run_model(source, split_source(source), plan, options, "runs/country", progress=False)
    >>> run.name, run.cells
    ('country', None)
    """
    from geoloc_models.training.fit import FitRecord, fit_task, seed_run  # Lightning: seconds

    run_dir, table = Path(run_dir), source.table
    plan = plan.resolve(len(split.train))
    card = None if source.features is None else source.features.card
    options = options.resolve(card, len(split.train))
    content = {
        "plan": plan.to_dict(),
        "training": options.to_dict(),
        "source": source.origin,
        "digest": source.digest(),
        "cells": None if cells is None else _digest_of_cells(cells),
    }
    _check_parts(table, split)
    with locked(run_dir):
        if resume:
            check_resumable(run_dir, content, split)
            if is_finished(run_dir, options):
                return load_run(run_dir, source)
        elif holds_run(run_dir) and not replace:
            raise GeolocError(
                f"{run_dir} already holds a run; pass --resume to continue it, or another --output."
            )

        features = source.features
        if plan.rank_by == "learned":
            features = _learned_features(
                source, split, plan, options, run_dir / "first", resume=resume, progress=progress
            )
        labels = make_labels(plan, table, split.train, features, cells)
        seed_run(options.seed)
        encoder = options.build_encoder()
        photos = ModelPhotos(source, encoder, options, labels)
        seed_run(options.seed)  # however many numbers the encoder's own start has drawn
        task = make_task(plan, options, photos.task_encoder, table, split.train, labels)
        if not resume:
            clear(run_dir)
        _begin(run_dir, content, split, labels)

        record = FitRecord()
        if task.is_trained:
            record = fit_task(
                task,
                photos.dataset(split.train, is_training=True),
                photos.dataset(split.validation),
                options,
                run_dir,
                resume=resume,
                description=f"Training {plan.name}",
                progress=progress,
            )
        task.encoder = encoder  # in the place of cached features

        def read(rows: npt.NDArray[np.int64], what: str) -> NetworkOutputs:
            outputs = photos.outputs(
                task, rows, description=f"{what} {plan.name}", progress=progress
            )
            record.broken.extend(outputs.broken)
            return outputs

        if task.stores_images and (keep_places or not isinstance(task, PooledTask)):
            seen = read(split.train, "Reading training images of")
            if len(seen.rows) == 0:
                raise GeolocError("No training image could be read; check the paths in the table.")
            task.store(seen.arrays, table.coords[seen.rows], table.countries[seen.rows])
        validated, tested = read(split.validation, "Calibrating"), read(split.test, "Testing")
        task.tune(validated.arrays, table.coords[validated.rows])
        model = _save(task, source, split, options, record, run_dir / "bundle", keep_places)

        _calibrate(model, table, validated, tested, run_dir / CALIBRATION_REPORT_FILE)
        record.broken.write_csv(run_dir / "skipped.csv")
        plain = answer_outputs(task, tested)
        for name, answers in zip(ANSWERS, (_answers(model, plain, tested), plain), strict=True):
            write_predictions(run_dir / name, answers)
        run = load_run(run_dir, source)
        model_card = ModelCard.of_training(table.countries[split.train], run.evaluation)
        save_model_card(model_card, model.folder)
        write_results(run_dir / "results.json", run.evaluations, run.reference)
        return run


def _learned_features(
    source: PhotoSource,
    split: Split,
    plan: ModelPlan,
    options: TrainingOptions,
    folder: Path,
    *,
    resume: bool,
    progress: bool,
) -> FeatureCache | None:
    """Features of an encoder that is trained on top-down cells first, in a run of its own."""
    if source.features is not None or options.train_encoder == "none":
        raise GeolocError(
            "rank_by learned needs an encoder that is trained: leave out cached features and "
            "train_encoder none."
        )
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    top_down = ModelPlan("cells", "top_down", plan.min_images, min_cell_size=plan.min_cell_size)
    run_model(source, split, top_down, options, folder, resume=holds_run(folder), progress=progress)
    trained = changed(options, weights=str(folder / "bundle" / "model.safetensors"))
    return with_features(source, trained, folder / "features.npy", progress=progress).features


def _begin(run_dir: Path, content: dict[str, Any], split: Split, labels: Labels) -> None:
    """Write what is known before training; results stand for a whole run, and go."""
    (run_dir / "results.json").unlink(missing_ok=True)
    write_record(run_dir / "options.json", RUN_FORMAT, RUN_VERSION, content)
    write_split(run_dir / "split.parquet", split)
    if labels.first_cells is not None:
        labels.first_cells.save(run_dir / "cells.parquet")


def _save(
    task: PlaceTask,
    source: PhotoSource,
    split: Split,
    options: TrainingOptions,
    record: FitRecord,
    folder: Path,
    keep_places: bool,
) -> Model:
    """Save a trained task as a bundle, with the places of its training images if these are kept."""
    coords, countries = source.table.coords[split.train], source.table.countries[split.train]
    cells = None if task.classes is None else task.classes.cells
    if keep_places and cells is not None and cells.representative_points.is_known:
        _ = cells.medoids  # and modes: places of photos, which are saved once asked for
    about = {
        "n_train": len(split.train),
        "epochs": len(record.history),
        "best_epoch": record.best_epoch,
        "seconds": round(record.seconds, 1),
    }
    bundle = Bundle(task, options.to_dict(), summarise_training(coords, countries), about)
    save_bundle(bundle, folder)
    model = Model(bundle, folder)
    if keep_places:
        model.store_images(coords, countries)
    return model


def _calibrate(
    model: Model, table: PhotoTable, validated: NetworkOutputs, tested: NetworkOutputs, path: Path
) -> None:
    """Calibrate on the validation images, and report on the test images; nothing without images."""
    if len(validated.rows) == 0 or len(tested.rows) == 0:
        return
    rows = validated.rows
    model.calibrate(validated.arrays, table.coords[rows], table.countries[rows])
    rows = tested.rows
    report = judge_calibration(model, tested.arrays, table.coords[rows], table.countries[rows])
    write_calibration_report(path, report)


def _answers(model: Model, plain: Predictions, outputs: NetworkOutputs) -> Predictions:
    """What the model answers with where no decoder is asked for."""
    if model.default_decoder == "argmax" or plain.n_rows == 0:
        return plain
    decoded = model.decode(outputs.arrays)
    return Predictions(decoded.coords, decoded.countries, plain.probabilities, plain.rows)


def _judged(
    run_dir: Path,
    table: PhotoTable,
    summary: TrainingSummary,
    predictions: Predictions,
    plain: Predictions,
    broken: BrokenImages,
) -> ModelRun:
    """A run with answers, and the plain ones where they differ, judged beside guesses."""
    plan = plan_of_run(run_dir)
    coords, countries = table.coords[predictions.rows], table.countries[predictions.rows]
    is_plain = np.array_equal(plain.coords, predictions.coords)
    return ModelRun(
        name=plan.name,
        run_dir=run_dir,
        cells=load_cells(run_dir / "cells.parquet") if plan.has_cells else None,
        evaluation=evaluate(predictions, coords, countries),
        reference=references(summary, coords, countries),
        predictions=predictions,
        history=read_history(run_dir),
        broken=broken,
        plain_evaluation=None if is_plain else evaluate(plain, coords, countries),
    )


def bundle_outputs(
    bundle: Bundle,
    source: PhotoSource,
    rows: npt.NDArray[np.int64],
    *,
    workers: int | None = None,
    description: str = "Predicting",
    progress: bool = True,
) -> NetworkOutputs:
    """Outputs of a trained network for photos, from pixels or from cached features.

    Parameters
    ----------
    bundle : Bundle
        The trained task; left as it is.
    source : PhotoSource
        Photos, with features of the bundle's own encoder or without any.
    rows : ndarray
        (m,) int64, the photos to look at.
    workers : int, optional
        Processes that load images.
    description, progress
        Of the progress bar.

    Raises
    ------
    GeolocError
        If the features are another encoder's.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.inference.bundle import load_bundle
    >>> from geoloc_models.training import bundle_outputs, table_source
    >>> bundle, source = load_bundle("runs/mine/bundle"), table_source("split.parquet")
    >>> bundle_outputs(bundle, source, np.arange(5), progress=False).rows.tolist()
    [0, 1, 2, 3, 4]
    """
    options = changed(
        TrainingOptions.from_dict(bundle.options), workers=workers, augment="none", views=1
    )
    photos = ModelPhotos(source, bundle.task.encoder, options)
    return photos.outputs(bundle.task, rows, description=description, progress=progress)


def evaluate_run(
    run_dir: str | Path,
    source: PhotoSource,
    rows: npt.NDArray[np.int64],
    *,
    workers: int | None = None,
    progress: bool = True,
) -> ModelRun:
    """Predict and evaluate again with the model of a run folder.

    Parameters
    ----------
    run_dir : str or Path
        A finished run.
    source : PhotoSource
        The run's own photos, or others.
    rows : ndarray
        (m,) int64, the rows to test on.
    workers : int, optional
        Processes that load images.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    ModelRun
        Nothing is written.
    """
    run_dir = Path(run_dir)
    name = plan_of_run(run_dir).name
    model = load_model(run_dir / "bundle")
    outputs = bundle_outputs(
        model.bundle,
        source,
        rows,
        workers=workers,
        description=f"Testing {name}",
        progress=progress,
    )
    plain = answer_outputs(model.task, outputs)
    answers = _answers(model, plain, outputs)
    return _judged(run_dir, source.table, model.bundle.summary, answers, plain, outputs.broken)


def decode_run(
    run_dir: str | Path,
    source: PhotoSource,
    rows: npt.NDArray[np.int64],
    *,
    progress: bool = True,
) -> dict[str, Predictions]:
    """Answers of a finished run's model for some photos, by every decoder.

    Parameters
    ----------
    run_dir : str or Path
        A finished run; its bundle knows the training places, unless they were left out.
    source : PhotoSource
        The run's own photos.
    rows : ndarray
        (m,) int64, the photos to place.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    dict of str to Predictions
        As :func:`geoloc_models.inference.decoders.decode_every_way` names them.

    Raises
    ------
    GeolocError
        If it is no finished run, the features are another encoder's, or no image can be read.

    Examples
    --------
    >>> from geoloc_models.training import decode_run, read_split, table_source
    >>> source, split = table_source("split.parquet"), read_split("runs/mine")
    >>> sorted(decode_run("runs/mine", source, split.test, progress=False))[:4]
    ['mean', 'medoid', 'mode', 'top_k']
    """
    model = load_model(Path(run_dir) / "bundle")
    outputs = bundle_outputs(
        model.bundle,
        source,
        rows,
        workers=model.bundle.options["workers"],
        description="Decoding every way",
        progress=progress,
    )
    if len(outputs.rows) == 0:
        raise GeolocError("None of the photos could be read; check the paths in the table.")
    return decode_every_way(model, outputs.arrays, outputs.rows)


def load_run(run_dir: str | Path, source: PhotoSource) -> ModelRun:
    """Read a finished run and evaluate its stored predictions.

    Examples
    --------
    >>> from geoloc_models.training import load_run, table_source
    >>> run = load_run("runs/mine", table_source("split.parquet"))
    >>> sorted(run.evaluation.figures())[:2]
    ['1 km', '200 km']
    """
    run_dir = Path(run_dir)
    train = read_split(run_dir).train
    summary = summarise_training(source.table.coords[train], source.table.countries[train])
    broken = BrokenImages()
    with reading(run_dir / "skipped.csv"):
        skipped = pd.read_csv(run_dir / "skipped.csv")
        broken.extend(zip(skipped["row"], skipped["reason"], strict=True))
    answers, plain = (read_predictions(run_dir / name) for name in ANSWERS)
    run = _judged(run_dir, source.table, summary, answers, plain, broken)
    report = run_dir / CALIBRATION_REPORT_FILE
    if report.is_file():
        run = changed(run, calibration_report=read_calibration_report(report))
    return run


def _digest_of_cells(cells: CellPartition) -> str:
    """16 hexadecimal digits."""
    content = cells.locations.tobytes() + cells.counts.tobytes()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _check_parts(table: PhotoTable, split: Split) -> None:
    for part in PARTS:
        rows = getattr(split, part)
        if len(rows) == 0:
            raise GeolocError(
                f"The {part} part of the split is empty; the table has {table.n_rows} rows. More "
                "photos are needed, or groups that are smaller."
            )
