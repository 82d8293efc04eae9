"""Lightning around a task: from photos and options to a run folder with a trained model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.models.options import ModelPlan, TrainingOptions
    from geoloc_models.training.callbacks import METRICS
    from geoloc_models.training.fit import FitRecord, fit_task, seed_run
    from geoloc_models.training.photos import PhotoSource, split_source
    from geoloc_models.training.run import (
        ModelRun,
        bundle_outputs,
        decode_run,
        evaluate_run,
        load_run,
        run_model,
    )
    from geoloc_models.training.run_folder import read_split, run_options
    from geoloc_models.training.sources import (
        TableOptions,
        demo_source,
        source_of_run,
        table_source,
        with_features,
    )

_MODULES = {
    "METRICS": "training.callbacks",
    "FitRecord": "training.fit",
    "ModelPlan": "models.options",
    "ModelRun": "training.run",
    "PhotoSource": "training.photos",
    "TableOptions": "training.sources",
    "TrainingOptions": "models.options",
    "bundle_outputs": "training.run",
    "decode_run": "training.run",
    "demo_source": "training.sources",
    "evaluate_run": "training.run",
    "fit_task": "training.fit",
    "load_run": "training.run",
    "read_split": "training.run_folder",
    "run_model": "training.run",
    "run_options": "training.run_folder",
    "seed_run": "training.fit",
    "source_of_run": "training.sources",
    "split_source": "training.photos",
    "table_source": "training.sources",
    "with_features": "training.sources",
}

__all__ = [
    "METRICS",
    "FitRecord",
    "ModelPlan",
    "ModelRun",
    "PhotoSource",
    "TableOptions",
    "TrainingOptions",
    "bundle_outputs",
    "decode_run",
    "demo_source",
    "evaluate_run",
    "fit_task",
    "load_run",
    "read_split",
    "run_model",
    "run_options",
    "seed_run",
    "source_of_run",
    "split_source",
    "table_source",
    "with_features",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, with Lightning where it needs it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"geoloc_models.{_MODULES[name]}"), name)
