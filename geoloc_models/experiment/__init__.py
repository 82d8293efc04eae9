"""One model from photos to results: a plan, its cells and task, training, a run folder."""

from geoloc_models.experiment.decoding import decode_run
from geoloc_models.experiment.folder import plan_of_run, read_split, run_options
from geoloc_models.experiment.models import Labels, make_labels, make_task
from geoloc_models.experiment.plan import ModelPlan, PhotoSource, split_source
from geoloc_models.experiment.run import (
    ModelRun,
    Photos,
    bundle_outputs,
    evaluate_run,
    load_run,
    run_model,
)

__all__ = [
    "Labels",
    "ModelPlan",
    "ModelRun",
    "PhotoSource",
    "Photos",
    "bundle_outputs",
    "decode_run",
    "evaluate_run",
    "load_run",
    "make_labels",
    "make_task",
    "plan_of_run",
    "read_split",
    "run_model",
    "run_options",
    "split_source",
]
