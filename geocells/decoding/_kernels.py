"""Compiled loops of decoding: the table of shares and its search, the search over points, the mass around a point.

``entries`` are those of `ShareTable`. A *ball* is a unit vector and an angle in radians. Candidates come in blocks of
64, ``block_vectors`` (n_blocks, 3, 64);
images in groups (``edges``). Whether a point is within a radius is decided on the squared chord between unit vectors;
balls only tell where no decision is needed.
"""

import math

import numpy as np

from geocells.jit import inline_kernel, kernel

WIDTH = 64
"""Candidates in a block."""

TIE = 2.0**-36
"""Utilities nearer than this to the highest are as good: sums of the same numbers in another order are equal."""

LEFT_OUT = 0.05
"""Probability of the least likely families that their bounds count as if all of it were near every candidate."""

FLOAT32_ANGLE = 1e-6
"""Radians (6 m) that an angle stored as float32 may be off."""

BISECTED = 1e-9
"""Radians (6 mm) to which a radius is bisected."""

ROUNDING = 1e-12
"""What sums of probabilities may be off."""


@inline_kernel
def angle(one, other):
    """Angle between two unit vectors in radians, sure at 0 and at pi; of balls, between their centres."""
    apart = together = 0.0
    for axis in range(3):
        apart += (one[axis] - other[axis]) * (one[axis] - other[axis])
        together += (one[axis] + other[axis]) * (one[axis] + other[axis])
    return 2.0 * math.atan2(math.sqrt(apart), math.sqrt(together))


@inline_kernel
def chord2_of_angle(radians):
    """Squared chord of an angle, rounded up by a micrometre, by 4 m at the antipode; no chord exceeds that of pi."""
    if radians >= math.pi:
        return 5.0
    chord = 2.0 * math.sin(0.5 * radians) + 1e-13
    return chord * chord


@inline_kernel
def best_of_block(sums, places):
    """Highest utility of a block, and the lowest place that ties with it."""
    most, best = sums.max(), np.int64(-1)
    for c in range(WIDTH):
        if places[c] >= 0 and sums[c] > most - TIE and (best < 0 or places[c] < best):
            best = places[c]
    return most, best


@inline_kernel
def first_of_ties(mosts, bests, best_utility):
    """Lowest place of the best of the blocks that tie with the highest utility.

    Looked for only once that is known: compared one by one on the way, or rounded, ties would hang on the order.
    """
    best = np.int64(-1)
    for k in range(mosts.size):
        if mosts[k] > best_utility - TIE and (best < 0 or bests[k] < best):
            best = bests[k]
    return best


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
                counts_of_radius = counts[r]
                for c in range(WIDTH):
                    counts_of_radius[c] += 1.0 if squares[c] <= limit else 0.0


@inline_kernel
def share_of_class(block, ball, k, radii, chord2, images, counts, opened):
    """Write into ``counts`` (n_radii, 64) the images of class k within each radius of each candidate of a block."""
    _, _, groups, group_balls, vectors = images
    counts[:] = 0.0
    for group in range(groups[k], groups[k + 1]):
        group_ball = group_balls[group]
        low, high = int(group_ball[4]), int(group_ball[5])
        apart, reach = angle(ball, group_ball), ball[3] + group_ball[3]
        any_open = False
        for r in range(radii.size):
            opened[r] = False
            if apart + reach <= radii[r]:
                counts[r] += high - low
            elif apart - reach <= radii[r]:
                opened[r] = any_open = True
        if any_open:
            add_counts(block, low, high, vectors, chord2, opened, counts)


@kernel
def table_of_blocks(first, last, writes, blocks, radii, chord2, images, entries):
    """Images of each class within each radius of each candidate, for blocks ``first:last``.

    Where all candidates of a block see the same number of a class it is a *constant*, else a *tile* of 64 numbers.
    Without ``writes``, only counts them, into ``tile_edges[block + 1]`` and ``constant_edges[block + 1]``; with it,
    fills them in from ``tile_edges[block]`` and ``constant_edges[block]`` on. Numbers of 0 are left out.
    """
    _, block_vectors, block_balls = blocks
    class_balls, class_counts = images[:2]
    tile_edges, tile_classes, tile_radii, tiles = entries[:4]
    constant_edges, constant_classes, constant_radii, constants = entries[4:]
    n_radii = radii.size
    counts = np.empty((n_radii, WIDTH))
    opened = np.empty(n_radii, dtype=np.bool_)
    farthest = radii[n_radii - 1]
    for block in range(first, last):
        ball = block_balls[block]
        tile = np.int64(tile_edges[block] if writes else 0)
        constant = np.int64(constant_edges[block] if writes else 0)
        for k in range(class_counts.size):
            class_ball = class_balls[k]
            apart = angle(ball, class_ball)
            reach = ball[3] + class_ball[3]
            if apart - reach > farthest:
                continue
            any_open = False
            for r in range(n_radii):
                any_open |= apart - reach <= radii[r] and apart + reach > radii[r]
            if any_open:
                block_of = block_vectors[block]
                share_of_class(block_of, ball, k, radii, chord2, images, counts, opened)
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
                        constant_classes[constant], constant_radii[constant] = k, r
                        constants[constant] = most
                    constant += 1
                else:
                    if writes:
                        tile_classes[tile], tile_radii[tile], tiles[tile, :] = k, r, counts[r]
                    tile += 1
        if not writes:
            tile_edges[block + 1] = tile
            constant_edges[block + 1] = constant


@kernel
def bounds_of_table(first, last, weights, units, family_of_class, entries, bounds, families):
    """Most that a class, and a family, of probability 1 adds to the utility of any candidate of a block.

    Those of families are (n_families, n_blocks); those of the classes of a block stand where its entries do, from
    ``tile_edges[block] + constant_edges[block]`` up to ``ends[block]``: ``ends, classes, most``.
    """
    tile_edges, tile_classes, tile_radii, tiles = entries[:4]
    constant_edges, constant_classes, constant_radii, constants = entries[4:]
    ends, classes, most = bounds
    most_of_class = np.zeros(units.size)
    sums = np.empty(WIDTH)
    for block in range(first, last):
        most_of_class[:] = 0.0
        for e in range(constant_edges[block], constant_edges[block + 1]):
            k = constant_classes[e]
            most_of_class[k] += weights[constant_radii[e]] * constants[e] / units[k]
        e = np.int64(tile_edges[block])
        while e < tile_edges[block + 1]:
            k = tile_classes[e]
            sums[:] = 0.0
            while e < tile_edges[block + 1] and tile_classes[e] == k:
                weight = weights[tile_radii[e]]
                for c in range(WIDTH):
                    sums[c] += weight * tiles[e, c]
                e += 1
            most_of_class[k] += sums.max() / units[k]
        e = np.int64(tile_edges[block] + constant_edges[block])
        for k in range(units.size):
            if most_of_class[k] > 0.0:
                classes[e], most[e] = k, most_of_class[k] * (1.0 + 1e-7)
                family = family_of_class[k]
                families[family, block] = max(families[family, block], most[e])
                e += 1
        ends[block] = e


@kernel
def add_columns(first, last, columns, sums, class_of_column, classes):
    """Write into rows ``first:last`` of ``classes`` (n, n_classes) the columns of each class, over the row's sum."""
    shares = np.empty(class_of_column.size)
    for row in range(first, last):
        class_sums, total = classes[row], sums[row]
        for k in range(shares.size):
            shares[k] = columns[row, k] / total
        class_sums[:] = 0.0
        for k in range(shares.size):
            class_sums[class_of_column[k]] += shares[k]


@inline_kernel
def add_bounds(masses, bounds, most_utility, bound):
    """Write into ``bound`` (n_blocks,) no less than the utility of any candidate of each block.

    Families more probable than a limit, lowered until they hold enough, add what they can add at most in each block;
    the others add all that they hold times ``most_utility``. ``masses`` are the families' probabilities, ``bounds``
    what a family adds in which blocks.
    """
    edges, blocks, most = bounds
    bound[:] = 0.0
    n_used, held, limit, above = 0, 0.0, 4.0 / masses.size, np.inf
    while held < 1.0 - LEFT_OUT and above > 0.0:
        for k in range(masses.size):
            share = masses[k]
            if limit <= share < above:
                n_used += 1
                held += share
                gain = np.float32(share)
                for entry in range(edges[k], edges[k + 1]):
                    bound[blocks[entry]] += gain * most[entry]
        above, limit = limit, limit / 8.0 if limit > 1e-9 else 0.0
    rounding = np.float32(1.0 + (n_used + 8) * 2.0**-22)
    rest = np.float32((max(0.0, 1.0 - held) + 1e-9) * most_utility)
    for block in range(bound.size):
        bound[block] = bound[block] * rounding + rest


@kernel
def search_table(first, last, probabilities, classes, bounds, weights, places, entries, answers):
    """Best candidate of rows ``first:last`` and its utility.

    From the block of the highest bound on, each block is searched whose bounds, that of the families and then that of
    the classes, can beat the best candidate so far.
    """
    tile_edges, tile_classes, tile_radii, tiles = entries[:4]
    constant_edges, constant_classes, constant_radii, constants = entries[4:]
    counts, family_of_class = classes
    (ends, bounded, most), bounds_of_families = bounds
    chosen, utilities = answers
    sums = np.empty(WIDTH)
    n_blocks = places.shape[0]
    mosts, bests = np.empty(n_blocks), np.empty(n_blocks, dtype=np.int64)
    bound = np.empty(n_blocks, dtype=np.float32)
    masses = np.empty(bounds_of_families[0].size - 1)
    for row in range(first, last):
        row_probabilities = probabilities[row]
        masses[:] = 0.0
        for k in range(counts.size):
            masses[family_of_class[k]] += row_probabilities[k]
        add_bounds(masses, bounds_of_families, weights.sum(), bound)
        n_seen, best_utility, likeliest = 0, -1.0, bound.argmax()
        for step in range(n_blocks):
            block = (likeliest + step) % n_blocks
            if bound[block] <= best_utility - TIE:
                continue
            sharper = 0.0
            for e in range(tile_edges[block] + constant_edges[block], ends[block]):
                sharper += row_probabilities[bounded[e]] * most[e]
            if sharper <= best_utility - TIE:
                continue
            base = 0.0
            for e in range(constant_edges[block], constant_edges[block + 1]):
                k = constant_classes[e]
                base += row_probabilities[k] / counts[k] * weights[constant_radii[e]] * constants[e]
            sums[:] = base
            for e in range(tile_edges[block], tile_edges[block + 1]):
                k = tile_classes[e]
                share = row_probabilities[k] / counts[k] * weights[tile_radii[e]]
                if share > 0.0:
                    tile = tiles[e]
                    for c in range(WIDTH):
                        sums[c] += share * tile[c]
            mosts[n_seen], bests[n_seen] = best_of_block(sums, places[block])
            best_utility = max(best_utility, mosts[n_seen])
            n_seen += 1
        chosen[row] = first_of_ties(mosts[:n_seen], bests[:n_seen], best_utility)
        utilities[row] = best_utility


@kernel
def ball_distances(first, last, block_balls, group_balls, apart):
    """Angle between the centres of each block and each group, (n_blocks, n_groups) float32."""
    for block in range(first, last):
        ball = block_balls[block]
        for group in range(group_balls.shape[0]):
            apart[block, group] = np.float32(angle(ball, group_balls[group]))


@kernel
def bounds_of_balls(first, last, block_balls, group_balls, apart, radii, weights, bounds):
    """Most that a group of probability 1 adds to the utility of any candidate of a block, by their balls."""
    for block in range(first, last):
        for group in range(group_balls.shape[0]):
            reach = block_balls[block, 3] + group_balls[group, 3] + FLOAT32_ANGLE
            bound = 0.0
            for r in range(radii.size):
                if apart[block, group] - reach <= radii[r]:
                    bound += weights[r]
            bounds[block, group] = np.float32(bound * (1.0 + 1e-7))


@inline_kernel
def bound_of_group(ball, shares, mass, group, centre, points, radii, wide, weights):
    """Most that the points of a group add to the utility of any point of a ball.

    ``centre`` is the angle to the centre of the group; ``wide`` are the squared chords of the radii widened by the
    ball. Only where the group lies across a widened radius are its points looked at.
    """
    edges, group_balls, vectors = points
    x, y, z = ball[0], ball[1], ball[2]
    reach = group_balls[group, 3] + FLOAT32_ANGLE
    bound = 0.0
    for r in range(radii.size):
        if weights[r] == 0.0 or centre - reach > radii[r] + ball[3]:
            continue
        if centre + reach <= radii[r] + ball[3]:
            bound += mass * weights[r]
            continue
        within = 0.0
        for j in range(edges[group], edges[group + 1]):
            dx, dy, dz = vectors[0, j] - x, vectors[1, j] - y, vectors[2, j] - z
            within += shares[j] if dx * dx + dy * dy + dz * dz <= wide[r] else 0.0
        bound += within * weights[r]
    return bound


@inline_kernel
def add_points(block, shares, low, high, vectors, chord2, weights, opened, sums):
    """Add to ``sums`` (64,) the utility of points ``low:high`` at each candidate, of the opened radii."""
    xs, ys, zs = block[0], block[1], block[2]
    squares = np.empty(WIDTH)
    for j in range(low, high):
        share = shares[j]
        if share > 0.0:
            x, y, z = vectors[0, j], vectors[1, j], vectors[2, j]
            for c in range(WIDTH):
                dx, dy, dz = xs[c] - x, ys[c] - y, zs[c] - z
                squares[c] = dx * dx + dy * dy + dz * dz
            for r in range(chord2.size):
                if opened[r]:
                    limit, gain = chord2[r], share * weights[r]
                    for c in range(WIDTH):
                        sums[c] += gain if squares[c] <= limit else 0.0


@kernel
def search_points(first, last, shares, masses, bounds, utility, blocks, points, apart, answers):
    """Best candidate of rows ``first:last`` and its utility, from probabilities of single points.

    ``shares`` (n, n_points) and ``masses`` (n, n_groups) are the probabilities of points and of groups of points;
    ``bounds`` (n, n_blocks) is used up: blocks are searched by falling bound, until none can beat the best candidate.
    A block whose bound by balls is too high is looked at point by point against its own ball before its candidates are.
    """
    places, block_vectors, block_balls = blocks
    edges, group_balls, vectors = points
    weights, radii, chord2 = utility
    chosen, utilities = answers
    sums = np.empty(WIDTH)
    mosts, bests = np.empty(bounds.shape[1]), np.empty(bounds.shape[1], dtype=np.int64)
    wide = np.empty(radii.size)
    opened = np.empty(radii.size, dtype=np.bool_)
    for row in range(first, last):
        row_shares, mass = shares[row], masses[row]
        used = np.flatnonzero(mass > 0.0)
        n_seen, best_utility = 0, -1.0
        while True:
            block = bounds[row].argmax()
            bound = bounds[row, block]
            if bound < 0.0 or bound <= best_utility - TIE:
                break
            bounds[row, block] = -1.0
            ball = block_balls[block]
            for r in range(radii.size):
                wide[r] = chord2_of_angle(radii[r] + ball[3])
            sharper = 1e-9
            for group in used:
                centre = apart[block, group]
                sharper += bound_of_group(
                    ball, row_shares, mass[group], group, centre, points, radii, wide, weights
                )
            if sharper <= best_utility - TIE:
                continue
            base = 0.0
            sums[:] = 0.0
            for group in used:
                centre = apart[block, group]
                reach = ball[3] + group_balls[group, 3] + FLOAT32_ANGLE
                any_open = False
                for r in range(radii.size):
                    opened[r] = False
                    if centre + reach <= radii[r]:
                        base += mass[group] * weights[r]
                    elif centre - reach <= radii[r] and weights[r] > 0.0:
                        opened[r] = any_open = True
                if any_open:
                    low, high, block_of = edges[group], edges[group + 1], block_vectors[block]
                    add_points(
                        block_of, row_shares, low, high, vectors, chord2, weights, opened, sums
                    )
            sums += base
            mosts[n_seen], bests[n_seen] = best_of_block(sums, places[block])
            best_utility = max(best_utility, mosts[n_seen])
            n_seen += 1
        chosen[row] = first_of_ties(mosts[:n_seen], bests[:n_seen], best_utility)
        utilities[row] = best_utility


@inline_kernel
def mass_of_group(point, shares, group, images, chord2):
    """Probability of those images of a group that are within the chord of a point."""
    classes, edges, _, vectors = images
    x, y, z = point[0], point[1], point[2]
    mass = 0.0
    for j in range(edges[group], edges[group + 1]):
        dx, dy, dz = vectors[0, j] - x, vectors[1, j] - y, vectors[2, j] - z
        mass += shares[classes[j]] if dx * dx + dy * dy + dz * dz <= chord2 else 0.0
    return mass


@kernel
def mass_within(first, last, shares, masses, points, radii, images, within):
    """Probability within each radius of a row's point; ``radii`` (n, n_radii) or (1, n_radii), in radians."""
    group_balls = images[2]
    for row in range(first, last):
        point, row_shares = points[row], shares[row]
        limits = radii[row if radii.shape[0] > 1 else 0]
        within[row] = 0.0
        for group in range(len(group_balls)):
            mass = masses[row, group]
            if mass <= 0.0:
                continue
            ball = group_balls[group]
            apart = angle(point, ball)
            for r in range(limits.size):
                if apart + ball[3] <= limits[r]:
                    within[row, r] += mass
                elif apart - ball[3] <= limits[r]:
                    chord2 = chord2_of_angle(limits[r])
                    within[row, r] += mass_of_group(point, row_shares, group, images, chord2)


@kernel
def mass_radius(first, last, shares, masses, points, level, beyond, images, radii):
    """Least angle around a row's point that holds a mass of ``level``, or with ``beyond`` more than that.

    Bisection; groups wholly inside the smallest angle, or outside the largest, are left behind on the way. Infinite
    where the whole earth does not hold as much.
    """
    group_balls = images[2]
    n_groups = len(group_balls)
    active = np.empty(n_groups, dtype=np.int64)
    apart = np.empty(n_groups)
    goal = level + ROUNDING if beyond else level - ROUNDING
    for row in range(first, last):
        point, row_shares = points[row], shares[row]
        n_active = 0
        total = 0.0
        for group in range(n_groups):
            if masses[row, group] > 0.0:
                apart[group] = angle(point, group_balls[group])
                active[n_active] = group
                n_active += 1
                total += masses[row, group]
        if total <= goal if beyond else total < goal:
            radii[row] = np.inf
            continue
        inside = 0.0
        # The first angle tried is 0: images at the very point.
        low, high, middle = -1.0, math.pi, 0.0
        while high - low > BISECTED:
            mass = inside
            chord2 = chord2_of_angle(middle)
            for place in range(n_active):
                group = active[place]
                reach = group_balls[group, 3]
                if apart[group] + reach <= middle:
                    mass += masses[row, group]
                elif apart[group] - reach <= middle:
                    mass += mass_of_group(point, row_shares, group, images, chord2)
            if mass > goal if beyond else mass >= goal:
                high = middle
            else:
                low = middle
            n_left = 0
            for place in range(n_active):
                group = active[place]
                reach = group_balls[group, 3]
                if apart[group] + reach <= low:
                    inside += masses[row, group]
                elif apart[group] - reach <= high:
                    active[n_left] = group
                    n_left += 1
            n_active = n_left
            middle = 0.5 * (max(low, 0.0) + high)
            if high == 0.0:
                break
        radii[row] = high
