"""Tasks join an encoder and a head, know their loss, and say what each class answers with."""

from geoloc_models.tasks.answers import (
    Answers,
    answers_of_cells,
    answers_of_countries,
    decode_argmax,
)
from geoloc_models.tasks.classification import CellTask, ClassificationTask, CountryTask

__all__ = [
    "Answers",
    "CellTask",
    "ClassificationTask",
    "CountryTask",
    "answers_of_cells",
    "answers_of_countries",
    "decode_argmax",
]
