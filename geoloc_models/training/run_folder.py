"""The files of a run folder: options, split, history; and whether a run can go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoloc_models.errors import GeolocError
from geoloc_models.files import read_record, reading, replacing
from geoloc_models.models.options import ModelPlan, TrainingOptions
from geoloc_models.models.tasks import TASKS
from geoloc_models.tables.split import Split

RUN_FORMAT = "geoloc-run"
RUN_VERSION = 2
PARTS = ("train", "validation", "test")
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_CHANGEABLE = ("epochs", "workers", "log", "devices", "compile")  # what a resumed run may change
ANSWERS = ("predictions.parquet", "predictions_plain.parquet")
_LOCATIONS = ("path", "root", "features")


def run_options(run_dir: str | Path) -> dict[str, Any]:
    """Read the options.json of a run folder: its plan, training options, source and digests."""
    path = Path(run_dir) / "options.json"
    if not path.is_file():
        raise GeolocError(f"{run_dir} is not a run folder: options.json is missing.")
    return read_record(path, RUN_FORMAT, RUN_VERSION, _checked)


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    for part in ("plan", "training", "source"):
        if not isinstance(content[part], dict):
            raise ValueError(f"its part {part!r}")
    ModelPlan.from_dict(content["plan"])
    return content


def plan_of_run(run_dir: str | Path) -> ModelPlan:
    """Read the plan of a run folder."""
    return ModelPlan.from_dict(run_options(run_dir)["plan"])


def read_split(run_dir: str | Path) -> Split:
    """Read the split of a run folder.

    Examples
    --------
    >>> from geoloc_models.training import read_split
    >>> split = read_split("runs/mine")
    >>> len(split.train) + len(split.validation) + len(split.test)
    160
    """
    path = Path(run_dir) / "split.parquet"
    if not path.is_file():
        raise GeolocError(f"{run_dir} is not a complete run folder: split.parquet is missing.")
    with reading(path):
        frame = pd.read_parquet(path)
        return Split(
            *(frame.loc[frame["part"] == part, "row"].to_numpy(np.int64) for part in PARTS)
        )


def write_split(path: Path, split: Split) -> None:
    """Write the part of each row."""
    parts = [(part, getattr(split, part)) for part in PARTS]
    frame = pd.DataFrame(
        {
            "row": np.concatenate([rows for _, rows in parts]),
            "part": np.concatenate([np.repeat(part, len(rows)) for part, rows in parts]),
        }
    )
    with replacing(path) as partial:
        frame.sort_values("row").to_parquet(partial, index=False)


def holds_run(run_dir: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return (run_dir / "checkpoints" / "last.ckpt").exists() or (run_dir / "results.json").exists()


def is_finished(run_dir: Path, options: TrainingOptions) -> bool:
    """Whether all epochs were run, or were stopped early, and all files are there."""
    names = ("results.json", *ANSWERS, "skipped.csv", "bundle/card.json")
    if not all((run_dir / name).is_file() for name in names):
        return False
    if not TASKS[plan_of_run(run_dir).task].is_trained:
        return True
    return has_ended(read_history(run_dir), options)


def best_epoch(history: list[dict[str, float]]) -> int:
    """The epoch with the lowest validation loss, counted from 1; 0 before the first."""
    losses = [epoch["val_loss"] for epoch in history]
    return 1 + int(np.argmin(np.nan_to_num(losses, nan=np.inf))) if losses else 0


def has_ended(history: list[dict[str, float]], options: TrainingOptions) -> bool:
    """Whether all epochs were run, or so many in turn were no better that the run stops early."""
    if options.epochs is not None and len(history) >= options.epochs:
        return True
    return options.patience is not None and len(history) - best_epoch(history) >= options.patience


def check_resumable(run_dir: Path, content: dict[str, Any], split: Split) -> None:
    """Refuse to go on with a run of other options or other photos, wherever these lie now."""
    if not (run_dir / "options.json").is_file():
        return  # nothing to go on with: start anew
    before = run_options(run_dir)
    has_schedule = content["training"]["schedule"] != "constant"  # it depends on how many epochs
    for part in ("plan", "training", "source"):
        for name, value in content[part].items():
            if name in _CHANGEABLE and not (name == "epochs" and has_schedule):
                continue
            if part == "source" and name in _LOCATIONS:
                continue
            earlier = before.get(part, {}).get(name)
            if earlier != value:
                raise GeolocError(
                    f"The run in {run_dir} was made with {name} = {earlier}, not {value}; resume "
                    "it with the same options, or choose another --output."
                )
    if before.get("cells") != content["cells"]:
        raise GeolocError(
            f"The run in {run_dir} was made with other cells; resume it with the same --cells, or "
            "choose another --output."
        )
    has_changed = before.get("digest", content["digest"]) != content["digest"]
    if (run_dir / "split.parquet").is_file():
        earlier_split = read_split(run_dir)
        has_changed |= any(
            not np.array_equal(getattr(earlier_split, part), getattr(split, part)) for part in PARTS
        )
    if has_changed:
        raise GeolocError(
            f"The photos have changed since the run in {run_dir} was begun (coordinates, countries, "
            "ids, parts, image files or features). Choose another --output."
        )


def clear(run_dir: Path) -> None:
    """Take away what an earlier run left, so that no file of it is mistaken for this one's."""
    for name in ("checkpoints", "bundle", "tensorboard"):
        shutil.rmtree(run_dir / name, ignore_errors=True)
    for name in (
        "results.json",
        *ANSWERS,
        "calibration_report.json",
        "skipped.csv",
        "history.csv",
        "cells.parquet",
        "split.parquet",
        "options.json",
    ):
        (run_dir / name).unlink(missing_ok=True)


def read_history(run_dir: Path) -> list[dict[str, float]]:
    """Losses and accuracies by epoch."""
    path = run_dir / "history.csv"
    if not path.is_file():
        return []
    with reading(path):
        frame = pd.read_csv(path, dtype=np.float64)[["epoch", *METRICS]]
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]
