"""Results as files: results.json, predictions.parquet, skipped.csv; each whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geoloc_models.evaluation.scores import Evaluation, Predictions
from geoloc_models.files import reading, replacing, write_json


def results_content(
    evaluations: Mapping[str, Evaluation], references: Mapping[str, float]
) -> dict[str, Any]:
    """Arrange the content of ``results.json``.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model name, at least one.
    references : mapping of str to float
        Of :func:`geoloc_models.evaluation.references`.

    Returns
    -------
    dict
        ``n_test``, ``reference`` and ``models``; percentages and kilometres. ``n_test`` also
        stands in a model where it differs from the largest.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate, results_content
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> results_content({"cells": evaluate(answers, truth, countries)}, {})["models"]["cells"]["country"]
    100.0
    """
    sizes = {name: evaluation.n_test for name, evaluation in evaluations.items()}
    n_test = max(sizes.values())
    models = {}
    for name, evaluation in evaluations.items():
        models[name] = evaluation.to_dict()
        if sizes[name] != n_test:
            models[name]["n_test"] = sizes[name]
    return {"n_test": n_test, "reference": dict(references), "models": models}


def write_results(
    path: str | Path, evaluations: Mapping[str, Evaluation], references: Mapping[str, float]
) -> None:
    """Write ``results.json``.

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, evaluate, write_results
    >>> countries, truth = np.array(["CH"], dtype=object), np.array([[46.9, 7.4]])
    >>> answers = Predictions(truth, countries, None, np.arange(1))
    >>> write_results("results.json", {"cells": evaluate(answers, truth, countries)}, {})
    """
    write_json(path, results_content(evaluations, references))


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write one row per image: row, latitude, longitude, country, confidence (where known).

    Examples
    --------
    >>> import numpy as np
    >>> from geoloc_models.evaluation import Predictions, write_predictions
    >>> countries = np.array(["CH"], dtype=object)
    >>> write_predictions("p.parquet", Predictions(np.array([[46.9, 7.4]]), countries, None, np.arange(1)))
    """
    columns: dict[str, Any] = {
        "row": predictions.rows,
        "latitude": predictions.coords[:, 0],
        "longitude": predictions.coords[:, 1],
        "country": pa.array(predictions.countries, pa.string()),
    }
    if predictions.confidence is not None:
        columns["confidence"] = predictions.confidence
    with replacing(path) as partial:
        pq.write_table(pa.table(columns), partial)


def read_predictions(path: str | Path) -> Predictions:
    """Read what :func:`write_predictions` wrote; the probabilities are not kept.

    Examples
    --------
    >>> from geoloc_models.evaluation import read_predictions
    >>> read_predictions("runs/mine/predictions.parquet").coords.shape[1]
    2
    """
    with reading(Path(path)):
        table = pq.read_table(path, columns=["row", "latitude", "longitude", "country"])
        row, latitude, longitude, country = (column.to_numpy() for column in table.columns)
        return Predictions(
            coords=np.column_stack([latitude, longitude]).astype(np.float64),
            countries=country.astype(object),
            probabilities=None,
            rows=row.astype(np.int64),
        )
