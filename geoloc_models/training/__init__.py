"""Train a task, keep it, and load it again."""

from geoloc_models.training._callbacks import METRICS
from geoloc_models.training.fit import FitRecord, fit_task, seed_run
from geoloc_models.training.options import TrainingOptions

__all__ = [
    "METRICS",
    "FitRecord",
    "TrainingOptions",
    "fit_task",
    "seed_run",
]
