"""Nearest images (Im2GPS): where the training images that look most alike lie densest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.gallery import Gallery

FloatArray = npt.NDArray[np.float64]


class NearestAnswer(NamedTuple):
    """Places of n images.

    ``coords`` (n, 2) float64 in degrees; ``countries`` (n,) object; ``neighbours`` (n, k) int64,
    rows of the training images, the most alike first; ``density`` (n, k) float64, the kernel
    density at each of them.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    neighbours: npt.NDArray[np.int64]
    density: FloatArray


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
        Neighbours that speak, at most n.
    bandwidth_km : float, default 100
        Width of the Gaussian kernel.

    Raises
    ------
    GeolocError
        If lengths differ or an option is out of range.

    Notes
    -----
    Density at neighbour i: ``sum_j exp(-d_ij^2 / (2 h^2))`` over the k neighbours, d the
    great-circle distance. The answer is the place of the densest neighbour; of equally dense ones,
    the most similar. O(n D + k^2) an image.

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
        self._gallery = Gallery.of(features)
        self.coords = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
        self.countries = np.asarray(countries, dtype=object)
        n = self._gallery.n_rows
        if len(self.coords) != n or len(self.countries) != n:
            raise GeolocError(
                f"{n} training features need as many places and countries; got "
                f"{len(self.coords)} and {len(self.countries)}."
            )
        if not 1 <= k <= n:
            raise GeolocError(f"k must lie between 1 and {n}, the training images; got {k}.")
        if not 0 < bandwidth_km < np.inf:
            raise GeolocError(f"bandwidth_km must be above 0; got {bandwidth_km}.")
        self.k, self.bandwidth_km = k, float(bandwidth_km)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """(n, D) float32, of length 1."""
        return self._gallery.vectors

    def predict(self, features: npt.ArrayLike) -> NearestAnswer:
        """Place images by their (m, D) features."""
        neighbours, _ = self._gallery.search(features, self.k)
        density = np.empty(neighbours.shape)
        best = np.empty(len(neighbours), dtype=np.int64)
        for row, near in enumerate(neighbours):
            places = self.coords[near]
            distance_km = sphere.haversine_matrix(places, places)
            density[row] = np.exp(-0.5 * (distance_km / self.bandwidth_km) ** 2).sum(axis=1)
            # The last bits of a sum depend on its order; equally dense is equal to nine digits.
            dense = density[row] >= density[row].max() * (1 - 1e-9)
            best[row] = near[int(dense.argmax())]
        return NearestAnswer(self.coords[best], self.countries[best], neighbours, density)
