"""What an answer at some distance is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geocells._types import ArrayLike, FloatArray
from geocells.sphere import EARTH_RADIUS_KM
from geocells.validation import check_choice

GEOSCORE_SCALE_KM = 1492.7
"""GeoScore is 5000 exp(-d / 1492.7 km)."""

UTILITIES = ("radii", "geoscore")


@dataclass(frozen=True)
class Utility:
    """What an answer at some distance is worth.

    Attributes
    ----------
    radii_km : tuple of float
        Rising radii, each worth its weight (``d <= r``); empty for exp(-d / scale).
    scale_km : float
        Scale of exp(-d / scale); 0 for radii.
    """

    radii_km: tuple[float, ...]
    scale_km: float = 0.0

    @property
    def radii(self) -> FloatArray:
        """The radii as angles in radians."""
        return np.array(self.radii_km, dtype=np.float64) / EARTH_RADIUS_KM

    @property
    def scale(self) -> float:
        """The scale as an angle in radians."""
        return self.scale_km / EARTH_RADIUS_KM

    @property
    def chord2(self) -> FloatArray:
        """Squared chord of each radius, rounded up by a micrometre on the ground, by 4 m at the antipode."""
        angles = np.minimum(self.radii, np.pi)
        return np.where(self.radii >= np.pi, 5.0, (2.0 * np.sin(0.5 * angles) + 1e-13) ** 2)

    def weights_of(self, asked_km: ArrayLike | None, weights: FloatArray) -> FloatArray:
        """Weights with those of all radii but ``asked_km`` set to 0; None asks for all."""
        if asked_km is None:
            return weights
        if not self.radii_km:
            raise ValueError('utility="geoscore" has no radii to choose from: leave radii_km out.')
        asked, fitted = check_radii(asked_km), np.array(self.radii_km)
        unknown = asked[~np.isin(asked, fitted)]
        if len(unknown):
            raise ValueError(
                f"radii_km must be among the fitted ones, {fitted.tolist()}; got {unknown.tolist()} too."
            )
        kept = np.where(np.isin(fitted, asked), weights, 0.0)
        if not kept.any():
            raise ValueError(
                f"The weights of the radii {asked.tolist()} are all zero: every point is as good."
            )
        return kept


def utility_of(
    name: str, radii_km: ArrayLike, weights: Sequence[float] | None
) -> tuple[Utility, FloatArray]:
    """Return a utility by its name, and the weights of its radii: equal parts of 1 where there are none."""
    if check_choice(name, "utility", UTILITIES) == "geoscore":
        if weights is not None:
            raise ValueError('utility="geoscore" has no radii to weigh: leave weights out.')
        return Utility((), GEOSCORE_SCALE_KM), np.ones(1)
    radii = check_radii(radii_km)
    if weights is None:
        return Utility(tuple(radii.tolist())), np.full(len(radii), 1.0 / len(radii))
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != radii.shape:
        raise ValueError(
            f"weights must be one number for each of the {len(radii)} radii; got shape {given.shape}."
        )
    if not (np.isfinite(given).all() and (given >= 0).all() and given.any()):
        raise ValueError(
            f"weights must be finite, not negative and not all zero; got {given.tolist()}."
        )
    return Utility(tuple(radii.tolist())), given


def check_radii(radii_km: ArrayLike) -> FloatArray:
    """Return distinct, rising radii in km, (n_radii,) float64."""
    radii = np.atleast_1d(np.asarray(radii_km, dtype=np.float64))
    if radii.ndim != 1 or not len(radii):
        raise ValueError(f"radii_km must hold at least one radius; got shape {radii.shape}.")
    if not (np.isfinite(radii).all() and (radii > 0).all() and (np.diff(radii) > 0).all()):
        raise ValueError(
            f"radii_km must be numbers of km above 0, each larger than the one before; got {radii.tolist()}."
        )
    return radii
