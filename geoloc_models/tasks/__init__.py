"""Tasks join an encoder and a head, know their loss, and say what each class answers with."""

from geoloc_models.tasks.answers import (
    Answers,
    answers_of_cells,
    answers_of_countries,
    decode_argmax,
)
from geoloc_models.tasks.classification import (
    SCHEDULES,
    CellTask,
    ClassificationTask,
    CountryTask,
    learning_rate_share,
)

__all__ = [
    "SCHEDULES",
    "Answers",
    "CellTask",
    "ClassificationTask",
    "CountryTask",
    "answers_of_cells",
    "answers_of_countries",
    "decode_argmax",
    "learning_rate_share",
]
