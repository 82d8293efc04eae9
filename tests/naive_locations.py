"""Slow, obvious twins of medoids and modes. Nothing here imports geocells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from naive import EARTH_RADIUS_KM, Point, unit_vector


def distance_km(a: Point, b: Point) -> float:
    """Great-circle distance by Kahan's angle between vectors, sure to a micrometre even near the antipode."""
    u, v = unit_vector(a), unit_vector(b)
    apart = math.hypot(*(p - q for p, q in zip(u, v, strict=True)))
    together = math.hypot(*(p + q for p, q in zip(u, v, strict=True)))
    return 2 * EARTH_RADIUS_KM * math.atan2(apart, together)


def sum_of_distances(point: Point, images: Sequence[Point]) -> float:
    return math.fsum(distance_km(point, other) for other in images)


def medoid(images: Sequence[Point], slack_km: float = 1e-6) -> Point:
    """Image with the least sum of distances; of those equal to a millimetre the lowest latitude, then longitude."""
    sums = {point: sum_of_distances(point, images) for point in set(images)}
    least = min(sums.values())
    return min(point for point, own in sums.items() if own <= least + slack_km)


def n_within(point: Point, images: Sequence[Point], radius_km: float) -> int:
    return sum(distance_km(point, other) <= radius_km for other in images)


def mode(images: Sequence[Point], radius_km: float = 1.0) -> Point:
    """Coordinate with most images within the radius; of equal ones the lowest latitude, then longitude."""
    return min(set(images), key=lambda point: (-n_within(point, images, radius_km), point))
