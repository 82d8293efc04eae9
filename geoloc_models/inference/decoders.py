"""One model's numbers, made into points by every decoder: what the choice of a decoder is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from geocells import decoding
from geoloc_models.evaluation import Evaluation, Predictions, compare, evaluate
from geoloc_models.evaluation.scores import Interval
from geoloc_models.inference.calibration import scaled
from geoloc_models.inference.model import TOP_K, Model

DECODER_TITLES = {
    "own": "the model's own answer",
    "mean": "likeliest cell, mean",
    "medoid": "likeliest cell, medoid",
    "mode": "likeliest cell, mode",
    "top_k": "mean of the 5 likeliest",
    "utility_1": "expected utility, 1 km",
    "utility_25": "expected utility, 25 km",
    "utility_200": "expected utility, 200 km",
    "utility_750": "expected utility, 750 km",
    "utility_all": "expected utility, all four",
}
"""What :func:`decode_every_way` calls each decoder, for readers."""


def decode_every_way(
    model: Model, arrays: Mapping[str, npt.NDArray[Any]], rows: npt.ArrayLike
) -> dict[str, Predictions]:
    """Answers of every decoder that suits a model.

    Parameters
    ----------
    model : Model
        With its calibration, if it has one: probabilities are taken at its temperature.
    arrays : mapping of str to ndarray
        What its network gave for n images.
    rows : array-like
        (n,) int64, their rows in the photo table.

    Returns
    -------
    dict of str to Predictions
        By the names of :data:`DECODER_TITLES`. First what the others are held against: for a
        classifier over cells ``"mean"``, the mean of the images of the likeliest cell; for others
        ``"own"``. Models that know no places beside their answers have that alone; medoids and
        modes are places of photos, which a model trained without keeping them does not know.
    """
    rows = np.asarray(rows, dtype=np.int64)
    answer = model.task.answer(arrays, rows)
    classes = model.classes
    if classes is None or classes.decoder is None:
        return {"own": answer}
    probabilities = model.task.predict_proba(arrays)
    if model.calibration is not None:
        probabilities = scaled(probabilities, model.calibration.temperature)

    def answers(points: npt.ArrayLike, countries: Any = None) -> Predictions:
        where = classes.country_at(points) if countries is None else countries
        return Predictions(np.asarray(points, dtype=np.float64), where, None, rows)

    decoded: dict[str, Predictions] = {}
    cells = classes.cells
    if cells is not None:
        likeliest = np.asarray(probabilities).argmax(axis=1)
        countries = classes.countries[likeliest]
        decoded["mean"] = answers(cells.centroids[likeliest], countries)
        if cells.representative_points.is_known:
            decoded["medoid"] = answers(cells.medoids[likeliest], countries)
            decoded["mode"] = answers(cells.modes[likeliest], countries)
    else:
        decoded["own"] = answer
    if not sparse.issparse(probabilities):
        decoded["top_k"] = answers(decoding.top_k_mean(probabilities, classes.coords, k=TOP_K))
    every = classes.decoder
    for radius in (1, 25, 200, 750):
        decoded[f"utility_{radius}"] = answers(every.predict(probabilities, radii_km=(radius,)))
    decoded["utility_all"] = answers(every.predict(probabilities))
    return decoded


@dataclass(frozen=True)
class JudgedDecoders:
    """Evaluation of every decoder.

    Parameters
    ----------
    evaluations : dict of str to Evaluation
        By the names of :data:`DECODER_TITLES`.
    differences : dict of str to dict of str to Interval
        Paired, of each but the first to the first.

    Examples
    --------
    >>> from geoloc_models.inference import judge_decoders
    >>> from geoloc_models.training import decode_run, read_split, table_source
    >>> source = table_source("split.parquet")
    >>> answers = decode_run("runs/mine", source, read_split("runs/mine").test, progress=False)
    >>> judged = judge_decoders(answers, source.table.coords, source.table.countries)
    >>> len(judged.evaluations) == len(judged.differences) + 1
    True
    """

    evaluations: dict[str, Evaluation]
    differences: dict[str, dict[str, Interval]]

    @property
    def against(self) -> str:
        """Name of the decoder that the others are compared with."""
        return next(iter(self.evaluations))

    def titled(self) -> JudgedDecoders:
        """The same by the titles of :data:`DECODER_TITLES`, for readers."""
        return JudgedDecoders(
            {DECODER_TITLES[name]: figures for name, figures in self.evaluations.items()},
            {DECODER_TITLES[name]: figures for name, figures in self.differences.items()},
        )


def judge_decoders(
    answers: Mapping[str, Predictions], coords: npt.ArrayLike, countries: npt.ArrayLike
) -> JudgedDecoders:
    """Evaluate every decoder, and compare it with the first.

    Parameters
    ----------
    answers : mapping of str to Predictions
        As :func:`decode_every_way` gives them.
    coords, countries : array-like
        (m, 2) degrees and (m,), of all rows of the photo table.

    Examples
    --------
    >>> from geoloc_models.inference import judge_decoders
    >>> from geoloc_models.training import decode_run, read_split, table_source
    >>> source = table_source("split.parquet")
    >>> answers = decode_run("runs/mine", source, read_split("runs/mine").test, progress=False)
    >>> judged = judge_decoders(answers, source.table.coords, source.table.countries)
    >>> list(judged.evaluations) == list(answers)
    True
    """
    where, names = np.asarray(coords), np.asarray(countries)
    evaluations, differences = {}, {}
    first = next(iter(answers))
    for name, answer in answers.items():
        truth = where[answer.rows], names[answer.rows]
        evaluations[name] = evaluate(answer, *truth)
        if name != first:
            differences[name] = compare(answer, answers[first], *truth)
    return JudgedDecoders(evaluations, differences)
