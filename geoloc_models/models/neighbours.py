"""Nearest images (Im2GPS): where the training images that look most alike lie densest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.models.gallery import Gallery
from geoloc_models.tables.coordinates import as_coords

FloatArray = npt.NDArray[np.float64]

_MOST_SHIFTS = 100
_STILL_KM = 1e-3


class NearestAnswer(NamedTuple):
    """Places of n images.

    ``coords`` (n, 2) float64 in degrees; ``countries`` (n,) object; ``neighbours`` (n, k) int64,
    rows of the training images, the most alike first; ``density`` (n, k) float64, the kernel
    density at each of them; ``weights`` (n, k) float64, the share of the vote that each of them
    has, rows that sum to 1: the distribution over places that the density is the smoothing of.
    """

    coords: FloatArray
    countries: npt.NDArray[np.object_]
    neighbours: npt.NDArray[np.int64]
    density: FloatArray
    weights: FloatArray


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
    temperature : float, optional
        Neighbours vote by ``softmax(cosine / temperature)``; None gives each the same vote.
    mean_shift : bool, default False
        Move on from the densest neighbour to the top of the density, between the neighbours.

    Raises
    ------
    GeolocError
        If lengths differ or an option is out of range.

    Notes
    -----
    Density at neighbour i: ``sum_j w_j exp(-d_ij^2 / (2 h^2))`` over the k neighbours, d the
    great-circle distance, w the votes. The answer is the place of the densest neighbour; of
    equally dense ones, the most similar. Its country is the one with the most of the density
    there: each neighbour speaks for its own country, with what it adds. O(n D + k^2) an image.

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
        temperature: float | None = None,
        mean_shift: bool = False,
    ) -> None:
        self._gallery = Gallery.of(features)
        self.coords = as_coords(coords)
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
        if temperature is not None and not 0 < temperature < np.inf:
            raise GeolocError(f"The temperature must be above 0; got {temperature}.")
        self.k, self.bandwidth_km = k, float(bandwidth_km)
        self.temperature, self.mean_shift = temperature, mean_shift
        self._names, self._country = np.unique(self.countries.astype(str), return_inverse=True)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """(n, D) float32, of length 1."""
        return self._gallery.vectors

    def predict(self, features: npt.ArrayLike) -> NearestAnswer:
        """Place images by their (m, D) features."""
        neighbours, cosines = self._gallery.search(features, self.k)
        weights = _votes(cosines, self.temperature)
        density = np.empty(neighbours.shape)
        coords = np.empty((len(neighbours), 2))
        country = np.empty(len(neighbours), dtype=np.int64)
        for start in range(0, len(neighbours), self._n_at_a_time):
            part = slice(start, start + self._n_at_a_time)
            coords[part], country[part], density[part] = self._densest(
                neighbours[part], weights[part]
            )
        return NearestAnswer(
            coords, self._names[country].astype(object), neighbours, density, weights
        )

    @property
    def _n_at_a_time(self) -> int:
        """Images whose neighbours' distances are held at once: 16 MiB of them."""
        return max(1, (1 << 21) // self.k**2)

    def _densest(
        self, neighbours: npt.NDArray[np.int64], weights: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.int64], FloatArray]:
        """Answer, number of its country, and density at the neighbours, of some images."""
        n, k = neighbours.shape
        places = self.coords[neighbours]  # (n, k, 2)
        from_each = np.repeat(places, k, axis=1).reshape(-1, 2)
        to_each = np.tile(places, (1, k, 1)).reshape(-1, 2)
        kernel = self._kernel(sphere.haversine(from_each, to_each)).reshape(n, k, k)
        density = (kernel * weights[:, None, :]).sum(axis=2)
        # The last bits of a sum depend on its order; equally dense is equal to nine digits.
        best = (density >= density.max(axis=1, keepdims=True) * (1 - 1e-9)).argmax(axis=1)
        image = np.arange(n)
        coords, voices = places[image, best], kernel[image, best] * weights
        if self.mean_shift:
            coords, voices = self._shifted(coords, places, weights)
        votes = np.zeros((n, len(self._names)))
        np.add.at(votes, (image[:, None], self._country[neighbours]), voices)
        most = votes >= votes.max(axis=1, keepdims=True) * (1 - 1e-9)
        own = self._country[neighbours[image, best]]
        country = np.where(most[image, own], own, most.argmax(axis=1))  # a tie: the densest's own
        return coords, country, density

    def _shifted(
        self, coords: FloatArray, places: FloatArray, weights: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Climb to the top of the density: (n, 2) places, and what each neighbour adds there."""
        n, k = weights.shape
        vectors = sphere.to_unit_vectors(places.reshape(-1, 2)).reshape(n, k, 3)
        coords, moving = coords.copy(), np.arange(n)
        for _ in range(_MOST_SHIFTS):
            before = coords[moving]
            voices = self._voices(before, places[moving], weights[moving])
            sums = (voices[:, :, None] * vectors[moving]).sum(axis=1)
            coords[moving] = sphere.from_unit_vectors(sums)
            # Each stops by itself: an answer does not depend on the images beside it.
            moving = moving[sphere.haversine(before, coords[moving]) >= _STILL_KM]
            if len(moving) == 0:
                break
        return coords, self._voices(coords, places, weights)

    def _voices(self, coords: FloatArray, places: FloatArray, weights: FloatArray) -> FloatArray:
        """(n, k): what each of (n, k, 2) neighbours adds to the density at (n, 2) places."""
        k = weights.shape[1]
        distance_km = sphere.haversine(np.repeat(coords, k, axis=0), places.reshape(-1, 2))
        return weights * self._kernel(distance_km).reshape(weights.shape)

    def _kernel(self, distance_km: FloatArray) -> FloatArray:
        weight: FloatArray = np.exp(-0.5 * (distance_km / self.bandwidth_km) ** 2)
        return weight


def _votes(cosines: npt.NDArray[np.float32], temperature: float | None) -> FloatArray:
    """Shares of the vote, (n, k); rows sum to 1."""
    if temperature is None:
        return np.full(cosines.shape, 1.0 / cosines.shape[1])
    exponents = (cosines - cosines[:, :1]).astype(np.float64) / temperature
    votes = np.exp(exponents)
    shares: FloatArray = votes / votes.sum(axis=1, keepdims=True)
    return shares
