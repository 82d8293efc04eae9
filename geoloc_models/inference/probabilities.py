"""What a model's numbers say as a distribution over places, and what to know about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from geocells import decoding
from geoloc_models.inference.calibration import LEVEL, Calibration
from geoloc_models.inference.class_locations import DECODER_FILE, ClassLocations, read_decoder
from geoloc_models.models.tasks import (
    CellTask,
    CountryTask,
    HierarchyTask,
    NearestTask,
    OffsetTask,
    PlaceTask,
    RetrievalTask,
)


def classes_of(task: PlaceTask, folder: str | Path) -> ClassLocations | None:
    """What the probabilities of a task are over; None for a task that has none.

    Parameters
    ----------
    task : PlaceTask
        Trained.
    folder : path
        Its bundle, for the training images that it may keep.
    """
    if isinstance(task, RetrievalTask):
        return ClassLocations("gallery", task.gallery_coords, task.gallery_countries)
    if isinstance(task, NearestTask):
        return ClassLocations("gallery", task.images.coords, task.images.countries)
    if isinstance(task, CellTask | HierarchyTask):
        answers = task.answers
        images = read_decoder(folder, answers.n_classes)
        return ClassLocations("cells", answers.coords, answers.countries, task.cells, images)
    if isinstance(task, CountryTask):
        answers = task.answers
        images = read_decoder(folder, answers.n_classes)
        return ClassLocations("countries", answers.coords, answers.countries, None, images)
    if isinstance(task, OffsetTask) and task.multi_task:
        boxes = task.country_boxes
        middles = boxes.places(np.full((boxes.n_countries, 2), 0.5), np.arange(boxes.n_countries))
        images = read_decoder(folder, boxes.n_countries)
        return ClassLocations("countries", middles, boxes.countries, None, images)
    return None


def predict_proba(
    task: PlaceTask, arrays: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[Any] | sparse.csr_array | None:
    """Probabilities over the classes of :func:`classes_of`, not calibrated.

    Parameters
    ----------
    task : PlaceTask
        Trained.
    arrays : mapping of str to ndarray
        What its network gave for n images.

    Returns
    -------
    array, sparse array or None
        (n, C). Of a classifier its own. Of retrieval, the softmax of the similarities to the
        gallery at the temperature that was learned. Of nearest images, the neighbours' shares of
        the vote. None for a task that has none.
    """
    if isinstance(task, RetrievalTask):
        temperature = float(task.temperature.detach())
        return task.gallery.probabilities(arrays["embedding"], temperature=temperature)
    if isinstance(task, NearestTask):
        found = task.images.predict(arrays["features"])
        return decoding.nearest_images(found.neighbours, len(task.images.coords), found.weights)
    n = len(next(iter(arrays.values())))
    return task.answer(arrays, np.arange(n)).probabilities


def answer_notes(
    classes: ClassLocations | None, calibration: Calibration | None, decoder: str
) -> list[str]:
    """Sentences that a reader of answers has to know, about figures that lack or mislead."""
    notes = []
    if classes is None:
        notes.append("This model has no probabilities, so there is no P within 25 km.")
    elif classes.kind == "countries" and classes.images is None:
        notes.append(
            "This model knows countries and not where its training photos were taken, so there "
            "is no P within 25 km."
        )
    elif classes.kind == "cells" and classes.images is None:
        notes.append(
            f"The bundle has no {DECODER_FILE}: P within 25 km takes each cell for its one "
            "point, and is too sure of itself where cells are wide."
        )
    level = f"{100 * LEVEL:.0f} %"
    if calibration is None:
        notes.append(
            f"The model is not calibrated, so there is no {level} radius, and probabilities are "
            "as the model has them."
        )
    elif calibration.decoder != decoder:
        notes.append(
            f"The model is calibrated for the decoder {calibration.decoder}, so there is no "
            f"{level} radius around answers of {decoder}."
        )
    elif not math.isfinite(calibration.parameter):
        notes.append(
            f"The model was calibrated on {calibration.n_photos} photos only, too few for a "
            f"{level} radius."
        )
    return notes
