"""Compiled loops of the table of shares: filling it, bounding its blocks, searching it for the best candidate.

A *ball* is a unit vector and an angle in radians. Candidates come in blocks of 64, ``block_vectors`` (n_blocks, 3, 64);
images in groups (``edges``). Whether a point is within a radius is decided on the squared chord between unit vectors;
balls only tell where no decision is needed.
"""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

WIDTH = 64
"""Candidates in a block."""

SAMPLES = 16_384
"""Values along the chord, from 0 to 2, between which exp(-angle / scale) is a straight line."""

STEPS = 2.0**36
"""Utilities are compared in steps of 2^-36: sums of the same numbers in another order are equal."""


@inline_kernel
def angle(x, y, z, u, v, w):
    """Angle between two unit vectors in radians, sure at 0 and at pi."""
    apart = (x - u) * (x - u) + (y - v) * (y - v) + (z - w) * (z - w)
    together = (x + u) * (x + u) + (y + v) * (y + v) + (z + w) * (z + w)
    return 2.0 * math.atan2(math.sqrt(apart), math.sqrt(together))


@inline_kernel
def add_counts(block, low, high, vectors, chord2, opened, counts):
    """Add to ``counts`` (n_radii, 64) the images ``low:high`` within each opened radius of each candidate."""
    xs, ys, zs = block[0], block[1], block[2]
    squares = np.empty(WIDTH)
    for j in range(low, high):
        x, y, z = vectors[0, j], vectors[1, j], vectors[2, j]
        for c in range(WIDTH):
            dx, dy, dz = xs[c] - x, ys[c] - y, zs[c] - z
            squares[c] = dx * dx + dy * dy + dz * dz
        for r in range(chord2.size):
            if opened[r]:
                limit = chord2[r]
                own = counts[r]
                for c in range(WIDTH):
                    own[c] += 1.0 if squares[c] <= limit else 0.0


@inline_kernel
def share_of_class(block, ball, k, radii, chord2, groups, group_balls, vectors, counts, opened):
    """Write into ``counts`` (n_radii, 64) the images of class k within each radius of each candidate of a block."""
    counts[:] = 0.0
    for group in range(groups[k], groups[k + 1]):
        low, high = group_balls[group, 4], group_balls[group, 5]
        n = high - low
        apart = angle(
            ball[0],
            ball[1],
            ball[2],
            group_balls[group, 0],
            group_balls[group, 1],
            group_balls[group, 2],
        )
        reach = ball[3] + group_balls[group, 3]
        any_open = False
        for r in range(radii.size):
            opened[r] = False
            if apart + reach <= radii[r]:
                own = counts[r]
                for c in range(WIDTH):
                    own[c] += n
            elif apart - reach <= radii[r]:
                opened[r] = any_open = True
        if any_open:
            add_counts(block, int(low), int(high), vectors, chord2, opened, counts)


@kernel
def table_of_blocks(
    first,
    last,
    writes,
    block_vectors,
    block_balls,
    radii,
    chord2,
    class_balls,
    class_counts,
    groups,
    group_balls,
    vectors,
    tile_edges,
    tile_classes,
    tile_radii,
    tiles,
    constant_edges,
    constant_classes,
    constant_radii,
    constants,
):
    """Images of each class within each radius of each candidate, for blocks ``first:last``.

    Where all candidates of a block see the same number of a class it is a *constant*, else a *tile* of 64 numbers.
    Without ``writes``, only counts them, into ``tile_edges[block + 1]`` and ``constant_edges[block + 1]``; with it,
    fills them in from ``tile_edges[block]`` and ``constant_edges[block]`` on. Numbers of 0 are left out.
    """
    n_radii = radii.size
    counts = np.empty((n_radii, WIDTH))
    opened = np.empty(n_radii, dtype=np.bool_)
    farthest = radii[n_radii - 1]
    for block in range(first, last):
        ball = block_balls[block]
        tile = tile_edges[block] if writes else np.int64(0)
        constant = constant_edges[block] if writes else np.int64(0)
        for k in range(class_counts.size):
            own = class_balls[k]
            apart = angle(ball[0], ball[1], ball[2], own[0], own[1], own[2])
            reach = ball[3] + own[3]
            if apart - reach > farthest:
                continue
            any_open = False
            for r in range(n_radii):
                any_open |= apart - reach <= radii[r] and apart + reach > radii[r]
            if any_open:
                share_of_class(
                    block_vectors[block],
                    ball,
                    k,
                    radii,
                    chord2,
                    groups,
                    group_balls,
                    vectors,
                    counts,
                    opened,
                )
            for r in range(n_radii):
                least = most = 0.0
                if any_open:
                    least = most = counts[r, 0]
                    for c in range(WIDTH):
                        least, most = min(least, counts[r, c]), max(most, counts[r, c])
                elif apart + reach <= radii[r]:
                    least = most = float(class_counts[k])
                if most == 0.0:
                    continue
                if least == most:
                    if writes:
                        constant_classes[constant] = k
                        constant_radii[constant] = r
                        constants[constant] = most
                    constant += 1
                else:
                    if writes:
                        tile_classes[tile] = k
                        tile_radii[tile] = r
                        for c in range(WIDTH):
                            tiles[tile, c] = counts[r, c]
                    tile += 1
        if not writes:
            tile_edges[block + 1] = tile
            constant_edges[block + 1] = constant


@kernel
def smooth_tiles_of_blocks(
    first, last, block_vectors, scale, class_edges, class_counts, vectors, tiles
):
    """Mean of exp(-angle / scale) over each class's images, at each candidate: a tile for each class and block.

    The function is read off between `SAMPLES` values along the chord, to 1e-6 and far better where it is not tiny.
    """
    n_classes = class_counts.size
    sums = np.empty(WIDTH)
    chords = np.empty(WIDTH)
    per_chord = SAMPLES / 2.0
    values = np.empty(SAMPLES + 2)
    for k in range(SAMPLES + 2):
        values[k] = math.exp(-2.0 * math.asin(min(1.0, 0.5 * k / per_chord)) / scale)
    for block in range(first, last):
        xs, ys, zs = block_vectors[block, 0], block_vectors[block, 1], block_vectors[block, 2]
        for k in range(n_classes):
            sums[:] = 0.0
            for j in range(class_edges[k], class_edges[k + 1]):
                x, y, z = vectors[0, j], vectors[1, j], vectors[2, j]
                for c in range(WIDTH):
                    dx, dy, dz = xs[c] - x, ys[c] - y, zs[c] - z
                    chords[c] = min(2.0, math.sqrt(dx * dx + dy * dy + dz * dz)) * per_chord
                for c in range(WIDTH):
                    place = int(chords[c])
                    part = chords[c] - place
                    sums[c] += values[place] + part * (values[place + 1] - values[place])
            for c in range(WIDTH):
                tiles[block * n_classes + k, c] = np.float32(sums[c] / class_counts[k])


@kernel
def bounds_of_table(
    first,
    last,
    weights,
    units,
    tile_edges,
    tile_classes,
    tile_radii,
    tiles,
    constant_edges,
    constant_classes,
    constant_radii,
    constants,
    bounds,
):
    """Most that a class of probability 1 adds to the utility of any candidate of a block, (n_blocks, n_classes)."""
    own = np.zeros(units.size)
    sums = np.empty(WIDTH)
    for block in range(first, last):
        own[:] = 0.0
        for e in range(constant_edges[block], constant_edges[block + 1]):
            k = constant_classes[e]
            own[k] += weights[constant_radii[e]] * constants[e] / units[k]
        e = tile_edges[block]
        while e < tile_edges[block + 1]:
            k = tile_classes[e]
            sums[:] = 0.0
            while e < tile_edges[block + 1] and tile_classes[e] == k:
                weight = weights[tile_radii[e]]
                for c in range(WIDTH):
                    sums[c] += weight * tiles[e, c]
                e += 1
            most = 0.0
            for c in range(WIDTH):
                most = max(most, sums[c])
            own[k] += most / units[k]
        for k in range(units.size):
            bounds[block, k] = np.float32(own[k] * (1.0 + 1e-7))


@inline_kernel
def consider(block, sums, places, best, best_steps):
    """Take the best candidate of a block where it beats the best so far; of equal ones the lowest place."""
    for c in range(WIDTH):
        place = places[block, c]
        if place < 0:
            continue
        steps = math.floor(sums[c] * STEPS + 0.5)
        if steps > best_steps or (steps == best_steps and place < best):
            best, best_steps = place, steps
    return best, best_steps


@inline_kernel
def highest(values):
    """Index of the highest value, the first of equal ones."""
    best = 0
    for k in range(1, values.size):
        if values[k] > values[best]:
            best = k
    return best


@kernel
def search_table(
    first,
    last,
    shares,
    bounds,
    tolerance,
    weights,
    places,
    tile_edges,
    tile_classes,
    tile_radii,
    tiles,
    constant_edges,
    constant_classes,
    constant_radii,
    constants,
    chosen,
    utilities,
    n_visited,
):
    """Best candidate of rows ``first:last``: blocks by falling bound, until no bound can beat the best candidate.

    ``shares`` (n, n_classes) is the probability of a class over its unit; ``bounds`` (n, n_blocks), which is used up,
    no less than the utility of any candidate of the block.
    """
    sums = np.empty(WIDTH)
    for row in range(first, last):
        own = shares[row]
        best, best_steps = np.int64(-1), -1.0
        while True:
            block = highest(bounds[row])
            bound = bounds[row, block]
            if bound < 0.0 or bound <= (best_steps - 1.0) / STEPS + tolerance:
                break
            bounds[row, block] = -1.0
            n_visited[row] += 1
            base = 0.0
            for e in range(constant_edges[block], constant_edges[block + 1]):
                base += own[constant_classes[e]] * weights[constant_radii[e]] * constants[e]
            sums[:] = base
            for e in range(tile_edges[block], tile_edges[block + 1]):
                share = own[tile_classes[e]] * weights[tile_radii[e]]
                if share > 0.0:
                    tile = tiles[e]
                    for c in range(WIDTH):
                        sums[c] += share * tile[c]
            best, best_steps = consider(block, sums, places, best, best_steps)
        chosen[row] = best
        utilities[row] = best_steps / STEPS
