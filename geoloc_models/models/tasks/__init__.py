"""Tasks join an encoder and a head, know their loss, and say what each output means as a place."""

from geoloc_models.models.tasks.base import PlaceTask, Scored
from geoloc_models.models.tasks.classes import (
    ClassLocations,
    classes_of_cells,
    classes_of_countries,
    decode_argmax,
    labels_of_cells,
)
from geoloc_models.models.tasks.classification import (
    CellTask,
    ClassificationTask,
    CountryTask,
    RefinedCellTask,
)
from geoloc_models.models.tasks.hierarchy import HierarchyTask
from geoloc_models.models.tasks.nearest import NearestTask
from geoloc_models.models.tasks.offset import CountryBoxes, OffsetTask
from geoloc_models.models.tasks.pooled import PooledTask
from geoloc_models.models.tasks.retrieval import RetrievalTask

TASKS: dict[str, type[PlaceTask]] = {
    task.name: task
    for task in (
        PooledTask,
        CountryTask,
        OffsetTask,
        CellTask,
        HierarchyTask,
        RetrievalTask,
        NearestTask,
        RefinedCellTask,
    )
}

__all__ = [
    "TASKS",
    "CellTask",
    "ClassLocations",
    "ClassificationTask",
    "CountryBoxes",
    "CountryTask",
    "HierarchyTask",
    "NearestTask",
    "OffsetTask",
    "PlaceTask",
    "PooledTask",
    "RefinedCellTask",
    "RetrievalTask",
    "Scored",
    "classes_of_cells",
    "classes_of_countries",
    "decode_argmax",
    "labels_of_cells",
]
