"""Geometry on the sphere: distances, means, and which polygon holds a place."""

from geocells.sphere.distance import EARTH_RADIUS_KM, haversine, haversine_matrix
from geocells.sphere.means import SphereSums, from_unit_vectors, spherical_mean, to_unit_vectors
from geocells.sphere.polygons import PolygonIndex

__all__ = [
    "EARTH_RADIUS_KM",
    "PolygonIndex",
    "SphereSums",
    "from_unit_vectors",
    "haversine",
    "haversine_matrix",
    "spherical_mean",
    "to_unit_vectors",
]
