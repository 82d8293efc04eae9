"""The training photos nearest to an answer, or most like a photo: what the model's bundle remembers."""

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

NEAREST = "nearest"
ALIKE = "alike"
FITTING = "fitting"
UNKNOWN = "unknown"

SENTENCES = {
    NEAREST: "The training photos taken closest to the answer. They are near it, and need not look "
    "like your photo: the bundle knows where its training photos were taken, not how they looked.",
    ALIKE: "The training photos that look most like yours, with their share of the vote. The bundle "
    "holds what they look like to the network and where they were taken, not the photos themselves.",
    FITTING: "The places of training photos that fit yours best, by their probability. The bundle "
    "holds where they were taken, not how they looked.",
    UNKNOWN: "This bundle remembers no training photos, so none can be named.",
}


@dataclass(frozen=True, eq=False)
class TrainingPhotos:
    """Training photos to show beside an answer.

    Parameters
    ----------
    kind : str
        Why these: a key of :data:`SENTENCES`.
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

    kind: str
    coords: FloatArray
    countries: npt.NDArray[np.object_]
    distances_km: FloatArray
    counts: npt.NDArray[np.int64]
    shares: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.coords)


class TrainingMemory:
    """What a model's bundle remembers of its training photos.

    Parameters
    ----------
    model : Model
        Loaded.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        classes = model.classes
        self._tree: cKDTree | None = None
        if classes is not None and classes.kind != "gallery" and classes.images is not None:
            coords, labels = classes.images
            self._coords, first, counts = np.unique(
                coords, axis=0, return_index=True, return_counts=True
            )
            self._counts = counts.astype(np.int64)
            self._countries = classes.countries[labels[first]]
            self._tree = cKDTree(sphere.to_unit_vectors(self._coords))

    def beside(self, placed: PhotoPredictions, *, k: int = 8) -> TrainingPhotos:
        """Training photos to show beside the one answer in ``placed``."""
        answer = placed.coords[:1]
        classes = self._model.classes
        if self._tree is not None:
            k = min(k, len(self._coords))
            _, found = self._tree.query(sphere.to_unit_vectors(answer), k=k)
            rows = np.atleast_1d(np.asarray(found).reshape(-1))
            coords = self._coords[rows]
            return TrainingPhotos(
                NEAREST,
                coords,
                self._countries[rows],
                _from(answer, coords),
                self._counts[rows],
            )
        if classes is not None and classes.kind == "gallery":
            kind = ALIKE if isinstance(self._model.task, NearestTask) else FITTING
            likeliest = placed.likeliest(k)
            coords = likeliest[["latitude", "longitude"]].to_numpy(np.float64)
            counts = [int((classes.coords == place).all(axis=1).sum()) for place in coords]
            return TrainingPhotos(
                kind,
                coords,
                likeliest["country"].to_numpy(dtype=object),
                _from(answer, coords),
                np.array(counts, dtype=np.int64),
                likeliest["probability"].to_numpy(np.float64),
            )
        nothing = np.empty(0)
        return TrainingPhotos(
            UNKNOWN,
            np.empty((0, 2)),
            np.empty(0, dtype=object),
            nothing,
            np.empty(0, dtype=np.int64),
        )


def _from(answer: FloatArray, coords: FloatArray) -> FloatArray:
    distances: FloatArray = sphere.haversine(np.repeat(answer, len(coords), axis=0), coords)
    return distances
