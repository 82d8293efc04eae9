"""Cells, and prototypes inside the likeliest of them (PIGEON's refinement)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.prototypes import Prototypes
from geoloc_models.models.tasks._kept import read_kept, write_kept
from geoloc_models.models.tasks.base import Outputs
from geoloc_models.models.tasks.classification import CellTask


class RefinedCellTask(CellTask):
    """Trained as a cell classifier; then prototypes of the training features decide the point.

    Parameters
    ----------
    encoder, cells, optimisation, smoothing_km, **options
        As for :class:`CellTask`.
    top_cells : int, default 5
        Likeliest cells whose prototypes are compared.

    References
    ----------
    .. [1] Haas, Skreta, Alberti, Finn (2024), PIGEON: Predicting image geolocations, section 3.4.
    """

    name = "refined"
    remembers_images = True

    def __init__(self, *args: Any, top_cells: int = 5, **options: Any) -> None:
        super().__init__(*args, **options)
        self.top_cells = top_cells
        self._prototypes: Prototypes | None = None

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """``probabilities`` (B, C) and ``features`` (B, D)."""
        features = self.encoder(image)
        probabilities = torch.softmax(self.head(features).float(), dim=1)
        return {"probabilities": probabilities, "features": features.float()}

    def remember(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Make prototypes of the training images of every cell."""
        labels = self.cells.assign(coords, groups=countries)
        self._prototypes = Prototypes.of(outputs["features"], coords, labels, self.answers.coords)

    @property
    def prototypes(self) -> Prototypes:
        """Of every cell."""
        if self._prototypes is None:
            raise GeolocError("This model has no prototypes yet: call remember first.")
        return self._prototypes

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the prototype, in the likeliest cells, that the image is most like."""
        probabilities = np.asarray(outputs["probabilities"])
        found = self.prototypes.refine(probabilities, outputs["features"], top_cells=self.top_cells)
        countries = self.answers.countries[found.cells]
        return Predictions(found.coords, countries, probabilities, rows)

    def card(self) -> dict[str, Any]:
        """Shape of the head, and how many cells are looked into."""
        return {**super().card(), "top_cells": self.top_cells}

    def write_files(self, folder: Path) -> None:
        """Write the cells, and the prototypes in the order of their cells."""
        super().write_files(folder)
        kept = self.prototypes
        numbers = kept.cells.astype(str).astype(object)
        write_kept(folder / "prototypes", kept.vectors, kept.coords, numbers)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its prototypes, the weights yet to be loaded."""
        task = super().from_card(card, folder, encoder)
        task.top_cells = card["top_cells"]
        vectors, coords, numbers = read_kept(folder / "prototypes")
        task._prototypes = Prototypes(vectors, coords, numbers.astype(np.int64))
        return task
