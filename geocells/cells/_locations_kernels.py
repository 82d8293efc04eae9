"""Compiled loops of medoids and modes: images by cell, distinct points, exact medoid, points within a radius."""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

LEAF_POINTS = 16
"""Points in a leaf of the tree that counts neighbours."""

TO_WHOLE = 1.5 * 2.0**52
"""Added to a number below 2^51, it leaves the nearest whole number in the low bits of the sum."""

CHUNK = 512


@kernel
def count_images(labels, weights, counts):
    """Add up the rows of each label that stand for an image; -1 and weight 0 are passed over."""
    weighted = weights.size > 0
    for row in range(labels.size):
        if labels[row] >= 0 and (not weighted or weights[row] > 0):
            counts[labels[row]] += 1


@kernel
def rows_by_label(labels, weights, next_place, rows):
    """Write the rows that stand for an image label by label; ``next_place`` starts at each label's first place."""
    weighted = weights.size > 0
    for row in range(labels.size):
        label = labels[row]
        if label >= 0 and (not weighted or weights[row] > 0):
            rows[next_place[label]] = row
            next_place[label] += 1


@inline_kernel
def is_before(latitude_a, longitude_a, latitude_b, longitude_b):
    """Compare two coordinates by latitude, then longitude."""
    return latitude_a < latitude_b or (latitude_a == latitude_b and longitude_a < longitude_b)


@inline_kernel
def sort_points(points, images, low, high, stack):
    """Sort by latitude, then longitude (Hoare's quicksort, insertion for few; the pivot drawn at random)."""
    draw = np.uint64(high - low)
    stack[0, 0], stack[0, 1] = low, high
    depth = 1
    while depth > 0:
        depth -= 1
        low, high = stack[depth, 0], stack[depth, 1]
        while high - low > 16:
            draw = draw * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            pivot = low + np.int64((draw >> np.uint64(33)) % np.uint64(high - low))
            latitude, longitude = points[pivot, 0], points[pivot, 1]
            i, j = low, high - 1
            while i <= j:
                while is_before(points[i, 0], points[i, 1], latitude, longitude):
                    i += 1
                while is_before(latitude, longitude, points[j, 0], points[j, 1]):
                    j -= 1
                if i <= j:
                    points[i, 0], points[j, 0] = points[j, 0], points[i, 0]
                    points[i, 1], points[j, 1] = points[j, 1], points[i, 1]
                    images[i], images[j] = images[j], images[i]
                    i += 1
                    j -= 1
            # The larger part waits, so that the stack stays small.
            if j + 1 - low > high - i:
                stack[depth, 0], stack[depth, 1] = low, j + 1
                low = i
            else:
                stack[depth, 0], stack[depth, 1] = i, high
                high = j + 1
            depth += 1
        for i in range(low + 1, high):
            latitude, longitude, weight = points[i, 0], points[i, 1], images[i]
            j = i
            while j > low and is_before(latitude, longitude, points[j - 1, 0], points[j - 1, 1]):
                points[j, 0], points[j, 1], images[j] = (
                    points[j - 1, 0],
                    points[j - 1, 1],
                    images[j - 1],
                )
                j -= 1
            points[j, 0], points[j, 1], images[j] = latitude, longitude, weight


@kernel
def distinct_points(first, last, coords, weights, edges, rows, points, images, n_distinct):
    """Sort each cell's coordinates by latitude, then longitude, and write every one once with its images.

    Cells ``first:last`` own the places ``edges[cell]:edges[cell + 1]`` of ``rows``, ``points`` and ``images``.
    """
    weighted = weights.size > 0
    stack = np.empty((64, 2), dtype=np.int64)
    for cell in range(first, last):
        start, stop = edges[cell], edges[cell + 1]
        for place in range(start, stop):
            row = rows[place]
            points[place, 0] = coords[row, 0] + 0.0  # -0.0 is 0.0
            points[place, 1] = coords[row, 1] + 0.0
            images[place] = weights[row] if weighted else np.int64(1)
        sort_points(points, images, start, stop, stack)
        kept = start
        for place in range(start + 1, stop):
            if points[place, 0] == points[kept, 0] and points[place, 1] == points[kept, 1]:
                images[kept] += images[place]
            else:
                kept += 1
                points[kept, 0], points[kept, 1] = points[place, 0], points[place, 1]
                images[kept] = images[place]
        n_distinct[cell] = min(kept + 1, stop) - start
        points[start + n_distinct[cell] : stop] = 0.0


@inline_kernel
def arcsine_to_half(x):
    """Arcsine of 0 to 0.5, to the last bit or two: fdlibm's rational function, without a branch."""
    z = x * x
    p = z * (
        1.66666666666666657415e-01
        + z
        * (
            -3.25565818622400915405e-01
            + z
            * (
                2.01212532134862925881e-01
                + z
                * (
                    -4.00555345006794114027e-02
                    + z * (7.91534994289814532176e-04 + z * 3.47933107596021167570e-05)
                )
            )
        )
    )
    q = 1.0 + z * (
        -2.40339491173441421878e00
        + z
        * (
            2.02094576023350569471e00
            + z * (-6.88283971605453293030e-01 + z * 7.70381505559019352791e-02)
        )
    )
    return x + x * (p / q)


@inline_kernel
def distances_from(point, xs, ys, zs, near, unit, distances):
    """Great-circle distance of one point to all, in units of ``1 / unit`` radians; to a nanometre, even far away."""
    x, y, z = xs[point], ys[point], zs[point]
    if near:
        for k in range(xs.size):
            dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
            chord = math.sqrt(dx * dx + dy * dy + dz * dz)
            distances[k] = 2.0 * unit * arcsine_to_half(0.5 * chord)
    else:
        for k in range(xs.size):
            dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
            sx, sy, sz = xs[k] + x, ys[k] + y, zs[k] + z
            chord = math.sqrt(dx * dx + dy * dy + dz * dz)
            other = math.sqrt(sx * sx + sy * sy + sz * sz)
            distances[k] = 2.0 * unit * math.atan2(chord, other)


@inline_kernel
def sum_of_whole(distances, images, chunk, whole, zero):
    """Sum of images times distances, each distance rounded to a whole number: exact, so free of order."""
    total = np.int64(0)
    for first in range(0, distances.size, CHUNK):
        last = min(first + CHUNK, distances.size)
        for k in range(last - first):
            chunk[k] = distances[first + k] + TO_WHOLE
        for k in range(last - first):
            total += images[first + k] * (whole[k] - zero)
    return total


@kernel
def medoid(xs, ys, zs, images, units_per_radian):
    """Index of the point with the least sum of distances to all images; the lowest one where sums are equal.

    ``units_per_radian`` scales distances to whole numbers, so small that no sum overflows.

    After a point i is summed up, the triangle inequality bounds the sum of every other point k from below:
    ``S_k >= |S_i - n d(i, k)|``. A point whose bound exceeds the best sum is never summed up itself.
    """
    n = xs.size
    if n <= 2:
        # Of two points the one with more images; of equal ones the first.
        return 1 if n == 2 and images[1] > images[0] else 0
    chunk = np.empty(CHUNK)
    whole = chunk.view(np.int64)
    zero = np.array([TO_WHOLE]).view(np.int64)[0]
    n_images = 0.0
    x = y = z = 0.0
    for k in range(n):
        weight = float(images[k])
        n_images += weight
        x += weight * xs[k]
        y += weight * ys[k]
        z += weight * zs[k]
    length = math.sqrt(x * x + y * y + z * z)
    # All within 30 degrees of the mean, so within 60 of one another; and the point nearest to it comes first.
    first = 0
    highest = lowest = xs[0] * x + ys[0] * y + zs[0] * z
    for k in range(1, n):
        dot = xs[k] * x + ys[k] * y + zs[k] * z
        lowest = min(lowest, dot)
        if dot > highest:
            first, highest = k, dot
    near = lowest > 0.8661 * length
    distances = np.empty(n)
    bounds = np.zeros(n)
    best, best_sum = -1, np.int64(0)
    # Steps of the golden ratio visit all places evenly, the same for every order of the rows.
    step = max(1, int(0.6180339887498949 * n))
    while math.gcd(step, n) != 1:
        step += 1
    point = first
    for _ in range(n):
        # Each distance is off by half a unit at most, and sums by their last bits.
        slack = 4.0 * n_images + 1e-13 * float(best_sum)
        if best < 0 or bounds[point] <= float(best_sum) + slack:
            distances_from(point, xs, ys, zs, near, units_per_radian, distances)
            own_sum = sum_of_whole(distances, images, chunk, whole, zero)
            if best < 0 or own_sum < best_sum or (own_sum == best_sum and point < best):
                best, best_sum = point, own_sum
            total = float(own_sum)
            for k in range(n):
                bound = abs(total - n_images * distances[k])
                bounds[k] = max(bounds[k], bound)
        point = (point + step) % n
    return best


@inline_kernel
def split(xs, ys, zs, images, place, low, high, middle, axis):
    """Put what belongs before ``middle`` along an axis before it (Hoare's selection), all arrays alike."""
    along = xs if axis == 0 else (ys if axis == 1 else zs)
    while high - low > 1:
        pivot = along[(low + high) // 2]
        i, j = low, high - 1
        while i <= j:
            while along[i] < pivot:
                i += 1
            while along[j] > pivot:
                j -= 1
            if i <= j:
                xs[i], xs[j] = xs[j], xs[i]
                ys[i], ys[j] = ys[j], ys[i]
                zs[i], zs[j] = zs[j], zs[i]
                images[i], images[j] = images[j], images[i]
                place[i], place[j] = place[j], place[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j + 1
        elif middle >= i:
            low = i
        else:
            return


@kernel
def mode(xs, ys, zs, images, chord):
    """Index of the point with most images within ``chord`` (straight through the unit sphere); ties: the lowest.

    A tree of boxes over the points: a box wholly within the chord counts at once, one wholly outside not at all. A leaf
    whose neighbourhood as a whole holds fewer images than the best point so far is passed over.
    """
    n = xs.size
    if n == 1:
        return 0
    xs, ys, zs, images = xs.copy(), ys.copy(), zs.copy(), images.copy()
    place = np.arange(n)
    n_levels = 0
    while (n >> n_levels) > LEAF_POINTS:
        n_levels += 1
    n_nodes = 2 ** (n_levels + 1) - 1
    first_leaf = 2**n_levels - 1
    lows = np.empty(n_nodes, dtype=np.int64)
    highs = np.empty(n_nodes, dtype=np.int64)
    boxes = np.empty((n_nodes, 6))
    totals = np.zeros(n_nodes, dtype=np.int64)
    lows[0], highs[0] = 0, n
    for node in range(n_nodes):
        low, high = lows[node], highs[node]
        box = boxes[node]
        box[0] = box[3] = xs[low]
        box[1] = box[4] = ys[low]
        box[2] = box[5] = zs[low]
        for k in range(low, high):
            box[0], box[3] = min(box[0], xs[k]), max(box[3], xs[k])
            box[1], box[4] = min(box[1], ys[k]), max(box[4], ys[k])
            box[2], box[5] = min(box[2], zs[k]), max(box[5], zs[k])
            totals[node] += images[k]
        if node < first_leaf:
            axis = 0
            for other in range(1, 3):
                if box[3 + other] - box[other] > box[3 + axis] - box[axis]:
                    axis = other
            middle = (low + high) // 2
            split(xs, ys, zs, images, place, low, high, middle, axis)
            lows[2 * node + 1], highs[2 * node + 1] = low, middle
            lows[2 * node + 2], highs[2 * node + 2] = middle, high
    limit = chord * chord
    stack = np.empty(2 * n_levels + 4, dtype=np.int64)
    # Leaves with crowded neighbourhoods first: most others are then passed over.
    n_leaves = n_nodes - first_leaf
    most = np.zeros(n_leaves, dtype=np.int64)
    for leaf in range(n_leaves):
        own = boxes[first_leaf + leaf]
        depth = 1
        stack[0] = 0
        while depth > 0:
            depth -= 1
            node = stack[depth]
            nearest = 0.0
            for axis in range(3):
                gap = max(0.0, boxes[node, axis] - own[3 + axis], own[axis] - boxes[node, 3 + axis])
                nearest += gap * gap
            if nearest > limit * (1.0 + 1e-9):
                continue
            if node >= first_leaf:
                most[leaf] += totals[node]
            else:
                stack[depth] = 2 * node + 1
                stack[depth + 1] = 2 * node + 2
                depth += 2
    crowded = np.argmax(most)
    best, best_count = -1, np.int64(-1)
    for turn in range(-1, n_leaves):
        leaf = crowded if turn < 0 else turn
        if most[leaf] < best_count or turn == crowded:
            continue
        for k in range(lows[first_leaf + leaf], highs[first_leaf + leaf]):
            x, y, z = xs[k], ys[k], zs[k]
            count = np.int64(0)
            depth = 1
            stack[0] = 0
            while depth > 0:
                depth -= 1
                node = stack[depth]
                box = boxes[node]
                x_below, x_above = box[0] - x, x - box[3]
                y_below, y_above = box[1] - y, y - box[4]
                z_below, z_above = box[2] - z, z - box[5]
                x_gap = max(0.0, x_below, x_above)
                y_gap = max(0.0, y_below, y_above)
                z_gap = max(0.0, z_below, z_above)
                if x_gap * x_gap + y_gap * y_gap + z_gap * z_gap > limit:
                    continue
                x_reach = max(-x_below, -x_above)
                y_reach = max(-y_below, -y_above)
                z_reach = max(-z_below, -z_above)
                if x_reach * x_reach + y_reach * y_reach + z_reach * z_reach <= limit:
                    count += totals[node]
                elif node >= first_leaf:
                    for other in range(lows[node], highs[node]):
                        dx, dy, dz = xs[other] - x, ys[other] - y, zs[other] - z
                        inside = dx * dx + dy * dy + dz * dz <= limit
                        count += images[other] if inside else np.int64(0)
                else:
                    stack[depth] = 2 * node + 1
                    stack[depth + 1] = 2 * node + 2
                    depth += 2
            if count > best_count or (count == best_count and place[k] < best):
                best, best_count = place[k], count
    return best


@kernel
def medoids_and_modes(first, last, edges, n_distinct, vectors, images, chord, medoids, modes):
    """Index among its distinct points of each cell's medoid and mode; -1 for a cell without images.

    ``vectors`` (3, n) and ``images`` (n,) hold the cells' points from ``edges[first]`` on.
    """
    offset = edges[first]
    for cell in range(first, last):
        n = n_distinct[cell]
        if n == 0:
            medoids[cell] = modes[cell] = -1
            continue
        start = edges[cell] - offset
        xs = vectors[0, start : start + n]
        ys = vectors[1, start : start + n]
        zs = vectors[2, start : start + n]
        own = images[start : start + n]
        n_images = np.int64(0)
        for k in range(n):
            n_images += own[k]
        # pi < 4 radians times 2^bits units times the images stays below 2^62; 2^43 units are a micrometre each.
        bits = 60
        while n_images > 0:
            n_images >>= 1
            bits -= 1
        medoids[cell] = medoid(xs, ys, zs, own, 2.0 ** min(43, bits))
        modes[cell] = mode(xs, ys, zs, own, chord)
