"""Compiled loops over the probability that lies around a point: how much within a radius, and how far for so much."""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

FINE_ENOUGH = 1e-9
"""Radians (6 mm) to which a radius is bisected."""

ROUNDING = 1e-12
"""What sums of probabilities may be off."""


@inline_kernel
def angle(x, y, z, u, v, w):
    """Angle between two unit vectors in radians, sure at 0 and at pi."""
    apart = (x - u) * (x - u) + (y - v) * (y - v) + (z - w) * (z - w)
    together = (x + u) * (x + u) + (y + v) * (y + v) + (z + w) * (z + w)
    return 2.0 * math.atan2(math.sqrt(apart), math.sqrt(together))


@inline_kernel
def chord2_of_angle(radians):
    """Squared chord of an angle, rounded up by a micrometre, by 4 m at the antipode; no chord exceeds that of pi."""
    if radians >= math.pi:
        return 5.0
    chord = 2.0 * math.sin(0.5 * radians) + 1e-13
    return chord * chord


@inline_kernel
def mass_of_images(point, own, classes, low, high, vectors, chord2):
    """Probability of those images of ``low:high`` that are within the chord of a point."""
    x, y, z = point[0], point[1], point[2]
    mass = 0.0
    for j in range(low, high):
        dx, dy, dz = vectors[0, j] - x, vectors[1, j] - y, vectors[2, j] - z
        mass += own[classes[j]] if dx * dx + dy * dy + dz * dz <= chord2 else 0.0
    return mass


@kernel
def mass_within(
    first, last, shares, masses, points, radii, classes, edges, group_balls, vectors, within
):
    """Probability within each radius of a row's point; ``radii`` (n, n_radii) or (1, n_radii), in radians."""
    for row in range(first, last):
        point, own = points[row], shares[row]
        asked = radii[row if radii.shape[0] > 1 else 0]
        within[row] = 0.0
        for group in range(edges.size - 1):
            mass = masses[row, group]
            if mass <= 0.0:
                continue
            ball = group_balls[group]
            apart = angle(point[0], point[1], point[2], ball[0], ball[1], ball[2])
            for r in range(asked.size):
                if apart + ball[3] <= asked[r]:
                    within[row, r] += mass
                elif apart - ball[3] <= asked[r]:
                    within[row, r] += mass_of_images(
                        point,
                        own,
                        classes,
                        edges[group],
                        edges[group + 1],
                        vectors,
                        chord2_of_angle(asked[r]),
                    )


@kernel
def mass_radius(
    first,
    last,
    shares,
    masses,
    points,
    level,
    beyond,
    classes,
    edges,
    group_balls,
    vectors,
    radii,
):
    """Least angle around a row's point that holds a mass of ``level``, or with ``beyond`` more than that.

    Bisection; groups wholly inside the smallest angle, or outside the largest, are left behind on the way. Infinite
    where the whole earth does not hold as much.
    """
    n_groups = edges.size - 1
    active = np.empty(n_groups, dtype=np.int64)
    apart = np.empty(n_groups)
    goal = level + ROUNDING if beyond else level - ROUNDING
    for row in range(first, last):
        point, own = points[row], shares[row]
        n_active = 0
        total = 0.0
        for group in range(n_groups):
            if masses[row, group] > 0.0:
                ball = group_balls[group]
                apart[group] = angle(point[0], point[1], point[2], ball[0], ball[1], ball[2])
                active[n_active] = group
                n_active += 1
                total += masses[row, group]
        if total <= goal if beyond else total < goal:
            radii[row] = np.inf
            continue
        settled = 0.0
        # The first angle tried is 0: images at the very point.
        low, high, middle = -1.0, math.pi, 0.0
        while high - low > FINE_ENOUGH:
            mass = settled
            chord2 = chord2_of_angle(middle)
            for place in range(n_active):
                group = active[place]
                reach = group_balls[group, 3]
                if apart[group] + reach <= middle:
                    mass += masses[row, group]
                elif apart[group] - reach <= middle:
                    mass += mass_of_images(
                        point, own, classes, edges[group], edges[group + 1], vectors, chord2
                    )
            if mass > goal if beyond else mass >= goal:
                high = middle
            else:
                low = middle
            kept = 0
            for place in range(n_active):
                group = active[place]
                reach = group_balls[group, 3]
                if apart[group] + reach <= low:
                    settled += masses[row, group]
                elif apart[group] - reach <= high:
                    active[kept] = group
                    kept += 1
            n_active = kept
            middle = 0.5 * (max(low, 0.0) + high)
            if high == 0.0:
                break
        radii[row] = high
