from __future__ import annotations

import naive
import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import sphere
from geocells._region_blocks import bisect, merge_regions


def squares(n_rows: int, n_columns: int) -> np.ndarray:
    rows, columns = np.divmod(np.arange(n_rows * n_columns), n_columns)
    return shapely.box(columns, rows, columns + 1.0, rows + 1.0)


def middles(outlines) -> np.ndarray:
    """Middle of each outline, latitude and longitude: near enough on squares by the equator."""
    centres = shapely.centroid(outlines)
    return np.column_stack([shapely.get_y(centres), shapely.get_x(centres)])


def merged(outlines, counts, min_images, groups=None, places=None):
    """Lowest region of each one's block, -1 of none; images lie at ``places``, by default in the regions' middles."""
    places = middles(outlines) if places is None else np.array(places, dtype=float)
    groups = np.zeros(len(outlines), dtype=np.int64) if groups is None else np.array(groups)
    rows = np.repeat(np.arange(len(outlines)), counts)
    sums = sphere.SphereSums.from_coords(places[rows], rows, len(outlines))
    blocks = merge_regions(outlines, sums, groups, min_images).tolist()
    assert sorted(set(blocks) - {-1}, key=blocks.index) == list(range(max(blocks) + 1))
    return [blocks.index(block) if block >= 0 else -1 for block in blocks]


def test_the_smallest_joins_the_neighbour_whose_images_are_nearest():
    row = squares(1, 4)
    # 1 has the fewest; the images of 2 are nearer to its own than those of 0.
    places = [(0.5, 0.1), (0.5, 1.5), (0.5, 2.1), (0.5, 3.5)]
    assert merged(row, [9, 1, 4, 9], 5, places=places) == [0, 1, 1, 3]
    # Of equal ones the lowest comes first: 0 joins 1, then 2 is short and joins 3, which is nearer than their mean.
    assert merged(row, [3, 3, 3, 3], 5) == [0, 0, 2, 2]


def test_empty_regions_join_the_nearest_of_those_with_images_ring_by_ring():
    # The first ring is 1 and 4; then 2 and 3 choose between cells that both touch.
    assert merged(squares(1, 6), [9, 0, 0, 0, 0, 9], 5) == [0, 0, 0, 3, 3, 3]
    assert merged(squares(1, 3), [0, 0, 5], 5) == [0, 0, 0]
    # Empty land between two towns does not lead them to one another: what is short at its edge stays with its town.
    counts = [9, 2, 0, 0, 0, 0, 2, 9]
    assert merged(squares(1, 8), counts, 5) == [0, 0, 0, 0, 4, 4, 4, 4]


def test_an_island_joins_the_region_with_the_nearest_border():
    # The island lies nearer to the border of the wide region, but nearer to the middle of the small one.
    outlines = np.array(
        [shapely.box(0, 0, 40, 5), shapely.box(0, 8, 1, 9), shapely.box(0, 6, 1, 6.5)]
    )
    assert merged(outlines, [9, 9, 1], 5) == [0, 1, 0]
    assert merged(outlines, [9, 9, 0], 5) == [0, 1, 0]
    # Over the antimeridian 2 degrees away, on the map 357.
    outlines = np.array(
        [shapely.box(170, 0, 179, 5), shapely.box(-170, 0, -160, 5), shapely.box(-179, 0, -178, 5)]
    )
    assert merged(outlines, [9, 9, 1], 5) == [0, 1, 0]


def test_groups_are_never_merged():
    assert merged(squares(1, 4), [9, 1, 4, 9], 5, [0, 0, 1, 1]) == [0, 0, 2, 2]
    assert merged(squares(1, 3), [1, 9, 1], 5, [0, 1, 2]) == [0, 1, 2]
    # Not touching within its group, it joins the nearest of that.
    assert merged(squares(1, 4), [1, 9, 9, 9], 5, [0, 1, 0, 0]) == [0, 1, 0, 3]
    # A group without images has no block.
    assert merged(squares(1, 3), [9, 0, 0], 5, [0, 1, 1]) == [0, -1, -1]


def twin(outlines, counts, places, min_images):
    """The rule for regions that all have images, by scanning all pairs of blocks at every step."""
    blocks = {k: [k] for k in range(len(outlines))}

    def size(block):
        return sum(counts[region] for region in blocks[block])

    def mean(block):
        return naive.spherical_mean(
            [tuple(places[k]) for k in blocks[block] for _ in range(counts[k])]
        )

    while len(blocks) > 1:
        short = min(blocks, key=lambda k: (size(k), k))
        if size(short) >= min_images:
            break
        touching = [
            k for k in blocks
            if k != short and any(outlines[a].intersects(outlines[b]) for a in blocks[k] for b in blocks[short])
        ]  # fmt: skip
        target = min(touching, key=lambda k: naive.distance_km(mean(k), mean(short)))
        kept, gone = min(short, target), max(short, target)
        blocks[kept] += blocks.pop(gone)
    out = [0] * len(outlines)
    for block, own in blocks.items():
        for region in own:
            out[region] = block
    return out


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_blocks_are_those_of_the_twin(n_rows, n_columns, min_images, seed):
    outlines = squares(n_rows, n_columns)
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 12, size=len(outlines)).tolist()
    # Scattered places: no two distances are equal.
    places = middles(outlines) + rng.uniform(-0.4, 0.4, size=(len(outlines), 2))
    found = merged(outlines, counts, min_images, places=places)
    assert found == twin(outlines, counts, places.tolist(), min_images)


@given(coordinates(max_rows=100), st.integers(1, 10), st.integers(0, 20))
def test_boxes_hold_between_fewest_and_most_images_where_places_differ(coords, min_images, more):
    max_images = min_images + more
    cuts = bisect(coords, min_images, max_images)
    held = np.zeros(len(coords), dtype=int)
    for (south, west, north, east), depth in cuts:
        inside = (south <= coords[:, 0]) & (coords[:, 0] < north)
        inside &= (west <= coords[:, 1]) & (coords[:, 1] < east)
        held += inside
        assert inside.sum() >= min(min_images, len(coords))
        if inside.sum() > max_images and inside.sum() >= 2 * min_images:
            # No cut leaves enough on both sides: too many images share a latitude, and too many a longitude.
            for axis in (0, 1):
                values = np.sort(coords[inside, axis])
                places = np.flatnonzero(np.diff(values)) + 1
                assert not ((places >= min_images) & (len(values) - places >= min_images)).any()
        assert (depth == 0) == (len(cuts) == 1)
    assert (held == 1).all()


def test_the_first_cut_runs_across_the_longer_side_on_the_ground():
    # Eight degrees of longitude at 70 degrees north are shorter than four of latitude.
    tall = np.array([(68.0, 0.0), (69.0, 8.0), (71.0, 0.0), (72.0, 8.0)])
    assert sphere.haversine((70, 0), (70, 8))[0] < sphere.haversine((68, 0), (72, 0))[0]
    assert bisect(tall, 2, 2) == [
        ((-np.inf, -np.inf, 70.0, np.inf), 1),
        ((70.0, -np.inf, np.inf, np.inf), 1),
    ]
    wide = tall - (70.0, 0.0)
    assert [box for box, _ in bisect(wide, 2, 2)] == [
        (-np.inf, -np.inf, np.inf, 4.0),
        (-np.inf, 4.0, np.inf, np.inf),
    ]


def test_one_place_repeated_is_not_cut():
    assert len(bisect(np.tile([47.0, 8.0], (1000, 1)), 1, 5)) == 1
