"""Scores of predictions: country, share within a radius, median error, GeoScore; with intervals.

Whatever made the predictions, they are judged alike.
"""

from geoloc_models.evaluation.comparison import compare, over_seeds
from geoloc_models.evaluation.coverage import Coverage, chance_interval, coverage
from geoloc_models.evaluation.references import (
    TrainingSummary,
    nearest_km,
    references,
    summarise_training,
)
from geoloc_models.evaluation.results import (
    read_predictions,
    results_content,
    write_predictions,
    write_results,
)
from geoloc_models.evaluation.scores import (
    RADII_KM,
    Evaluation,
    Interval,
    Predictions,
    errors_km,
    evaluate,
    geoscores,
)

__all__ = [
    "RADII_KM",
    "Coverage",
    "Evaluation",
    "Interval",
    "Predictions",
    "TrainingSummary",
    "chance_interval",
    "compare",
    "coverage",
    "errors_km",
    "evaluate",
    "geoscores",
    "nearest_km",
    "over_seeds",
    "read_predictions",
    "references",
    "results_content",
    "summarise_training",
    "write_predictions",
    "write_results",
]
