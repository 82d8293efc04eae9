"""Compiled loops that find the medoid and the mode of each cell's points."""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

LEAF_POINTS = 16
"""Points in a leaf of the tree that counts neighbours."""

NEAR = 0.16
"""Radians (1000 km) up to which a series measures a great circle to a micrometre."""


@inline_kernel
def measure_from(point, xs, ys, zs, near, units_per_radian, distances):
    """Great-circle distances of one point to all, in units rounded to whole numbers; ``near``: all within `NEAR`."""
    x, y, z = xs[point], ys[point], zs[point]
    for k in range(xs.size):
        dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
        apart2 = dx * dx + dy * dy + dz * dz
        if near:
            # Twice the arcsine of half the chord; many times faster than the arctangent.
            h = 0.25 * apart2
            series = 1.0 + h * (
                1 / 6 + h * (3 / 40 + h * (5 / 112 + h * (35 / 1152 + h * 63 / 2816)))
            )
            angle = math.sqrt(apart2) * series
        else:
            sx, sy, sz = xs[k] + x, ys[k] + y, zs[k] + z
            together2 = sx * sx + sy * sy + sz * sz
            angle = 2.0 * math.atan2(math.sqrt(apart2), math.sqrt(together2))
        distances[k] = np.int64(np.rint(units_per_radian * angle))


@kernel
def medoid(xs, ys, zs, images, units_per_radian):
    """Index of the point with the least sum of distances to all images; the lowest one where sums are equal.

    ``units_per_radian`` scales distances to whole numbers, so small that no sum overflows; sums of whole numbers are
    exact, so free of order.

    After a point i is summed up, the triangle inequality bounds the sum of every other point k from below:
    ``S_k >= |S_i - n d(i, k)|``. A point whose bound exceeds the best sum is never summed up itself.
    """
    n = xs.size
    if n <= 2:
        # Of two points the one with more images; of equal ones the first.
        return 1 if n == 2 and images[1] > images[0] else 0
    n_images = np.int64(0)
    x = y = z = 0.0
    for k in range(n):
        n_images += images[k]
        x += images[k] * xs[k]
        y += images[k] * ys[k]
        z += images[k] * zs[k]
    along_mean = xs * x + ys * y + zs * z
    near = along_mean.min() > math.cos(NEAR / 2) * math.sqrt(x * x + y * y + z * z)
    # The point nearest to the mean comes first.
    point = np.argmax(along_mean)
    distances = np.empty(n, dtype=np.int64)
    bounds = np.zeros(n)
    best, best_sum = -1, np.int64(0)
    # Steps of the golden ratio visit all points evenly, the same for every order of the rows.
    step = max(1, int(0.6180339887498949 * n))
    while math.gcd(step, n) != 1:
        step += 1
    for _ in range(n):
        # Each distance is off by half a unit at most, and bounds by their last bits.
        slack = 4.0 * n_images + 1e-13 * best_sum
        if best < 0 or bounds[point] <= best_sum + slack:
            measure_from(point, xs, ys, zs, near, units_per_radian, distances)
            total = np.int64(0)
            for k in range(n):
                total += images[k] * distances[k]
            if best < 0 or total < best_sum or (total == best_sum and point < best):
                best, best_sum = point, total
            for k in range(n):
                bound = abs(float(total) - float(n_images) * float(distances[k]))
                bounds[k] = max(bounds[k], bound)
        point = (point + step) % n
    return best


@kernel
def mode(vectors, images, order, chord):
    """Index of the point with most images within ``chord`` (straight through the unit sphere); ties: the lowest.

    A tree of boxes over the points in ``order``, in which neighbours are near: a box wholly within the chord counts at
    once, one wholly outside not at all.
    """
    n = images.size
    n_leaves = 1
    while n_leaves * LEAF_POINTS < n:
        n_leaves *= 2
    lows = np.full((2 * n_leaves - 1, 3), np.inf)
    highs = np.full((2 * n_leaves - 1, 3), -np.inf)
    totals = np.zeros(2 * n_leaves - 1, dtype=np.int64)
    for place in range(n):
        leaf = n_leaves - 1 + place // LEAF_POINTS
        totals[leaf] += images[order[place]]
        for axis in range(3):
            value = vectors[axis, order[place]]
            lows[leaf, axis] = min(lows[leaf, axis], value)
            highs[leaf, axis] = max(highs[leaf, axis], value)
    for node in range(n_leaves - 2, -1, -1):
        one, other = 2 * node + 1, 2 * node + 2
        totals[node] = totals[one] + totals[other]
        for axis in range(3):
            lows[node, axis] = min(lows[one, axis], lows[other, axis])
            highs[node, axis] = max(highs[one, axis], highs[other, axis])
    limit = chord * chord
    best, best_count = -1, np.int64(-1)
    stack = np.empty(128, dtype=np.int64)
    for point in range(n):
        count = np.int64(0)
        stack[0] = 0
        height = 1
        while height > 0:
            height -= 1
            node = stack[height]
            nearest = farthest = 0.0
            for axis in range(3):
                below = vectors[axis, point] - lows[node, axis]
                above = highs[node, axis] - vectors[axis, point]
                nearest += min(0.0, below, above) ** 2
                farthest += max(below, above) ** 2
            if nearest > limit:
                continue
            if farthest <= limit:
                count += totals[node]
            elif node < n_leaves - 1:
                stack[height] = 2 * node + 1
                stack[height + 1] = 2 * node + 2
                height += 2
            else:
                first = (node - n_leaves + 1) * LEAF_POINTS
                for place in range(first, min(first + LEAF_POINTS, n)):
                    distance = 0.0
                    for axis in range(3):
                        distance += (vectors[axis, order[place]] - vectors[axis, point]) ** 2
                    if distance <= limit:
                        count += images[order[place]]
        if count > best_count:
            best, best_count = point, count
    return best


@kernel
def medoids_and_modes(first, last, edges, vectors, images, order, chord, medoids, modes):
    """Write the rows of each cell's medoid and mode; cell i has the rows ``edges[i]:edges[i + 1]``.

    A cell without rows keeps what stands there.
    """
    for cell in range(first, last):
        start, stop = edges[cell], edges[cell + 1]
        if start == stop:
            continue
        own_vectors, own_images = vectors[:, start:stop], images[start:stop]
        # pi < 4 radians times 2^bits units times the images stays below 2^62; 2^43 units are a micrometre each.
        n_images = own_images.sum()
        bits = 60
        while n_images > 0:
            n_images >>= 1
            bits -= 1
        units = 2.0 ** min(43, bits)
        medoids[cell] = start + medoid(
            own_vectors[0], own_vectors[1], own_vectors[2], own_images, units
        )
        modes[cell] = start + mode(own_vectors, own_images, order[start:stop] - start, chord)
