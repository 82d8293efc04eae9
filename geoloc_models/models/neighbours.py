"""Answers by training images that look alike: the nearest of all (Im2GPS), or groups in cells (PIGEON)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models.coordinates import as_coords
from geoloc_models.models.gallery import Gallery, unit_rows

FloatArray = npt.NDArray[np.float64]

_NUMBERS_AT_A_TIME = 1 << 21  # distances, or likenesses, in memory: 16 MiB
_MOST_GROUPS = 256  # in a cell


class NearestAnswer(NamedTuple):
    """Places of n images.

    ``coords`` (n, 2) float64 in degrees; ``countries`` (n,) object; ``neighbours`` (n, k) int64,
    rows of the training images, the most alike first.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    neighbours: npt.NDArray[np.int64]


class NearestImages:
    """Answer with the densest place among the k most similar training images.

    Parameters
    ----------
    features : array-like
        (n, D) float, of the training images; compared by cosine.
    coords : array-like
        (n, 2) latitude and longitude in degrees.
    countries : array-like
        (n,) their countries.
    k : int, default 10
        Neighbours that vote, at most n.
    bandwidth_km : float, default 100
        Width of the Gaussian kernel.

    Notes
    -----
    Density at neighbour i: ``sum_j exp(-d_ij^2 / (2 h^2))`` over the k neighbours, d the
    great-circle distance. The answer is the place of the densest neighbour; of
    equally dense ones, the most similar. Its country is the one with the most of the density
    there: each neighbour votes for its own country, with what it adds. O(n D + k^2) an image.

    References
    ----------
    .. [1] Hays, Efros (2008), IM2GPS: estimating geographic information from a single image.

    Examples
    --------
    >>> images = NearestImages(np.eye(3), [[59.3, 18.0], [47.4, 8.5], [47.3, 8.4]],
    ...                        ["SE", "CH", "CH"], k=3)
    >>> images.predict([[0.5, 0.4, 0.3]]).countries.tolist()
    ['CH']
    """

    def __init__(
        self,
        features: npt.ArrayLike,
        coords: npt.ArrayLike,
        countries: npt.ArrayLike,
        *,
        k: int = 10,
        bandwidth_km: float = 100.0,
    ) -> None:
        self._gallery = Gallery(features)
        self.coords = as_coords(coords)
        self.countries = np.asarray(countries, dtype=object)
        self.k, self.bandwidth_km = k, float(bandwidth_km)
        self._names, self._country = np.unique(self.countries.astype(str), return_inverse=True)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """(n, D) float32, of length 1."""
        return self._gallery.vectors

    def predict(self, features: npt.ArrayLike) -> NearestAnswer:
        """Place images by their (m, D) features."""
        neighbours, _ = self._gallery.search(features, self.k)
        coords = np.empty((len(neighbours), 2))
        country = np.empty(len(neighbours), dtype=np.int64)
        step = max(1, _NUMBERS_AT_A_TIME // self.k**2)
        for start in range(0, len(neighbours), step):
            part = slice(start, start + step)
            coords[part], country[part] = self._densest(neighbours[part])
        return NearestAnswer(coords, self._names[country].astype(object), neighbours)

    def _densest(
        self, neighbours: npt.NDArray[np.int64]
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Answer, and number of its country, of some images."""
        n, k = neighbours.shape
        places = self.coords[neighbours]  # (n, k, 2)
        from_each = np.repeat(places, k, axis=1).reshape(-1, 2)
        to_each = np.tile(places, (1, k, 1)).reshape(-1, 2)
        distance_km = sphere.haversine(from_each, to_each).reshape(n, k, k)
        kernel = np.exp(-0.5 * (distance_km / self.bandwidth_km) ** 2)
        density = kernel.sum(axis=2)
        # The last bits of a sum depend on its order; equally dense is equal to nine digits.
        best = (density >= density.max(axis=1, keepdims=True) * (1 - 1e-9)).argmax(axis=1)
        image = np.arange(n)
        votes = np.zeros((n, len(self._names)))
        np.add.at(votes, (image[:, None], self._country[neighbours]), kernel[image, best])
        most = votes >= votes.max(axis=1, keepdims=True) * (1 - 1e-9)
        nearest = self._country[neighbours[image, best]]  # of the densest: it decides a tie
        country = np.where(most[image, nearest], nearest, most.argmax(axis=1))
        return places[image, best], country


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
    cells: npt.NDArray[np.int64]

    @classmethod
    def from_images(
        cls,
        features: npt.ArrayLike,
        coords: npt.ArrayLike,
        labels: npt.ArrayLike,
        locations: npt.ArrayLike,
        *,
        images_each: int = 8,
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
            A cell of m images gets ``m // images_each`` groups: one at least, 256 at most.

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
        order = np.argsort(cell_of_row, kind="stable")
        bounds = np.searchsorted(cell_of_row[order], np.arange(len(answers) + 1))
        at_large = matrix.mean(axis=0, dtype=np.float64)
        vectors, places, cells = [], [], []
        for cell, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            rows = order[start:stop]
            group = _grouped(points[rows], min(len(rows) // images_each, _MOST_GROUPS))
            groups = [rows[group == number] for number in range(group.max(initial=0) + 1)]
            for members in groups:
                is_empty, is_alone = len(members) == 0, len(groups) == 1
                mean = at_large if is_empty else matrix[members].mean(axis=0, dtype=np.float64)
                vectors.append(mean)
                places.append(answers[cell] if is_alone else sphere.spherical_mean(points[members]))
                cells.append(cell)
        unit = unit_rows(np.array(vectors), "prototypes")
        return cls(unit, np.array(places, dtype=np.float64), np.array(cells, dtype=np.int64))

    def refine(
        self,
        probabilities: npt.ArrayLike,
        features: npt.ArrayLike,
        *,
        top_cells: int = 5,
        temperature: float = 0.1,
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
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
        coords : ndarray
            (n, 2) float64, in degrees.
        cells : ndarray
            (n,) int64, the cells that they lie in.

        Notes
        -----
        Score of a prototype g in cell k: ``p_k softmax_g(cos(x, v_g) / t)``, the softmax over the
        prototypes of the cells looked into. The best one answers with its place; of equal ones,
        the first. Compared as ``log p_k + cos / t``, which no temperature makes vanish. O(P D) an
        image.
        """
        chances = np.asarray(probabilities, dtype=np.float64)
        wanted = unit_rows(features, "features", dim=self.vectors.shape[1])
        best = np.empty(len(chances), dtype=np.int64)
        step = max(1, _NUMBERS_AT_A_TIME // len(self.cells))
        for start in range(0, len(chances), step):
            part = slice(start, start + step)
            top = np.argsort(-chances[part], axis=1, kind="stable")[:, :top_cells]
            is_top = np.zeros(chances[part].shape, dtype=bool)
            np.put_along_axis(is_top, top, True, axis=1)
            score = (wanted[part] @ self.vectors.T).astype(np.float64) / temperature  # (b, P)
            with np.errstate(divide="ignore"):  # a cell of probability 0
                score += np.log(chances[part])[:, self.cells]
            best[part] = np.where(is_top[:, self.cells], score, -np.inf).argmax(axis=1)
        return self.coords[best], self.cells[best]


def _grouped(points: FloatArray, n_groups: int) -> npt.NDArray[np.int64]:
    """Group of each place, from 0: k-means on unit vectors. No place, no groups."""
    n_groups = min(n_groups, len(np.unique(points, axis=0)))
    if n_groups <= 1:
        return np.zeros(len(points), dtype=np.int64)
    from sklearn.cluster import KMeans

    vectors = sphere.to_unit_vectors(points)
    means = KMeans(n_groups, n_init=1, random_state=0).fit(vectors)
    # Numbered without gaps, should rounding leave a centre without places.
    return np.unique(means.labels_, return_inverse=True)[1].astype(np.int64).reshape(-1)
