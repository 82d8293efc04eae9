"""Place images with a trained task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from geoloc_models.data import BrokenImages
from geoloc_models.evaluation import Predictions
from geoloc_models.tasks import ClassificationTask, decode_argmax


@dataclass(frozen=True)
class PredictionResult:
    """Predictions, and the images that could not be read.

    Parameters
    ----------
    predictions : Predictions
        One per image that could be read, in the order of the loader.
    broken : BrokenImages
        Row and reason of each image that could not.
    """

    predictions: Predictions
    broken: BrokenImages


def best_device() -> torch.device:
    """The accelerator, where there is one, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@torch.inference_mode()
def predict(
    task: ClassificationTask,
    batches: Iterable[dict[str, Any]],
    *,
    device: torch.device | None = None,
    description: str = "Placing images",
    progress: bool = True,
) -> PredictionResult:
    """Place every image of a loader.

    Parameters
    ----------
    task : ClassificationTask
        Trained; it is left in evaluation mode on ``device``.
    batches : iterable of dict
        Of :func:`geoloc_models.data.make_loader`, not shuffled. Empty batches are passed over.
    device : torch.device, optional
        Default: the accelerator, where there is one.
    description : str
        Label of the progress bar.
    progress : bool, default True
        Show the bar.

    Returns
    -------
    PredictionResult
    """
    device = device or best_device()
    task.eval().to(device)
    probabilities: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    broken = BrokenImages()
    bar = tqdm(batches, desc=description, unit="batch", disable=not progress, leave=False)
    for batch in bar:
        broken.extend(batch.get("broken", ()))
        if len(batch["image"]) == 0:
            continue
        scored = task.probabilities(batch["image"].to(device, non_blocking=True))
        probabilities.append(scored.cpu().numpy())
        rows.append(np.asarray(batch["row"], dtype=np.int64))
    n_classes = task.answers.n_classes
    return PredictionResult(
        decode_argmax(
            np.concatenate([np.empty((0, n_classes), np.float32), *probabilities]),
            task.answers,
            np.concatenate([np.empty(0, np.int64), *rows]),
        ),
        broken,
    )
