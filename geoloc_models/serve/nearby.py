"""The training photos nearest to an answer: where they were taken, as far as the bundle knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geocells import sphere
from geoloc_models.inference.class_locations import ClassLocations

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NearbyPhotos:
    """Places of training photos beside an answer.

    Parameters
    ----------
    coords : ndarray
        (k, 2) where they were taken, in degrees.
    countries : ndarray
        (k,) object.
    distances_km : ndarray
        (k,) to the answer.
    counts : ndarray
        (k,) int64, photos that were taken right there.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    distances_km: FloatArray
    counts: npt.NDArray[np.int64]


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

    def nearest(self, answer: FloatArray, *, k: int = 8) -> NearbyPhotos:
        """At most k places with training photos, the nearest to a (2,) answer first."""
        n = min(k, len(self._coords))
        _, rows = self._tree.query(sphere.to_unit_vectors(answer[None]), k=np.arange(1, 1 + n))
        coords = self._coords[rows[0]]
        distances = sphere.haversine(np.tile(answer, (n, 1)), coords)
        return NearbyPhotos(coords, self._countries[rows[0]], distances, self._counts[rows[0]])
