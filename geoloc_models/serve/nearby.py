"""The training photos nearest to an answer, or most like a photo: those that the bundle knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geocells import sphere
from geoloc_models.inference.model import Model
from geoloc_models.inference.predictions import PhotoPredictions
from geoloc_models.models.tasks import NearestTask

FloatArray = npt.NDArray[np.float64]

NEAREST = (
    "The training photos taken closest to the answer. They are near it, and need not look like "
    "your photo: the bundle knows where its training photos were taken, not how they looked."
)
ALIKE = (
    "The training photos that look most like yours, with their share of the vote. The bundle holds "
    "what they look like to the network and where they were taken, not the photos themselves."
)
FITTING = (
    "The places of training photos that fit yours best, by their probability. The bundle holds "
    "where they were taken, not how they looked."
)
UNKNOWN = "This bundle knows no training photos, so none can be named."


@dataclass(frozen=True, eq=False)
class TrainingPhotos:
    """Training photos to show beside an answer.

    Parameters
    ----------
    explanation : str
        Why these.
    coords : ndarray
        (k, 2) where they were taken, in degrees.
    countries : ndarray
        (k,) object.
    distances_km : ndarray
        (k,) to the answer.
    counts : ndarray
        (k,) int64, photos that were taken right there.
    shares : ndarray, optional
        (k,) of the vote, or of the probability.
    """

    explanation: str
    coords: FloatArray
    countries: npt.NDArray[np.object_]
    distances_km: FloatArray
    counts: npt.NDArray[np.int64]
    shares: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.coords)


class TrainingPhotoIndex:
    """The training photos that a model's bundle knows, to be searched.

    Parameters
    ----------
    model : Model
        Loaded.
    """

    def __init__(self, model: Model) -> None:
        self._is_nearest = isinstance(model.task, NearestTask)
        self._classes = classes = model.classes
        self._tree: cKDTree | None = None
        if classes is not None and classes.images is not None:
            coords, labels = classes.images
            self._coords, first, self._counts = np.unique(
                coords, axis=0, return_index=True, return_counts=True
            )
            self._countries = classes.countries[labels[first]]
            self._tree = cKDTree(sphere.to_unit_vectors(self._coords))

    def beside(self, predictions: PhotoPredictions, *, k: int = 8) -> TrainingPhotos:
        """At most k training photos to show beside the first answer."""
        answer = predictions.coords[:1]
        classes = self._classes
        shares = None
        if self._tree is not None:
            explanation = NEAREST
            _, nearest = self._tree.query(
                sphere.to_unit_vectors(answer), k=np.arange(1, 1 + min(k, len(self._coords)))
            )
            coords = self._coords[nearest[0]]
            countries, counts = self._countries[nearest[0]], self._counts[nearest[0]]
        elif classes is not None and classes.kind == "gallery":
            explanation = ALIKE if self._is_nearest else FITTING
            likeliest = predictions.likeliest_of(0, k)
            coords = np.array([(place["latitude"], place["longitude"]) for place in likeliest])
            countries = np.array([place["country"] for place in likeliest], dtype=object)
            counts = np.array([(classes.coords == place).all(axis=1).sum() for place in coords])
            shares = np.array([place["probability"] for place in likeliest])
        else:
            explanation, coords, countries = UNKNOWN, np.empty((0, 2)), np.empty(0, dtype=object)
            counts = np.empty(0, dtype=np.int64)
        distances = sphere.haversine(np.repeat(answer, len(coords), axis=0), coords)
        return TrainingPhotos(explanation, coords, countries, distances, counts, shares)
