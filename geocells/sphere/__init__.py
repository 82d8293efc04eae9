"""Geometry on the sphere: distances, means and the Equal Earth projection."""

from geocells.sphere.distance import EARTH_RADIUS_KM, haversine, haversine_matrix
from geocells.sphere.equal_earth import equal_earth
from geocells.sphere.means import SphereSums, from_unit_vectors, spherical_mean, to_unit_vectors

__all__ = [
    "EARTH_RADIUS_KM",
    "SphereSums",
    "equal_earth",
    "from_unit_vectors",
    "haversine",
    "haversine_matrix",
    "spherical_mean",
    "to_unit_vectors",
]
