"""A trained model as a folder: safetensors weights, a JSON card, its cells. No pickle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geocells import load_cells
from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, replacing_folder, write_json
from geoloc_models.encoders import build_encoder
from geoloc_models.evaluation import TrainingSummary
from geoloc_models.tasks import Answers, CellTask, ClassificationTask, CountryTask
from geoloc_models.training.options import TrainingOptions

FORMAT = "geoloc-model"
VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A trained model with what is needed to use it.

    Parameters
    ----------
    task : ClassificationTask
        With its trained weights.
    options : TrainingOptions
        How it was trained; ``image_size`` is what it wants to see.
    summary : TrainingSummary
        Of its training images, for the references of an evaluation.
    record : dict
        Plain values about the training: epochs, best epoch, seconds.
    """

    task: ClassificationTask
    options: TrainingOptions
    summary: TrainingSummary
    record: dict[str, Any] = field(default_factory=dict)


def save_bundle(bundle: Bundle, path: str | Path) -> None:
    """Write a bundle folder, whole or not at all.

    Parameters
    ----------
    bundle : Bundle
        The trained model.
    path : str or Path
        The folder; an older bundle there is replaced. It gets ``model.safetensors``,
        ``card.json`` and, for a cell model, ``cells.parquet``.
    """
    from safetensors.torch import save_file

    task = bundle.task
    card: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "task": task.name,
        "n_classes": task.answers.n_classes,
        "training_options": bundle.options.to_dict(),
        "training_summary": asdict(bundle.summary),
        "record": bundle.record,
    }
    with replacing_folder(path) as folder:
        state = {name: tensor.contiguous().cpu() for name, tensor in task.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        if isinstance(task, CellTask):
            task.cells.save(folder / "cells.parquet")
        else:
            card["classes"] = {
                "countries": task.answers.countries.tolist(),
                "coords": task.answers.coords.tolist(),
            }
        write_json(folder / "card.json", card)


def load_bundle(path: str | Path) -> Bundle:
    """Load a bundle folder; runs no code from it.

    Parameters
    ----------
    path : str or Path
        A folder that :func:`save_bundle` wrote.

    Returns
    -------
    Bundle
        Its task is in evaluation mode, on the CPU.

    Raises
    ------
    GeolocError
        A file is missing, of another version, or does not fit the others.
    """
    path = Path(path)
    for name in ("card.json", "model.safetensors"):
        if not (path / name).is_file():
            raise GeolocError(f"{path} is no model bundle: {name} is missing.")
    card = read_json(path / "card.json")
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise GeolocError(f"{path / 'card.json'} is not the card of a {FORMAT} bundle.")
    if card.get("version") != VERSION:
        raise GeolocError(
            f"{path} is a bundle of version {card.get('version')}; this release reads version "
            f"{VERSION}. Train it again, or use the release that wrote it."
        )
    try:
        options = TrainingOptions.from_dict(card["training_options"])
        summary = _summary(card["training_summary"])
        task = _build(card, options, path)
        record = dict(card["record"])
    except (KeyError, TypeError) as error:
        raise GeolocError(f"{path / 'card.json'} lacks or garbles {error}.") from error
    _load_weights(task, path / "model.safetensors")
    task.eval()
    return Bundle(task, options, summary, record)


def _summary(content: dict[str, Any]) -> TrainingSummary:
    latitude, longitude = content["centre"]
    return TrainingSummary(
        int(content["n_train"]),
        str(content["majority_country"]),
        (float(latitude), float(longitude)),
    )


def _build(card: dict[str, Any], options: TrainingOptions, path: Path) -> ClassificationTask:
    """Make an untrained task of the card's architecture."""
    encoder = build_encoder(options.encoder)
    how: dict[str, Any] = {
        "learning_rate": options.learning_rate,
        "hidden": options.hidden,
        "dropout": options.dropout,
        "schedule": options.schedule,
    }
    task: ClassificationTask
    if card["task"] == CellTask.name:
        if not (path / "cells.parquet").is_file():
            raise GeolocError(f"{path} is no whole cell model: cells.parquet is missing.")
        task = CellTask(encoder, load_cells(path / "cells.parquet"), **how)
    elif card["task"] == CountryTask.name:
        classes = card["classes"]
        answers = Answers(
            np.asarray(classes["coords"], dtype=np.float64).reshape(-1, 2),
            np.array(classes["countries"], dtype=object),
        )
        task = CountryTask(encoder, answers, **how)
    else:
        raise GeolocError(f"{path} holds a model of the unknown task {card['task']!r}.")
    if task.answers.n_classes != card["n_classes"]:
        raise GeolocError(
            f"{path} names {card['n_classes']} classes but describes {task.answers.n_classes}."
        )
    return task


def _load_weights(task: ClassificationTask, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise GeolocError(
            f"{path} cannot be read as safetensors ({error}). Bring back a whole copy, or train it again."
        ) from error
    own = task.state_dict()
    wrong = sorted(own.keys() ^ state.keys()) + sorted(
        name for name in own.keys() & state.keys() if own[name].shape != state[name].shape
    )
    if wrong:
        raise GeolocError(
            f"{len(wrong)} tensors in {path} do not fit the model of its card (first: "
            f"{wrong[0]}); were files of two bundles mixed?"
        )
    task.load_state_dict(state)
