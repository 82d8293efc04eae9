"""Run a trained task's network over images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from geoloc_models.best_device import best_device
from geoloc_models.evaluation import Predictions
from geoloc_models.models.tasks import PlaceTask
from geoloc_models.photos.dataset import BrokenImages


@dataclass(frozen=True)
class NetworkOutputs:
    """What a task's network gave for the images of a loader.

    Parameters
    ----------
    arrays : dict of str to ndarray
        By the names of :meth:`PlaceTask.outputs`, n rows each, and ``features``, (n, D) of the
        encoder; empty where no image could be read.
    rows : ndarray
        (n,) int64, rows of the photo table.
    broken : BrokenImages
        Row and reason of each image that could not be read.
    """

    arrays: dict[str, np.ndarray]
    rows: np.ndarray
    broken: BrokenImages


@torch.inference_mode()
def run_network(
    task: PlaceTask,
    batches: Iterable[dict[str, Any]],
    *,
    device: torch.device | None = None,
    description: str = "Predicting",
    progress: bool = True,
) -> NetworkOutputs:
    """Run a task's network over the images of a loader.

    Parameters
    ----------
    task : PlaceTask
        Trained; it is left in evaluation mode on ``device``.
    batches : iterable of dict
        Of a loader, not shuffled. Empty batches are passed over.
    device : torch.device, optional
        Default: the accelerator, where there is one.
    description : str
        Label of the progress bar.
    progress : bool, default True
        Show the bar.

    Examples
    --------
    >>> from geoloc_models import load_model
    >>> from geoloc_models.inference import run_network
    >>> from geoloc_models.photos import FileImages, PhotoDataset
    >>> from geoloc_models.photos.dataset import make_loader
    >>> task = load_model("runs/mine").task
    >>> images = FileImages(["photos/0.jpg", "photos/1.jpg"])
    >>> transform = task.encoder.preprocessing.transform()
    >>> dataset = PhotoDataset(images, [[59.3, 18.0], [47.0, 8.0]], [0, 1], transform)
    >>> batches = make_loader(dataset, batch_size=2)
    >>> run_network(task, batches, progress=False).rows.tolist()
    [0, 1]
    """
    device = device or best_device()
    task.eval().to(device)
    parts: dict[str, list[np.ndarray]] = {}
    rows: list[np.ndarray] = []
    broken = BrokenImages()
    bar = tqdm(batches, desc=description, unit="batch", disable=not progress or None, leave=False)
    for batch in bar:
        broken.extend(batch.get("broken", ()))
        if len(batch["image"]) == 0:
            continue
        features = task.encoder(batch["image"].to(device, non_blocking=True))
        outputs = {**task.outputs(features), "features": features.float()}
        for name, values in outputs.items():
            parts.setdefault(name, []).append(values.cpu().numpy())
        rows.append(np.asarray(batch["row"], dtype=np.int64))
    return NetworkOutputs(
        {name: np.concatenate(arrays) for name, arrays in parts.items()},
        np.concatenate([np.empty(0, np.int64), *rows]),
        broken,
    )


def answer_outputs(task: PlaceTask, outputs: NetworkOutputs) -> Predictions:
    """Places that a task makes of what its network gave; none where no image could be read."""
    if len(outputs.rows) == 0:
        return Predictions(np.empty((0, 2)), np.empty(0, object), None, outputs.rows)
    return task.answer(outputs.arrays, outputs.rows)
