"""Prototypes inside cells: which group of a cell's training images a photo is most like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.gallery import unit_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class RefinedAnswer(NamedTuple):
    """Places of n images: ``coords`` (n, 2) float64 in degrees, ``cells`` (n,) int64."""

    coords: FloatArray
    cells: IntArray


@dataclass(frozen=True)
class Prototypes:
    """Groups of training images inside every cell.

    Parameters
    ----------
    vectors : ndarray
        (P, D) float32, mean feature of each group, of length 1; zero for a cell without images.
    coords : ndarray
        (P, 2) float64, spherical mean of each group, in degrees.
    cells : ndarray
        (P,) int64, ascending: the cell of each group. Every cell has at least one.

    References
    ----------
    .. [1] Haas, Skreta, Alberti, Finn (2024), PIGEON: Predicting image geolocations, section 3.4.
    """

    vectors: npt.NDArray[np.float32]
    coords: FloatArray
    cells: IntArray

    def __post_init__(self) -> None:
        n = len(self.cells)
        if self.vectors.ndim != 2 or len(self.vectors) != n or self.coords.shape != (n, 2):
            raise GeolocError(
                f"{n} prototypes need as many vectors and places; got {self.vectors.shape} and "
                f"{self.coords.shape}."
            )

    @classmethod
    def of(
        cls,
        features: npt.ArrayLike,
        coords: npt.ArrayLike,
        labels: npt.ArrayLike,
        locations: npt.ArrayLike,
        *,
        images_each: int = 8,
        seed: int = 0,
    ) -> Prototypes:
        """Group the training images of every cell by place.

        Parameters
        ----------
        features : array-like
            (n, D) float, of the training images.
        coords : array-like
            (n, 2) latitude and longitude in degrees.
        labels : array-like
            (n,) int, cell of each image; -1 for none.
        locations : array-like
            (C, 2), what each cell answers with: the only prototype of a cell without images.
        images_each : int, default 8
            A cell of m images gets ``m // images_each`` groups, one at least.
        seed : int, default 0
            Of the first centres.

        Notes
        -----
        Groups are k-means clusters of the unit vectors of the places. O(n) a cell and iteration.
        """
        matrix = unit_rows(features, "features")
        points = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
        cell_of_row = np.asarray(labels, dtype=np.int64)
        answers = np.asarray(locations, dtype=np.float64).reshape(-1, 2)
        if not len(matrix) == len(points) == len(cell_of_row):
            raise GeolocError(
                f"{len(matrix)} features need as many places and labels; got {len(points)} and "
                f"{len(cell_of_row)}."
            )
        if images_each < 1:
            raise GeolocError(f"images_each must be at least 1; got {images_each}.")
        order = np.argsort(cell_of_row, kind="stable")
        bounds = np.searchsorted(cell_of_row[order], np.arange(len(answers) + 1))
        vectors, places, cells = [], [], []
        for cell, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            rows = order[start:stop]
            if len(rows) == 0:
                vectors.append(np.zeros(matrix.shape[1], dtype=np.float32))
                places.append(answers[cell])
                cells.append(cell)
                continue
            group = _grouped(points[rows], max(1, len(rows) // images_each), seed)
            for number in np.unique(group):
                members = rows[group == number]
                vectors.append(matrix[members].mean(axis=0, dtype=np.float64))
                places.append(sphere.spherical_mean(points[members]))
                cells.append(cell)
        mean = unit_rows(np.array(vectors), "prototypes")
        return cls(mean, np.array(places, dtype=np.float64), np.array(cells, dtype=np.int64))

    def refine(
        self,
        probabilities: npt.ArrayLike,
        features: npt.ArrayLike,
        *,
        top_cells: int = 5,
        temperature: float = 0.1,
    ) -> RefinedAnswer:
        """Place images inside their likeliest cells.

        Parameters
        ----------
        probabilities : array-like
            (n, C) float, of the cells.
        features : array-like
            (n, D) float.
        top_cells : int, default 5
            Likeliest cells to look into; of equally likely ones, the lower.
        temperature : float, default 0.1
            Divides the cosines before their softmax.

        Returns
        -------
        RefinedAnswer

        Notes
        -----
        Score of a prototype g in cell k: ``p_k softmax_g(cos(x, v_g) / t)``, the softmax over the
        prototypes of the cells looked into. The best one answers with its place. O(P D) an image.
        """
        chances = np.asarray(probabilities, dtype=np.float64)
        n_cells = int(self.cells[-1]) + 1
        if chances.ndim != 2 or chances.shape[1] != n_cells:
            raise GeolocError(f"Probabilities of shape {chances.shape} do not fit {n_cells} cells.")
        if top_cells < 1 or not temperature > 0:
            raise GeolocError("top_cells must be at least 1 and the temperature above 0.")
        wanted = unit_rows(features, "features", dim=self.vectors.shape[1])
        if len(wanted) != len(chances):
            raise GeolocError(f"{len(chances)} rows of probabilities but {len(wanted)} features.")
        best = np.empty(len(chances), dtype=np.int64)
        for row, (chance, feature) in enumerate(zip(chances, wanted, strict=True)):
            top = np.argsort(-chance, kind="stable")[:top_cells]
            inside = np.flatnonzero(np.isin(self.cells, top))
            likeness = (self.vectors[inside] @ feature).astype(np.float64) / temperature
            share = np.exp(likeness - likeness.max())
            score = chance[self.cells[inside]] * share
            best[row] = inside[int(score.argmax())]
        return RefinedAnswer(self.coords[best], self.cells[best])


def _grouped(points: FloatArray, n_groups: int, seed: int) -> IntArray:
    """Group of each place: k-means on unit vectors."""
    n_groups = min(n_groups, len(np.unique(points, axis=0)))
    if n_groups == 1:
        return np.zeros(len(points), dtype=np.int64)
    from sklearn.cluster import KMeans

    vectors = sphere.to_unit_vectors(points)
    means = KMeans(n_groups, n_init=1, random_state=seed).fit(vectors)
    return np.asarray(means.labels_, dtype=np.int64)
