"""Nearest images (Im2GPS): nothing is trained; the baseline that every model should beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from geocells import decoding
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.neighbours import NearestImages
from geoloc_models.models.tasks.base import Batch, Outputs, PlaceTask, Scored
from geoloc_models.models.tasks.classes import ClassLocations
from geoloc_models.models.tasks.stored import read_stored, write_stored


class NearestTask(PlaceTask):
    """Answer with the densest place among the nearest training images.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives the (B, D) features that images are compared by.
    n_neighbours : int
        Training images that vote.
    bandwidth_km : float
        Width of the kernel over their places.

    References
    ----------
    .. [1] Hays, Efros (2008), IM2GPS: estimating geographic information from a single image.
    """

    name = "nearest"
    is_trained = False
    stores_images = True

    def __init__(self, encoder: ImageEncoder, *, n_neighbours: int, bandwidth_km: float) -> None:
        super().__init__(encoder)
        self.n_neighbours, self.bandwidth_km = n_neighbours, bandwidth_km
        self._images: NearestImages | None = None

    def score(self, batch: Batch) -> Scored:
        """GeolocError: nothing is trained, so there is no loss."""
        raise GeolocError("The task nearest learns nothing; it stores the training images.")

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """None: images are compared by their embeddings."""
        return {}

    def store(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Store features, places and countries of the training images."""
        self._images = NearestImages(
            outputs["features"],
            coords,
            countries,
            k=min(self.n_neighbours, len(coords)),
            bandwidth_km=self.bandwidth_km,
        )
        self.classes = ClassLocations("gallery", self._images.coords, self._images.countries)

    def predict_proba(self, outputs: Outputs) -> sparse.csr_array:
        """The neighbours' shares of the vote, (n, m) over the training images."""
        nearest = self.images.predict(outputs["features"])
        return decoding.nearest_images(nearest.neighbours, len(self.images.coords))

    @property
    def images(self) -> NearestImages:
        """The training images."""
        if self._images is None:
            raise GeolocError("This model knows no training images yet: call store first.")
        return self._images

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the densest place among the nearest images, and its country."""
        nearest = self.images.predict(outputs["features"])
        return Predictions(nearest.coords, nearest.countries, None, rows)

    def card(self) -> dict[str, Any]:
        """How many vote, and how widely."""
        return {"n_neighbours": self.n_neighbours, "bandwidth_km": self.bandwidth_km}

    def write_files(self, folder: Path) -> None:
        """Write features, places and countries of the training images."""
        images = self.images
        write_stored(folder / "images", images.features, images.coords, images.countries)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its training images."""
        task = cls(encoder, n_neighbours=card["n_neighbours"], bandwidth_km=card["bandwidth_km"])
        features, coords, countries = read_stored(folder / "images", encoder.dim)
        task.store({"features": features}, coords, countries)
        return task
