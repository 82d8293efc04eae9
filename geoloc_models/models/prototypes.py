"""Prototypes inside cells: which group of a cell's training images a photo is most like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.models.gallery import unit_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_NUMBERS_AT_A_TIME = 1 << 21  # likenesses in memory: 16 MiB


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
        (P, D) float32, mean feature of each group, of length 1.
    coords : ndarray
        (P, 2) float64, spherical mean of each group, in degrees; what the cell answers with, where
        it is the only group of its cell.
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
        most_each: int = 256,
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
            (C, 2), what each cell answers with: the place of the only prototype of a cell that
            has too few images for two.
        images_each : int, default 8
            A cell of m images gets ``m // images_each`` groups, one at least.
        most_each : int, default 256
            No cell gets more groups.
        seed : int, default 0
            Of the first centres.

        Notes
        -----
        Groups are k-means clusters of the unit vectors of the places, O(m groups) a cell and
        iteration. A cell without images has the mean feature of all images: it is as like a photo
        as a photo at large is, and lives or falls by its probability.
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
        if images_each < 1 or most_each < 1:
            raise GeolocError(
                f"images_each and most_each must be at least 1; got {images_each} and {most_each}."
            )
        n_cells = len(answers)
        if len(cell_of_row) and not -1 <= cell_of_row.min() <= cell_of_row.max() < n_cells:
            raise GeolocError(
                f"Labels must lie between -1 and {n_cells - 1}, for {n_cells} cells; got "
                f"{cell_of_row.min()} to {cell_of_row.max()}."
            )
        order = np.argsort(cell_of_row, kind="stable")
        bounds = np.searchsorted(cell_of_row[order], np.arange(n_cells + 1))
        at_large = matrix.mean(axis=0, dtype=np.float64)
        vectors, places, cells = [], [], []
        for cell, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            rows = order[start:stop]
            n_groups = min(len(rows) // images_each, most_each)
            group = _grouped(points[rows], n_groups, seed)
            if len(rows) == 0 or group.max() == 0:
                vectors.append(
                    matrix[rows].mean(axis=0, dtype=np.float64) if len(rows) else at_large
                )
                places.append(answers[cell])
                cells.append(cell)
                continue
            for number in range(group.max() + 1):
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
        prototypes of the cells looked into. The best one answers with its place; of equal ones,
        that of the likelier cell. Compared as ``log p_k + cos / t``, which no temperature makes
        vanish. O(P D) an image.
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
        members = self._members(n_cells)
        best = np.empty(len(chances), dtype=np.int64)
        widest = max(len(self.cells), n_cells, min(top_cells, n_cells) * members.shape[1])
        step = max(1, _NUMBERS_AT_A_TIME // widest)
        for start in range(0, len(chances), step):
            part = slice(start, start + step)
            top = np.argsort(-chances[part], axis=1, kind="stable")[:, :top_cells]  # (b, T)
            inside = members[top]  # (b, T, M)
            likeness = (wanted[part] @ self.vectors.T).astype(np.float64)  # (b, P)
            image = np.arange(len(top))
            score = likeness[image[:, None, None], inside] / temperature
            with np.errstate(divide="ignore"):  # a cell of probability 0
                score += np.log(np.take_along_axis(chances[part], top, axis=1))[:, :, None]
            score = np.where(inside >= 0, score, -np.inf).reshape(len(top), -1)
            best[part] = inside.reshape(len(top), -1)[image, score.argmax(axis=1)]
        return RefinedAnswer(self.coords[best], self.cells[best])

    def _members(self, n_cells: int) -> IntArray:
        """(C, M): the prototypes of each cell, then -1 for none."""
        counts = np.bincount(self.cells, minlength=n_cells)
        first = np.cumsum(counts) - counts
        members = np.full((n_cells, counts.max()), -1, dtype=np.int64)
        members[self.cells, np.arange(len(self.cells)) - first[self.cells]] = np.arange(
            len(self.cells)
        )
        return members


def _grouped(points: FloatArray, n_groups: int, seed: int) -> IntArray:
    """Group of each place, from 0: k-means on unit vectors. No place, no groups."""
    n_groups = min(n_groups, len(np.unique(points, axis=0)))
    if n_groups <= 1:
        return np.zeros(len(points), dtype=np.int64)
    from sklearn.cluster import KMeans

    vectors = sphere.to_unit_vectors(points)
    means = KMeans(n_groups, n_init=1, random_state=seed).fit(vectors)
    # Numbered without gaps, should rounding leave a centre without places.
    return np.unique(means.labels_, return_inverse=True)[1].astype(np.int64).reshape(-1)
