"""The training photos nearest to an answer: where they were taken, as far as the bundle knows."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geocells import sphere
from geoloc_models.models.tasks import ClassLocations

FloatArray = npt.NDArray[np.float64]


class NearbyPlace(NamedTuple):
    """A place where training photos were taken: degrees, country, km to the answer, how many."""

    latitude: float
    longitude: float
    country: str
    distance_km: float
    n_photos: int


class TrainingPhotoIndex:
    """The training photos that a model's bundle knows, to be searched.

    Parameters
    ----------
    coords : ndarray
        (m, 2) where each was taken, in degrees.
    countries : ndarray
        (m,) object.
    """

    def __init__(self, coords: FloatArray, countries: npt.NDArray[np.object_]) -> None:
        self._coords, first, self._counts = np.unique(
            coords, axis=0, return_index=True, return_counts=True
        )
        self._countries = countries[first]
        self._tree = cKDTree(sphere.to_unit_vectors(self._coords))

    @classmethod
    def from_classes(cls, classes: ClassLocations | None) -> Self | None:
        """Those of a model's classes; None where its bundle knows none."""
        if classes is not None and classes.images is not None:
            coords, labels = classes.images
            return cls(coords, classes.countries[labels])
        if classes is not None and classes.kind == "gallery":
            return cls(classes.coords, classes.countries)
        return None

    def nearest(self, answer: FloatArray, *, k: int = 8) -> list[NearbyPlace]:
        """At most k places, the nearest to a (2,) answer first."""
        _, neighbours = self._tree.query(
            sphere.to_unit_vectors(answer[None]), k=np.arange(1, 1 + k)
        )
        rows = neighbours[neighbours < len(self._coords)]  # there may be fewer than k
        coords = self._coords[rows]
        distances = sphere.haversine(np.tile(answer, (len(rows), 1)), coords)
        return [
            NearbyPlace(*place)
            for place in zip(
                *coords.T, self._countries[rows], distances, self._counts[rows], strict=True
            )
        ]
