"""Geometry on the sphere: distances, means and the Equal Earth projection."""

from geocells.sphere.distance import EARTH_RADIUS_KM, haversine, haversine_matrix
from geocells.sphere.equal_earth import equal_earth
from geocells.sphere.means import (
    CANCELLED,
    NO_WEIGHTS,
    SphereSums,
    first_point,
    from_unit_vectors,
    spherical_mean,
    to_unit_vectors,
)

__all__ = [
    "CANCELLED",
    "EARTH_RADIUS_KM",
    "NO_WEIGHTS",
    "SphereSums",
    "equal_earth",
    "first_point",
    "from_unit_vectors",
    "haversine",
    "haversine_matrix",
    "spherical_mean",
    "to_unit_vectors",
]
