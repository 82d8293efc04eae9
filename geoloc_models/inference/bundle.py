"""A trained model as a folder: safetensors weights, a JSON card, its cells. No pickle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.references import TrainingSummary
from geoloc_models.files import read_record, reading, replacing_folder, write_record
from geoloc_models.models.encoders import CachedFeatures, Preprocessing, build_encoder
from geoloc_models.models.options import ModelPlan, TrainingOptions, check_number
from geoloc_models.models.tasks import TASKS, PlaceTask

FORMAT, VERSION = "geoloc-model", 2

# What the numbers of a card may be, and whether they are whole.
_NUMBERS = {
    **ModelPlan.numbers(),
    **TrainingOptions.numbers(),
    "boxes": ("[-360, 360]", False),
    "centre": ("[-180, 180]", False),
    "coords": ("[-180, 180]", False),
    "dim": ("[1, inf)", True),
    "image_size": ("[1, 2048]", True),
    "mean": ("[-1000, 1000]", False),
    "n_classes": ("[1, inf)", True),
    "n_frequencies": ("[1, inf)", True),
    "n_train": ("[0, inf)", True),
    "power": ("(0, 1]", False),
    "sigmas": ("(0, inf)", False),
    "std": ("[1e-6, 1000]", False),
    "temperature": ("[0.001, 1000]", False),
}
_LISTS = ("boxes", "centre", "coords", "mean", "n_classes", "sigmas", "std")
_MAY_LACK = ("smoothing_km",)
_TEXTS = ("countries", "majority_country")


@dataclass(frozen=True)
class Bundle:
    """A trained model with what is needed to use it.

    Parameters
    ----------
    task : PlaceTask
        With its trained weights.
    options : dict
        How it was trained: plain values, of
        :meth:`~geoloc_models.training.TrainingOptions.to_dict`.
    summary : TrainingSummary
        Of its training images, for the references of an evaluation.
    record : dict
        Plain values about the training: epochs, best epoch, seconds.
    """

    task: PlaceTask
    options: dict[str, Any]
    summary: TrainingSummary
    record: dict[str, Any] = field(default_factory=dict)


def save_bundle(bundle: Bundle, path: str | Path) -> None:
    """Write a bundle folder, whole or not at all.

    Parameters
    ----------
    bundle : Bundle
        The trained model, with its true encoder rather than one of cached features.
    path : str or Path
        The folder; an older bundle there is replaced. It gets ``model.safetensors``,
        ``card.json`` and what else the task keeps: ``cells.parquet``, say.
    """
    from safetensors.torch import save_file

    task = bundle.task
    if isinstance(task.encoder, CachedFeatures):
        raise GeolocError(
            "A model of cached features cannot place photos; put the encoder that made them into "
            "task.encoder before saving it."
        )
    card = {
        "task": task.name,
        "task_options": task.card(),
        "encoder": task.encoder.name,
        "preprocessing": task.encoder.preprocessing.to_dict(),
        "training_options": bundle.options,
        "training_summary": asdict(bundle.summary),
        "record": bundle.record,
    }
    with replacing_folder(path) as folder:
        state = {name: tensor.contiguous().cpu() for name, tensor in task.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        task.write_files(folder)
        write_record(folder / "card.json", FORMAT, VERSION, card)


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
    bundle = read_record(path / "card.json", FORMAT, VERSION, lambda card: _build(card, path))
    _load_weights(bundle.task, path / "model.safetensors")
    bundle.task.eval()
    return bundle


def _build(card: dict[str, Any], path: Path) -> Bundle:
    """Make an untrained task of the card's architecture, and what the card says besides."""
    for part in ("task_options", "preprocessing", "training_summary"):
        _check_values(part, card[part], path / "card.json")
    _check_layers(card["task_options"], path)
    preprocessing = Preprocessing.from_dict(card["preprocessing"])
    encoder = build_encoder(card["encoder"], image_size=preprocessing.image_size)
    encoder.preprocessing = preprocessing
    if card["task"] not in TASKS:
        raise GeolocError(f"{path} holds a model of the unknown task {card['task']!r}.")
    task = TASKS[card["task"]].from_card(card["task_options"], path, encoder)
    latitude, longitude = card["training_summary"]["centre"]
    summary = TrainingSummary(**{**card["training_summary"], "centre": (latitude, longitude)})
    return Bundle(task, dict(card["training_options"]), summary, dict(card["record"]))


def _check_values(name: str, value: Any, card: Path) -> None:
    """Refuse numbers and names of a card that no task writes."""
    if isinstance(value, list) and (name in _LISTS or name not in _NUMBERS):
        for item in value:
            _check_values(name, item, card)
    elif name in _NUMBERS and not (value is None and name in _MAY_LACK):
        check_number(f"{name} in {card}", value, *_NUMBERS[name])
    elif name in _TEXTS and not isinstance(value, str):
        raise GeolocError(f"{name} in {card} must be text, not {value!r}.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_values(key, item, card)


def _check_layers(task_options: dict[str, Any], path: Path) -> None:
    """Refuse layers that the weights are too small for, before memory is asked for them."""
    most = max((path / "model.safetensors").stat().st_size, 1 << 22)
    for options in (task_options, task_options.get("location_encoder")):
        if not isinstance(options, dict):
            continue
        hidden = options.get("hidden")
        for name in ("hidden", "dim", "n_frequencies"):  # a layer each leads to the hidden ones
            size = options.get(name)
            if not isinstance(hidden, int | float) or not isinstance(size, int | float):
                continue
            if hidden * size > most:
                raise GeolocError(
                    f"{path / 'card.json'} asks for a layer of {hidden} by {size} numbers "
                    f"({name}), more than its weights hold; were files of two bundles mixed?"
                )


def _load_weights(task: PlaceTask, path: Path) -> None:
    from safetensors.torch import load_file

    with reading(path):
        state = load_file(path)
    needed = task.state_dict()
    wrong = sorted(needed.keys() ^ state.keys()) + sorted(
        name for name in needed.keys() & state.keys() if needed[name].shape != state[name].shape
    )
    if wrong:
        raise GeolocError(
            f"{len(wrong)} tensors in {path} do not fit the model of its card (first: "
            f"{wrong[0]}); were files of two bundles mixed?"
        )
    unsound = [name for name, numbers in state.items() if not numbers.isfinite().all()]
    if unsound:
        raise GeolocError(
            f"{path} holds numbers that are not finite (first: in {unsound[0]}). Restore a complete copy, "
            "or train it again."
        )
    task.load_state_dict(state)
