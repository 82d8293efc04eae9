"""Slow, obvious twins of the decoders: every candidate, every image, every cell. Nothing here imports geocells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from naive import Point, direction, distance_km, unit_vector

MICROMETRE = 1e-9
"""In km: how much farther than the radius still counts as within, as the library promises."""


def radii_utility(
    km: float, radii_km: Sequence[float], weights: Sequence[float] | None = None
) -> float:
    weights = weights or [1 / len(radii_km)] * len(radii_km)
    return math.fsum(w for r, w in zip(radii_km, weights, strict=True) if km <= r + MICROMETRE)


def expected_utility(
    candidate: Point,
    row: Sequence[float],
    coords: Sequence[Point],
    labels: Sequence[int],
    utility,
) -> float:
    """sum_k p_k (1 / n_k) sum_{j in cell k} u(d(c, x_j)), as printed."""
    total = []
    for cell, probability in enumerate(row):
        images = [x for x, label in zip(coords, labels, strict=True) if label == cell]
        total.append(
            probability
            * math.fsum(utility(distance_km(candidate, x)) for x in images)
            / len(images)
        )
    return math.fsum(total)


def best(
    candidates: Sequence[Point],
    row: Sequence[float],
    coords: Sequence[Point],
    labels: Sequence[int],
    utility,
) -> tuple[Point, float]:
    """First candidate whose utility is the highest, to 1e-10."""
    utilities = [expected_utility(c, row, coords, labels, utility) for c in candidates]
    highest = max(utilities)
    first = next(k for k, own in enumerate(utilities) if own >= highest - 1e-10)
    return candidates[first], utilities[first]


def mass_within(
    point: Point,
    radius_km: float,
    row: Sequence[float],
    coords: Sequence[Point],
    labels: Sequence[int],
) -> float:
    return expected_utility(
        point, row, coords, labels, lambda km: float(km <= radius_km + MICROMETRE)
    )


def mass_radius(
    point: Point, mass: float, row: Sequence[float], coords: Sequence[Point], labels: Sequence[int]
) -> float:
    """Distance of the first image at which the mass, image by image from the nearest on, reaches the level."""
    counts = [labels.count(cell) for cell in range(len(row))]
    images = sorted(
        (distance_km(point, x), row[label] / counts[label])
        for x, label in zip(coords, labels, strict=True)
    )
    so_far = []
    for km, own in images:
        so_far.append(own)
        if math.fsum(so_far) >= mass - 1e-12:
            return km
    return math.inf


def top_k_mean(row: Sequence[float], locations: Sequence[Point], k: int) -> Point:
    chosen = sorted(range(len(row)), key=lambda cell: (-row[cell], cell))[:k]
    sums = [
        math.fsum(row[cell] * unit_vector(locations[cell])[axis] for cell in chosen)
        for axis in range(3)
    ]
    if math.hypot(*sums) < 1e-9:
        return locations[chosen[0]]
    return direction(*sums)


def hierarchical(
    levels: Sequence[Sequence[float]], parents: Sequence[Sequence[int]]
) -> list[float]:
    """One image: multiply each fine cell's probability by those of all of its ancestors, then normalise."""
    products = []
    for cell in range(len(levels[-1])):
        product, place = levels[-1][cell], cell
        for level in range(len(levels) - 2, -1, -1):
            place = parents[level][place]
            product *= levels[level][place]
        products.append(product)
    total = sum(products)
    return [p / total for p in products] if total else list(levels[-1])


def credible_region(row: Sequence[float], level: float) -> list[int]:
    region: list[int] = []
    for cell in sorted(range(len(row)), key=lambda cell: (-row[cell], cell)):
        if math.fsum(row[k] for k in region) >= level - 1e-12 or row[cell] == 0:
            break
        region.append(cell)
    return region


def conformal_quantile(scores: Sequence[float], tenths: int) -> float:
    """The ceil((n + 1) (1 - alpha))-th smallest, with alpha in whole tenths so that nothing rounds."""
    rank = -(-(len(scores) + 1) * (10 - tenths) // 10)
    return sorted(scores)[rank - 1] if rank <= len(scores) else math.inf


def negative_log_likelihood(
    logits: Sequence[Sequence[float]], labels: Sequence[int], temperature: float
) -> float:
    total = []
    for row, label in zip(logits, labels, strict=True):
        highest = max(row)
        powers = [math.exp((z - highest) / temperature) for z in row]
        total.append(math.log(math.fsum(powers)) - (row[label] - highest) / temperature)
    return math.fsum(total) / len(total)


def expected_calibration_error(
    confidences: Sequence[float], right: Sequence[bool], n_bins: int
) -> float:
    gaps = []
    for k in range(n_bins):
        inside = [
            (c, r)
            for c, r in zip(confidences, right, strict=True)
            if k / n_bins < c <= (k + 1) / n_bins or (k == 0 and c == 0)
        ]
        if inside:
            gaps.append(abs(math.fsum(c for c, _ in inside) - sum(r for _, r in inside)))
    return math.fsum(gaps) / len(confidences)
