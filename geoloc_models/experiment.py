"""One model from photos to results: split, cells, training, predictions, evaluation, a run folder."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from geocells import CellBuilder, CellPartition, load_cells
from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, replacing, write_json
from geoloc_models.data import (
    BrokenImages,
    ImageSource,
    PhotoDataset,
    PhotoTable,
    Split,
    make_loader,
    make_transform,
    split_rows,
)
from geoloc_models.encoders import build_encoder
from geoloc_models.evaluation import (
    Evaluation,
    Predictions,
    evaluate,
    references,
    summarise_training,
)
from geoloc_models.predict import predict
from geoloc_models.reports import read_predictions, write_predictions, write_results
from geoloc_models.tasks import (
    CellTask,
    ClassificationTask,
    CountryTask,
    answers_of_cells,
    answers_of_countries,
)
from geoloc_models.training import (
    METRICS,
    Bundle,
    TrainingOptions,
    fit_task,
    load_bundle,
    save_bundle,
    seed_run,
)

RUN_FORMAT = "geoloc-run"
RUN_VERSION = 1
_PARTS = ("train", "validation", "test")
_CHANGEABLE = ("epochs", "workers", "log")  # training options that a resumed run may change


@dataclass(frozen=True)
class PhotoSource:
    """Photos to learn from.

    Parameters
    ----------
    table : PhotoTable
        Coordinates and countries.
    images : ImageSource
        The image of each row of the table.
    origin : dict
        Plain values that say where both came from, kept in the run folder.
    """

    table: PhotoTable
    images: ImageSource
    origin: dict[str, Any]


@dataclass(frozen=True)
class ModelPlan:
    """What to train.

    Parameters
    ----------
    task : {"country", "cells"}
        The baseline, or a classifier over cells.
    method : {"top_down", "consolidated"}
        How the cells are made.
    min_images : int
        Training images that a cell needs.
    min_cell_size : float
        Shortest side of a cell, in degrees.
    max_images : int, optional
        With ``top_down``: split while a cell holds more than this.
    """

    task: Literal["country", "cells"]
    method: str = "top_down"
    min_images: int = 200
    min_cell_size: float = 0.01
    max_images: int | None = None

    def __post_init__(self) -> None:
        if self.task not in ("country", "cells"):
            raise GeolocError(f"Unknown task {self.task!r}; choose country or cells.")
        # As CellBuilder's own checks, but before an hour of training has gone by.
        for name in ("min_images", "max_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise GeolocError(f"{name} must be at least 1; got {value}.")
        if not 0 < self.min_cell_size < float("inf"):
            raise GeolocError(
                "min_cell_size must be a finite number of degrees above 0; got "
                f"{self.min_cell_size}."
            )

    @property
    def name(self) -> str:
        """The model's name in results."""
        return "country" if self.task == "country" else f"cells_{self.method}"


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
        On the test images.
    reference : dict
        Figures of guesses that never look at the image, on the same test images.
    predictions : Predictions
        Of the test images that could be read.
    history : list of dict
        Losses and accuracies by epoch.
    broken : BrokenImages
        Images that could not be read, of any part.
    """

    name: str
    run_dir: Path
    cells: CellPartition | None
    evaluation: Evaluation
    reference: dict[str, float]
    predictions: Predictions
    history: list[dict[str, float]]
    broken: BrokenImages


def split_source(
    source: PhotoSource,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split a source, keeping its groups together and its countries in proportion."""
    table = source.table
    return split_rows(
        table.n_rows,
        groups=table.groups,
        strata=table.countries,
        fractions=fractions,
        seed=seed,
    )


def run_model(
    source: PhotoSource,
    split: Split,
    plan: ModelPlan,
    options: TrainingOptions,
    run_dir: str | Path,
    *,
    resume: bool = False,
    replace: bool = False,
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
        predictions.parquet, skipped.csv and results.json.
    resume : bool, default False
        Go on with the run in ``run_dir`` after its last whole epoch; a finished one is read.
    replace : bool, default False
        Train anew although ``run_dir`` holds a run.
    progress : bool, default True
        Show progress bars.

    Returns
    -------
    ModelRun

    Raises
    ------
    GeolocError
        Unsound input, or a run folder that holds another run.
    """
    run_dir = Path(run_dir)
    content = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "plan": asdict(plan),
        "training": options.to_dict(),
        "source": source.origin,
    }
    _check_parts(source.table, split)
    if resume:
        _check_resumable(run_dir, content, split)
        if _is_finished(run_dir, options):
            return load_run(run_dir, source)
    elif _holds_run(run_dir) and not replace:
        raise GeolocError(
            f"{run_dir} already holds a run; pass --resume to go on with it, or another --output."
        )

    coords, countries = source.table.coords, source.table.countries
    answers = answers_of_countries(coords[split.train], countries[split.train])
    country_index = _index_of(countries, answers.countries)
    cells, cell_labels = None, None
    if plan.task == "cells":
        cells, cell_labels = _fit_cells(source.table, split, plan)
    seed_run(options.seed)
    how: dict[str, Any] = {
        "learning_rate": options.learning_rate,
        "hidden": options.hidden,
        "dropout": options.dropout,
        "schedule": options.schedule,
    }
    encoder = build_encoder(options.encoder, weights=options.weights)
    task: ClassificationTask = (
        CountryTask(encoder, answers, **how) if cells is None else CellTask(encoder, cells, **how)
    )

    run_dir.mkdir(parents=True, exist_ok=True)
    if not resume:
        _clear(run_dir)
    write_json(run_dir / "options.json", content)
    _write_split(run_dir / "split.parquet", split)
    if cells is not None:
        cells.save(run_dir / "cells.parquet")

    def dataset(rows: npt.NDArray[np.int64], *, augment: bool = False) -> PhotoDataset:
        return PhotoDataset(
            source.images,
            coords,
            country_index,
            make_transform(options.image_size, augment=augment),
            cell_labels=cell_labels,
            rows=rows,
        )

    record = fit_task(
        task,
        dataset(split.train, augment=options.augment),
        dataset(split.validation),
        options,
        run_dir,
        resume=resume,
        description=f"Training {plan.name}",
        progress=progress,
    )
    summary = summarise_training(coords[split.train], countries[split.train])
    save_bundle(
        Bundle(
            task,
            options,
            summary,
            {
                "n_train": len(split.train),
                "epochs": len(record.history),
                "best_epoch": record.best_epoch,
                "seconds": round(record.seconds, 1),
            },
        ),
        run_dir / "bundle",
    )
    result = predict(
        task,
        make_loader(
            dataset(split.test),
            batch_size=options.batch_size,
            shuffle=False,
            seed=options.seed,
            workers=options.workers,
        ),
        description=f"Testing {plan.name}",
        progress=progress,
    )
    record.broken.extend(result.broken)
    evaluation, reference = _judge(result.predictions, source.table, summary)
    record.broken.write_csv(run_dir / "skipped.csv")
    write_predictions(run_dir / "predictions.parquet", result.predictions)
    write_results(run_dir / "results.json", {plan.name: evaluation}, reference)
    return ModelRun(
        plan.name,
        run_dir,
        cells,
        evaluation,
        reference,
        result.predictions,
        record.history,
        record.broken,
    )


def evaluate_run(
    run_dir: str | Path,
    source: PhotoSource,
    rows: npt.NDArray[np.int64],
    *,
    workers: int = 0,
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
    workers : int, default 0
        Processes that load images.
    progress : bool, default True
        Show a progress bar.

    Returns
    -------
    ModelRun
        Nothing is written.
    """
    run_dir = Path(run_dir)
    plan = plan_of_run(run_dir)
    bundle = load_bundle(run_dir / "bundle")
    options = bundle.options
    loader = make_loader(
        PhotoDataset(
            source.images,
            source.table.coords,
            np.full(source.table.n_rows, -1),
            make_transform(options.image_size),
            rows=rows,
        ),
        batch_size=options.batch_size,
        shuffle=False,
        seed=options.seed,
        workers=workers,
    )
    result = predict(bundle.task, loader, description=f"Testing {plan.name}", progress=progress)
    evaluation, reference = _judge(result.predictions, source.table, bundle.summary)
    cells = bundle.task.cells if isinstance(bundle.task, CellTask) else None
    return ModelRun(
        plan.name,
        run_dir,
        cells,
        evaluation,
        reference,
        result.predictions,
        _read_history(run_dir),
        result.broken,
    )


def load_run(run_dir: str | Path, source: PhotoSource) -> ModelRun:
    """Read a finished run, judging its stored predictions anew."""
    run_dir = Path(run_dir)
    plan = plan_of_run(run_dir)
    summary = load_bundle(run_dir / "bundle").summary
    predictions = read_predictions(run_dir / "predictions.parquet")
    evaluation, reference = _judge(predictions, source.table, summary)
    cells = load_cells(run_dir / "cells.parquet") if plan.task == "cells" else None
    broken = BrokenImages()
    try:
        skipped = pd.read_csv(run_dir / "skipped.csv")
        broken.extend(zip(skipped["row"], skipped["reason"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(run_dir / "skipped.csv", error) from error
    return ModelRun(
        plan.name,
        run_dir,
        cells,
        evaluation,
        reference,
        predictions,
        _read_history(run_dir),
        broken,
    )


def run_options(run_dir: str | Path) -> dict[str, Any]:
    """Read the options.json of a run folder."""
    run_dir = Path(run_dir)
    if not (run_dir / "options.json").is_file():
        raise GeolocError(f"{run_dir} is no run folder: options.json is missing.")
    content = read_json(run_dir / "options.json")
    if not isinstance(content, dict) or content.get("format") != RUN_FORMAT:
        raise GeolocError(f"{run_dir / 'options.json'} does not describe a geoloc run.")
    if content.get("version") != RUN_VERSION:
        raise GeolocError(
            f"{run_dir} is a run of version {content.get('version')}; this release reads version "
            f"{RUN_VERSION}. Train it again, or use the release that wrote it."
        )
    for part in ("plan", "training", "source"):
        if not isinstance(content.get(part), dict):
            raise GeolocError(
                f"{run_dir / 'options.json'} lacks or garbles its part {part!r}. Train it again."
            )
    return content


def plan_of_run(run_dir: str | Path) -> ModelPlan:
    """Read the plan of a run folder."""
    try:
        return ModelPlan(**run_options(run_dir)["plan"])
    except (KeyError, TypeError) as error:
        raise GeolocError(f"{Path(run_dir) / 'options.json'} lacks or garbles {error}.") from error


def read_split(run_dir: str | Path) -> Split:
    """Read the split of a run folder."""
    path = Path(run_dir) / "split.parquet"
    if not path.is_file():
        raise GeolocError(f"{run_dir} is no whole run folder: split.parquet is missing.")
    try:
        frame = pd.read_parquet(path)
        parts = [frame.loc[frame["part"] == part, "row"].to_numpy(np.int64) for part in _PARTS]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    return Split(*parts)


def _damaged(path: Path, error: Exception) -> GeolocError:
    reason = " ".join(str(error).split()).rstrip(".")
    return GeolocError(f"{path} is damaged ({reason}). Bring back a whole copy, or train it again.")


def _write_split(path: Path, split: Split) -> None:
    parts = [(part, getattr(split, part)) for part in _PARTS]
    frame = pd.DataFrame(
        {
            "row": np.concatenate([rows for _, rows in parts]),
            "part": np.concatenate([np.repeat(part, len(rows)) for part, rows in parts]),
        }
    )
    with replacing(path) as partial:
        frame.sort_values("row").to_parquet(partial, index=False)


def _fit_cells(
    table: PhotoTable, split: Split, plan: ModelPlan
) -> tuple[CellPartition, npt.NDArray[np.int64]]:
    """Cells of the training rows, and the label of every row; -1 in a country without cells."""
    coords, countries = table.coords, table.countries
    builder = CellBuilder(
        plan.min_images,
        method=plan.method,
        min_cell_size=plan.min_cell_size,
        max_images=plan.max_images,
    ).fit(coords[split.train], groups=countries[split.train])
    cells = builder.cells_
    known = np.isin(countries, answers_of_cells(cells).countries)
    labels = np.full(table.n_rows, -1, dtype=np.int64)
    labels[known] = cells.assign(coords[known], groups=countries[known])
    return cells, labels


def _index_of(
    countries: npt.NDArray[np.object_], names: npt.NDArray[np.object_]
) -> npt.NDArray[np.int64]:
    """Position of each country among the names; -1 for one that is not there."""
    return pd.Index(names).get_indexer(pd.Index(countries, dtype=object)).astype(np.int64)


def _judge(
    predictions: Predictions, table: PhotoTable, summary: Any
) -> tuple[Evaluation, dict[str, float]]:
    """Evaluation and references on the rows that were predicted."""
    coords, countries = table.coords[predictions.rows], table.countries[predictions.rows]
    evaluation = evaluate(predictions, coords, countries)
    return evaluation, references(summary, coords, countries)


def _check_parts(table: PhotoTable, split: Split) -> None:
    for part in _PARTS:
        rows = getattr(split, part)
        if len(rows) == 0:
            raise GeolocError(
                f"The {part} part of the split is empty; the table has {table.n_rows} rows. More "
                "photos are needed, or groups that are smaller."
            )


def _holds_run(run_dir: Path) -> bool:
    return (run_dir / "checkpoints" / "last.ckpt").exists() or (run_dir / "results.json").exists()


def _is_finished(run_dir: Path, options: TrainingOptions) -> bool:
    names = ("results.json", "predictions.parquet", "skipped.csv", "bundle/card.json")
    return (
        all((run_dir / name).is_file() for name in names)
        and len(_read_history(run_dir)) >= options.epochs
    )


def _check_resumable(run_dir: Path, content: dict[str, Any], split: Split) -> None:
    """Refuse to go on with a run of other options or other photos."""
    if not (run_dir / "options.json").is_file():
        return  # nothing to go on with: start anew
    before = run_options(run_dir)
    is_cosine = content["training"]["schedule"] == "cosine"  # it depends on the number of epochs
    for part in ("plan", "training", "source"):
        for name, value in content[part].items():
            if name in _CHANGEABLE and not (name == "epochs" and is_cosine):
                continue
            earlier = before.get(part, {}).get(name)
            if earlier != value:
                raise GeolocError(
                    f"The run in {run_dir} was made with {name} = {earlier}, not {value}; resume "
                    "it with the same options, or choose another --output."
                )
    if (run_dir / "split.parquet").is_file():
        earlier_split = read_split(run_dir)
        for part in _PARTS:
            if not np.array_equal(getattr(earlier_split, part), getattr(split, part)):
                raise GeolocError(
                    f"The photos have changed since the run in {run_dir} was begun: their split "
                    "is another. Choose another --output."
                )


def _clear(run_dir: Path) -> None:
    """Take away what an earlier run left, so that no file of it is mistaken for this one's."""
    for name in ("checkpoints", "bundle", "tensorboard"):
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in (
        "results.json",
        "predictions.parquet",
        "skipped.csv",
        "history.csv",
        "cells.parquet",
        "split.parquet",
        "options.json",
    ):
        (run_dir / name).unlink(missing_ok=True)


def _read_history(run_dir: Path) -> list[dict[str, float]]:
    path = run_dir / "history.csv"
    if not path.is_file():
        return []
    try:
        frame = pd.read_csv(path, dtype=np.float64)[["epoch", *METRICS]]
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]
