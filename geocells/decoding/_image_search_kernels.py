"""Compiled loops of the search without a table, which works distances out when it needs them.

Terms as in `_expected_utility_kernels`, whose short helpers stand here once more: numba's cache does not notice an edit
in another file. ``scale`` 0 stands for the utility of radii, a positive one (in radians) for exp(-angle / scale).
"""

import math

import numpy as np

from geocells._jit import inline_kernel, kernel

WIDTH = 64
"""Candidates in a block."""

ROUNDING = 1e-6
"""Radians (6 m) that a distance stored as float32 may be off."""

STEPS = 2.0**36
"""Utilities are compared in steps of 2^-36, as in the table."""


@inline_kernel
def angle(x, y, z, u, v, w):
    """Angle between two unit vectors in radians, sure at 0 and at pi."""
    apart = (x - u) * (x - u) + (y - v) * (y - v) + (z - w) * (z - w)
    together = (x + u) * (x + u) + (y + v) * (y + v) + (z + w) * (z + w)
    return 2.0 * math.atan2(math.sqrt(apart), math.sqrt(together))


@inline_kernel
def angle_of_chord2(chord2):
    """Angle in radians of a squared chord."""
    return 2.0 * math.asin(min(1.0, 0.5 * math.sqrt(chord2)))


@inline_kernel
def chord2_of_angle(radians):
    """Squared chord of an angle, rounded up by a micrometre, by 4 m at the antipode; no chord exceeds that of pi."""
    if radians >= math.pi:
        return 5.0
    chord = 2.0 * math.sin(0.5 * radians) + 1e-13
    return chord * chord


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
def ball_distances(first, last, block_balls, group_balls, apart):
    """Angle between the centres of each block and each group, (n_blocks, n_groups) float32."""
    for block in range(first, last):
        ball = block_balls[block]
        for group in range(group_balls.shape[0]):
            own = group_balls[group]
            apart[block, group] = np.float32(
                angle(ball[0], ball[1], ball[2], own[0], own[1], own[2])
            )


@kernel
def bounds_of_balls(first, last, block_balls, group_balls, apart, radii, weights, scale, bounds):
    """Most that a group of probability 1 adds to the utility of any candidate of a block, by their balls."""
    for block in range(first, last):
        for group in range(group_balls.shape[0]):
            least = apart[block, group] - block_balls[block, 3] - group_balls[group, 3] - ROUNDING
            bound = 0.0
            if scale > 0.0:
                bound = weights[0] * math.exp(-max(0.0, least) / scale)
            else:
                for r in range(radii.size):
                    if least <= radii[r]:
                        bound += weights[r]
            bounds[block, group] = np.float32(bound * (1.0 + 1e-7))


@inline_kernel
def bound_of_group(
    ball, own, mass, classes, low, high, vectors, centre, reach, radii, wide, weights, scale
):
    """Most that the images ``low:high`` of a group add to the utility of any point of a ball.

    ``centre`` is the angle to the centre of the group, ``reach`` that of the group itself; ``wide`` are the squared
    chords of the radii widened by the ball. Only where the group lies across a widened radius are images looked at.
    """
    x, y, z = ball[0], ball[1], ball[2]
    bound = 0.0
    if scale > 0.0:
        for j in range(low, high):
            share = own[classes[j]]
            if share > 0.0:
                dx, dy, dz = vectors[0, j] - x, vectors[1, j] - y, vectors[2, j] - z
                apart = angle_of_chord2(dx * dx + dy * dy + dz * dz)
                near = max(0.0, apart - ball[3] - ROUNDING)
                bound += share * weights[0] * math.exp(-near / scale)
        return bound
    for r in range(radii.size):
        if weights[r] == 0.0 or centre - reach > radii[r] + ball[3]:
            continue
        if centre + reach <= radii[r] + ball[3]:
            bound += mass * weights[r]
            continue
        within = 0.0
        for j in range(low, high):
            dx, dy, dz = vectors[0, j] - x, vectors[1, j] - y, vectors[2, j] - z
            within += own[classes[j]] if dx * dx + dy * dy + dz * dz <= wide[r] else 0.0
        bound += within * weights[r]
    return bound


@inline_kernel
def add_images(block, own, classes, low, high, vectors, chord2, weights, opened, scale, sums):
    """Add to ``sums`` (64,) the utility of images ``low:high`` at each candidate, of the opened radii."""
    xs, ys, zs = block[0], block[1], block[2]
    squares = np.empty(WIDTH)
    for j in range(low, high):
        share = own[classes[j]]
        if share > 0.0:
            x, y, z = vectors[0, j], vectors[1, j], vectors[2, j]
            for c in range(WIDTH):
                dx, dy, dz = xs[c] - x, ys[c] - y, zs[c] - z
                squares[c] = dx * dx + dy * dy + dz * dz
            if scale > 0.0:
                for c in range(WIDTH):
                    sums[c] += share * weights[0] * math.exp(-angle_of_chord2(squares[c]) / scale)
            else:
                for r in range(chord2.size):
                    if opened[r]:
                        limit, gain = chord2[r], share * weights[r]
                        for c in range(WIDTH):
                            sums[c] += gain if squares[c] <= limit else 0.0


@kernel
def search_images(
    first,
    last,
    shares,
    masses,
    bounds,
    tolerance,
    weights,
    radii,
    chord2,
    scale,
    places,
    block_vectors,
    block_balls,
    classes,
    edges,
    group_balls,
    vectors,
    apart,
    chosen,
    utilities,
    n_visited,
):
    """Best candidate of rows ``first:last`` as `search_table` finds it, from the images themselves, without a table.

    ``masses`` (n, n_groups) is the probability of each group of images. A block whose bound by balls is too high is
    looked at image by image against its own ball before its candidates are.
    """
    n_groups = edges.size - 1
    sums = np.empty(WIDTH)
    wide = np.empty(radii.size)
    opened = np.empty(radii.size, dtype=np.bool_)
    used = np.empty(n_groups, dtype=np.int64)
    for row in range(first, last):
        own, mass = shares[row], masses[row]
        n_used = 0
        for group in range(n_groups):
            if mass[group] > 0.0:
                used[n_used] = group
                n_used += 1
        best, best_steps = np.int64(-1), -1.0
        while True:
            block = highest(bounds[row])
            bound = bounds[row, block]
            enough = (best_steps - 1.0) / STEPS + tolerance
            if bound < 0.0 or bound <= enough:
                break
            bounds[row, block] = -1.0
            ball = block_balls[block]
            for r in range(radii.size):
                wide[r] = chord2_of_angle(radii[r] + ball[3])
            sharper = 1e-9
            for place in range(n_used):
                group = used[place]
                sharper += bound_of_group(
                    ball,
                    own,
                    mass[group],
                    classes,
                    edges[group],
                    edges[group + 1],
                    vectors,
                    apart[block, group],
                    group_balls[group, 3] + ROUNDING,
                    radii,
                    wide,
                    weights,
                    scale,
                )
            if best >= 0 and sharper <= enough:
                continue
            n_visited[row] += 1
            base = 0.0
            sums[:] = 0.0
            for place in range(n_used):
                group = used[place]
                centre, reach = apart[block, group], ball[3] + group_balls[group, 3] + ROUNDING
                any_open = scale > 0.0
                for r in range(radii.size):
                    opened[r] = False
                    if centre + reach <= radii[r]:
                        base += mass[group] * weights[r]
                    elif centre - reach <= radii[r] and weights[r] > 0.0:
                        opened[r] = any_open = True
                if any_open:
                    add_images(
                        block_vectors[block],
                        own,
                        classes,
                        edges[group],
                        edges[group + 1],
                        vectors,
                        chord2,
                        weights,
                        opened,
                        scale,
                        sums,
                    )
            for c in range(WIDTH):
                sums[c] += base
            best, best_steps = consider(block, sums, places, best, best_steps)
        chosen[row] = best
        utilities[row] = best_steps / STEPS
