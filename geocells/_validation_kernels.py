"""Compiled loops that look coordinates over."""

import math

from geocells._jit import kernel


@kernel
def survey(start, stop, coords, faults, extremes):
    """Count and locate faulty rows of the block, and find the extremes of the sound ones.

    ``faults`` (4, 2) gets the number and the first row of: not finite, latitude out of range, longitude out of range,
    out of range though swapping would fit. ``extremes`` gets least latitude, least longitude, greatest latitude,
    greatest longitude.
    """
    south = math.inf
    west = math.inf
    north = -math.inf
    east = -math.inf
    for row in range(start, stop):
        latitude = coords[row, 0]
        longitude = coords[row, 1]
        fault = -1
        if not (math.isfinite(latitude) and math.isfinite(longitude)):
            fault = 0
        elif not -90.0 <= latitude <= 90.0:
            fault = 1
        elif not -180.0 <= longitude <= 180.0:
            fault = 2
        if fault >= 0:
            if faults[fault, 0] == 0:
                faults[fault, 1] = row
            faults[fault, 0] += 1
            if fault == 1 and -90.0 <= longitude <= 90.0 and -180.0 <= latitude <= 180.0:
                if faults[3, 0] == 0:
                    faults[3, 1] = row
                faults[3, 0] += 1
            continue
        south = min(south, latitude)
        north = max(north, latitude)
        west = min(west, longitude)
        east = max(east, longitude)
    extremes[0] = south
    extremes[1] = west
    extremes[2] = north
    extremes[3] = east


@kernel
def bucket_extremes(start, stop, coords, n_buckets, least, greatest):
    """Write the block's least and greatest longitude in each of ``n_buckets`` equal buckets of the circle."""
    for row in range(start, stop):
        longitude = coords[row, 1]
        bucket = min(int((longitude + 180.0) * (n_buckets / 360.0)), n_buckets - 1)
        least[bucket] = min(least[bucket], longitude)
        greatest[bucket] = max(greatest[bucket], longitude)
