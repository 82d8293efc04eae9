"""Scores of predictions: country, share within a radius, median error, GeoScore; with intervals.

Whatever made the predictions, they are judged alike.
"""

from geoloc_models.evaluation.comparison import compare, over_seeds
from geoloc_models.evaluation.references import (
    nearest_km,
    summarise_training,
)
from geoloc_models.evaluation.results import (
    read_predictions,
    results_content,
    write_predictions,
    write_results,
)
from geoloc_models.evaluation.scores import (
    Evaluation,
    Predictions,
    errors_km,
    evaluate,
    geoscores,
)

__all__ = [
    "Evaluation",
    "Predictions",
    "compare",
    "errors_km",
    "evaluate",
    "geoscores",
    "nearest_km",
    "over_seeds",
    "read_predictions",
    "results_content",
    "summarise_training",
    "write_predictions",
    "write_results",
]
