from __future__ import annotations

import re

import geopandas as gpd
import naive
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from partitions import assert_same_cells, consolidated
from sklearn.base import clone
from strategies import (
    bottom_up_options,
    boxes,
    coordinates,
    coordinates_in,
    groups_of,
    leftovers,
    methods,
    min_cell_sizes,
    optimal_options,
)

from geocells import CellBuilder, GeocellsWarning, LatLonGrid, sphere

# Means are sums of vectors good to 5e-14 on both sides; a short mean vector stretches that.
SAME_PLACE_KM = 1e-9

SWISS = (45.8, 5.9, 47.9, 10.6)
SWEDISH = (55.3, 11.0, 69.1, 24.2)


def swiss_and_swedish(n_rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates scattered over two boxes, and their countries."""
    rng = np.random.default_rng(seed)
    names = np.where(rng.random(n_rows) < 0.5, "CH", "SE").astype(object)
    boxes_ = np.where((names == "CH")[:, None], SWISS, SWEDISH)
    shares = rng.beta(0.3, 0.5, size=(n_rows, 2))
    return boxes_[:, :2] + shares * (boxes_[:, 2:] - boxes_[:, :2]), names


def twin_of(
    builder: CellBuilder, coords: np.ndarray, groups: list[str] | None = None
) -> naive.Partition:
    """The naive partition on the grids that the builder chose."""
    names = sorted(set(groups)) if groups else []
    return naive.fit(
        [tuple(point) for point in coords.tolist()],
        [naive.Grid(*own.bounds, own.max_level) for own in builder.cells_.grid.grids],
        [names.index(group) for group in groups] if groups else None,
        method=builder.method,
        min_images=builder.min_images,
        max_images=builder.max_images,
        leftover=builder.leftover,
    )


def assert_equals_twin(builder: CellBuilder, coords: np.ndarray, twin: naive.Partition) -> None:
    assert builder.labels_.tolist() == twin.labels
    assert builder.counts_.tolist() == twin.counts
    assert builder.cells_.levels.tolist() == twin.levels
    for cell, mean in enumerate(twin.centroids):
        length = naive.resultant([tuple(point) for point in coords[builder.labels_ == cell]])
        if length > 1e-6:
            distance = sphere.haversine(builder.centroids_[cell], mean)[0]
            assert distance <= SAME_PLACE_KM / length


# ------------------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    ("images", "options", "labels", "levels"),
    [
        ([(3, (1, 1)), (1, (1, 7)), (2, (7, 7))], {"method": "top_down"}, [0, 0, 0, 1, 2, 2], [1] * 3),
        ([(3, (1, 1)), (1, (1, 7)), (2, (7, 7))], {}, [0, 0, 0, 1, 1, 1], [1, 0]),
        # One image in the quarter north-west of the first cell, nearer to (7, 7) than to (1, 1).
        ([(3, (1, 1)), (1, (7, 3)), (3, (7, 7))], {}, [0, 0, 0, 1, 1, 1, 1], [1, 1]),
        (
            [(3, (1, 1)), (1, (7, 3)), (3, (7, 7))], {"leftover": "cell"},
            [0, 0, 0, 1, 2, 2, 2], [1, 0, 1],
        ),
        (
            [(3, (1, 1)), (1, (7, 3)), (3, (7, 7))], {"leftover": "noise"},
            [0, 0, 0, -1, 1, 1, 1], [1, 1],
        ),
        # Both leftover images share a bin, so both go where the bin's mean is nearest, though one alone would not.
        (
            [(4, (1, 1)), (1, (5, 1)), (1, (7.9, 3.9)), (4, (7, 7))], {},
            [0] * 4 + [1] * 6, [1, 1],
        ),
        # Cells split where images crowd.
        (
            [(5, (1, 1)), (5, (1, 5)), (2, (7, 7))],
            {"min_images": 2, "method": "top_down", "max_images": 5},
            [0] * 5 + [1] * 5 + [2] * 2, [1] * 3,
        ),
        (
            [(5, (1, 1)), (5, (1, 5)), (2, (7, 7))],
            {"min_images": 2, "method": "top_down", "max_images": 12}, [0] * 12, [0],
        ),
    ],
)  # fmt: skip
def test_cells_of_a_case_worked_by_hand(images, options, labels, levels):
    coords = np.array([point for count, point in images for _ in range(count)], dtype=float)
    options = {"min_images": 3, "method": "consolidated"} | options
    builder = CellBuilder(**options, min_cell_size=4, bounds=(0, 0, 8, 8)).fit(coords)
    assert builder.labels_.tolist() == labels
    assert builder.cells_.levels.tolist() == levels
    # Images handed to the nearest cell count in its mean.
    for cell in range(builder.n_cells_):
        mean = sphere.spherical_mean(coords[builder.labels_ == cell])
        assert builder.centroids_[cell] == pytest.approx(mean, abs=1e-12)


# --------------------------------------------------------------------------------------- the twin


@given(st.data(), methods(), leftovers)
def test_cells_equal_the_twin(data, options, leftover):
    if data.draw(st.booleans(), label="on borders"):
        box = data.draw(boxes)
        coords = data.draw(coordinates_in(box, max_rows=100))
        options["grid"] = LatLonGrid(*box, max_level=data.draw(st.integers(0, 5)))
    else:
        coords = data.draw(coordinates(max_rows=120))
        options["min_cell_size"] = data.draw(min_cell_sizes)
    groups = data.draw(st.none() | groups_of(len(coords)))
    builder = CellBuilder(**options, leftover=leftover).fit(coords, groups=groups)
    twin = twin_of(builder, coords, groups)
    assume(not twin.tied)
    assert_equals_twin(builder, coords, twin)


@given(coordinates(max_rows=60), methods(), leftovers)
def test_assigning_anywhere_equals_a_scan(coords, options, leftover):
    half = len(coords) // 2 + 1
    builder = CellBuilder(**options, leftover=leftover, min_cell_size=1.0).fit(coords[:half])
    twin = twin_of(builder, coords[:half])
    assume(not twin.tied)
    labels = builder.cells_.assign(coords, outside="noise")
    assert labels.tolist() == [twin.assign(tuple(point)) for point in coords.tolist()]


# ------------------------------------------------------------------------------------- the facts


any_methods = methods() | bottom_up_options() | optimal_options()


def features(n_rows: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_rows, 4)).astype(np.float32)


@given(st.data(), coordinates(), any_methods, leftovers, min_cell_sizes)
def test_labels_counts_and_numbers_of_cells_agree(data, coords, options, leftover, min_cell_size):
    groups = data.draw(st.none() | groups_of(len(coords)))
    builder = CellBuilder(**options, leftover=leftover, min_cell_size=min_cell_size)
    cells = builder.fit(coords, features(len(coords)), groups).cells_
    labels = builder.labels_
    has_cell = labels >= 0
    # Training images are assigned to their own cell. Leftover that is noise lies in no cell; assign says so when asked
    # without a fallback.
    assert np.array_equal(cells.assign(coords, groups, outside="noise"), labels)
    assert np.array_equal(builder.assign(coords, groups)[has_cell], labels[has_cell])
    assert has_cell.all() or leftover == "noise"
    if groups is not None:
        assert (cells.groups[labels[has_cell]] == np.array(groups, dtype=object)[has_cell]).all()
    assert builder.counts_.tolist() == np.bincount(labels[has_cell], minlength=len(cells)).tolist()
    assert builder.counts_.min() >= 1
    assert builder.n_cells_ == len(cells) == len(builder.centroids_)
    # Cells are numbered by their lowest code.
    first = cells.ranges.first_codes(cells.n_cells)
    assert (first[1:] > first[:-1]).all()
    # A box cannot be wider than the globe, nor higher than from pole to pole; other grids have roots of their own size.
    is_box = options["method"] != "bottom_up" and options.get("grid", "latlon") == "latlon"
    for grid in cells.grid.grids if is_box else ():
        height, width = grid.cell_size(grid.max_level)
        assert height >= min(min_cell_size, 180.0) * (1 - 1e-12)
        assert width >= min_cell_size * (1 - 1e-12)


@given(coordinates(), st.integers(1, 40), leftovers, min_cell_sizes)
def test_consolidated_cells_hold_enough_images(coords, min_images, leftover, min_cell_size):
    builder = CellBuilder(
        min_images, method="consolidated", leftover=leftover, min_cell_size=min_cell_size
    ).fit(coords)
    short = builder.counts_ < min_images
    if len(coords) < min_images:
        assert builder.n_cells_ == 1
    elif leftover == "cell":
        assert short.sum() <= 1
    else:
        assert not short.any()
    assert (builder.labels_ < 0).sum() < min_images


@given(coordinates(), any_methods, leftovers, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(coords, options, leftover, random):
    order = list(range(len(coords)))
    random.shuffle(order)
    feats = features(len(coords))
    builder = CellBuilder(**options, leftover=leftover).fit(coords, feats)
    shuffled = CellBuilder(**options, leftover=leftover).fit(coords[order], feats[order])
    assert np.array_equal(shuffled.labels_, builder.labels_[order])
    assert shuffled.centroids_.tolist() == builder.centroids_.tolist()
    assert np.array_equal(shuffled.counts_, builder.counts_)


@pytest.mark.parametrize("method", ["top_down", "consolidated", "bottom_up"])
@pytest.mark.parametrize("leftover", ["nearest", "cell", "noise"])
def test_the_number_of_threads_does_not_matter(monkeypatch, method, leftover):
    coords, groups = swiss_and_swedish(2000)
    results = []
    monkeypatch.setattr("geocells.jit.ROWS_WORTH_A_THREAD", 16)
    for n_threads in ("1", "2", "5"):
        monkeypatch.setenv("GEOCELLS_NUM_THREADS", n_threads)
        builder = CellBuilder(15, method=method, leftover=leftover, min_cell_size=0.1)
        builder.fit(coords, features(len(coords)), groups)
        alone = clone(builder).fit(coords)
        results.append(
            (builder.labels_.tolist(), builder.centroids_.tolist(), builder.assign(coords, groups).tolist(),
             alone.labels_.tolist(), alone.centroids_.tolist())
        )  # fmt: skip
    assert results[0] == results[1] == results[2]


@given(coordinates(), any_methods, leftovers)
def test_both_names_of_the_antimeridian_lie_in_one_cell(coords, options, leftover):
    coords = np.concatenate([coords, [(coords[0, 0], 180.0), (coords[0, 0], -180.0)]])
    builder = CellBuilder(**options, leftover=leftover, min_cell_size=0.3).fit(coords)
    flipped = coords.copy()
    on_it = np.abs(coords[:, 1]) == 180.0
    flipped[on_it, 1] *= -1.0
    assert np.array_equal(builder.cells_.assign(flipped, outside="noise"), builder.labels_)


@given(st.data(), boxes, methods())
def test_a_point_on_any_border_lies_in_exactly_one_cell(data, box, options):
    coords = data.draw(coordinates_in(box))
    grid = LatLonGrid(*box, max_level=data.draw(st.integers(1, 6)))
    builder = CellBuilder(**options, grid=grid, leftover="cell").fit(coords)
    codes = grid.encode(coords)
    ranges = builder.cells_.ranges
    n_holders = ((ranges.starts[:, None] <= codes) & (codes < ranges.stops[:, None])).sum(axis=0)
    assert (n_holders == 1).all()


@given(coordinates(max_rows=20), st.integers(1, 50))
def test_repeating_every_image_with_as_many_more_wanted_changes_no_cell(coords, times):
    once = CellBuilder(2, method="consolidated").fit(coords)
    often = CellBuilder(2 * times, method="consolidated").fit(np.repeat(coords, times, axis=0))
    assert np.array_equal(often.labels_[::times], once.labels_)
    assert np.array_equal(often.counts_, once.counts_ * times)


COPIES = np.tile([[47.3769, 8.5417]], (200_000, 1))
SCATTERED = np.random.default_rng(0).uniform((-60, -170), (60, 170), (199, 2))


@pytest.mark.parametrize(
    ("builder", "coords"),
    [
        (CellBuilder(200), COPIES),
        (CellBuilder(200, method="consolidated"), COPIES),
        (CellBuilder(200), SCATTERED),
        (CellBuilder(200, grid="s2"), SCATTERED),
        (CellBuilder(200, grid="s2"), SCATTERED[:1]),
        *[(CellBuilder(1), [point]) for point in ((90.0, 0.0), (-90.0, 180.0), (0.0, -180.0))],
        (
            CellBuilder(20, method="top_down", max_images=20),
            SCATTERED[:21] / 20,
        ),  # no leaf has enough
        *[
            (CellBuilder(1, method="top_down", min_cell_size=1e-9), [(latitude, 8.5)] * 3)
            for latitude in (0.0, 47.4, -89.99)
        ],
    ],
)
def test_what_cannot_be_parted_is_one_cell(builder, coords):
    builder.fit(coords, features(len(coords)) if builder.method == "bottom_up" else None)
    assert builder.counts_.tolist() == [len(coords)]
    assert not builder.labels_.any()
    assert builder.assign(coords[:1]).tolist() == [0]
    # 2^-41 of a unit vector and the rounding of degrees.
    assert sphere.haversine(builder.centroids_, sphere.spherical_mean(coords)) <= 1e-6


def test_a_group_without_cells_is_one_cell_unless_its_leftover_is_noise():
    coords, groups = swiss_and_swedish(200)
    groups[:5] = "XX"
    for leftover in ("nearest", "cell"):
        builder = consolidated(20, leftover=leftover).fit(coords, groups=groups)
        assert len(set(builder.labels_[:5])) == 1
        assert builder.cells_.groups[builder.labels_[0]] == "XX"
    noisy = consolidated(20, leftover="noise").fit(coords, groups=groups)
    assert (noisy.labels_[:5] == -1).all()


@given(coordinates(), st.integers(1, 30), st.integers(0, 30))
def test_cells_split_by_max_images_hold_min_to_max_images(coords, min_images, extra):
    # One place with enough images for a cell of its own, so that there is a cell.
    coords = np.concatenate([coords, np.tile(coords[:1], (min_images, 1))])
    builder = CellBuilder(
        min_images,
        method="top_down",
        max_images=min_images + extra,
        min_cell_size=0.3,
        leftover="noise",
    ).fit(coords)
    above = builder.cells_.levels < builder.cells_.grid.grids[0].max_level
    assert builder.counts_.min() >= min_images
    assert (builder.counts_[above] <= min_images + extra).all()


# --------------------------------------------------------------------------------------- bottom-up


@given(coordinates(), bottom_up_options(), min_cell_sizes)
def test_bottom_up_cells_hold_enough_images_or_are_the_only_one(coords, options, min_cell_size):
    builder = CellBuilder(**options, min_cell_size=min_cell_size)
    builder.fit(coords, features(len(coords)))
    if builder.n_cells_ > 1:
        assert builder.counts_.min() >= options["min_images"]
    else:
        assert builder.counts_.sum() == len(coords)


@given(
    coordinates(), bottom_up_options(), min_cell_sizes,
    st.sampled_from([("level", "mean_wcss"), ("level", "wcss"), ("level", "count"), ("all", "wcss")]),
)  # fmt: skip
def test_without_overlap_the_partition_is_the_consolidated_one(
    coords, options, min_cell_size, rule
):
    plain = options | {"overlap": 1, "min_cell_size": min_cell_size}
    plain |= dict(zip(("competition", "rank_by"), rule, strict=True))
    ours = CellBuilder(**plain).fit(coords, features(len(coords)))
    nested = CellBuilder(**plain | {"method": "consolidated"}).fit(coords)
    assert np.array_equal(ours.labels_, nested.labels_)
    assert_same_cells(ours.cells_, nested.cells_)


def test_features_decide_between_overlapping_hot_spots():
    # Three places in a row; the middle one looks like its right neighbour, then like its left one.
    coords = np.repeat([[0.5, 1.5], [0.5, 2.5], [0.5, 3.5]], 10, axis=0)
    looks = np.repeat([0.0, 5.0, 5.1], 10)[:, None]
    shared = {"grid": LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=3), "overlap": 2}
    right = CellBuilder(20, **shared).fit(coords, looks)
    left = CellBuilder(20, **shared).fit(coords, 5.1 - looks[::-1])
    assert right.labels_[10] == right.labels_[20]
    assert left.labels_[0] == left.labels_[10]


def test_without_features_places_close_together_are_the_cohesive_ones():
    coords = np.repeat([[0.5, 1.1], [0.5, 2.9], [0.5, 3.1]], 10, axis=0)
    grid = LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=3)
    labels = CellBuilder(20, grid=grid).fit(coords).labels_
    assert labels[10] == labels[20]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("weighted", [False, True])
def test_far_from_0_tied_hot_spots_do_not_follow_the_order_of_rows(seed, weighted):
    """25 spots of the same ten feature rows at an offset of 1e8, where rounding parted their ranks."""
    rng = np.random.default_rng(seed)
    coords = np.repeat(rng.uniform((47, 8), (48, 9), (25, 2)).round(2), 10, axis=0)
    feats = np.tile(rng.normal(size=(10, 4)), (25, 1)) + 1e8
    weights = np.tile(np.arange(10), 25) if weighted else None
    labels = CellBuilder(15).fit(coords, feats, sample_weight=weights).labels_
    for _ in range(3):
        order = rng.permutation(len(coords))
        some = None if weights is None else weights[order]
        again = CellBuilder(15).fit(coords[order], feats[order], sample_weight=some).labels_
        assert np.array_equal(again, labels[order])


# ----------------------------------------------------------------------------------------- weights


@given(coordinates(max_rows=100), any_methods, leftovers, st.integers(0, 2**32 - 1))
def test_whole_weights_equal_repeated_rows(coords, options, leftover, seed):
    weights = np.random.default_rng(seed).integers(1, 5, size=len(coords))
    feats = features(len(coords))
    weighted = CellBuilder(**options, leftover=leftover).fit(coords, feats, sample_weight=weights)
    repeated = CellBuilder(**options, leftover=leftover).fit(
        np.repeat(coords, weights, axis=0), np.repeat(feats, weights, axis=0)
    )
    assert np.array_equal(np.repeat(weighted.labels_, weights), repeated.labels_)
    assert np.array_equal(weighted.counts_, repeated.counts_)
    assert weighted.centroids_.tolist() == repeated.centroids_.tolist()


@given(coordinates(max_rows=100), any_methods, st.integers(0, 2**32 - 1))
def test_weights_with_a_fraction_count_as_such(coords, options, seed):
    order = np.random.default_rng(seed).permutation(len(coords))
    whole = 1 + order % 7
    most = options.get("max_images")
    # As noise: of two cells as near to what is left over, rounding chooses.
    options = {**options, "leftover": "noise"}
    fourfold = {**options, "min_images": 4 * options["min_images"], "max_images": most and 4 * most}
    expected = CellBuilder(**fourfold).fit(coords, sample_weight=whole)
    builder = CellBuilder(**options).fit(coords, sample_weight=whole / 4)
    assert np.array_equal(builder.labels_, expected.labels_)
    assert np.array_equal(builder.counts_, np.maximum(1, np.rint(expected.counts_ / 4)))
    # Of images on opposite sides of the earth little is left of the sum to tell where their mean is.
    vectors = sphere.to_unit_vectors(coords)
    own = [expected.labels_ == cell for cell in range(expected.n_cells_)]
    means = [np.average(vectors[rows], axis=0, weights=whole[rows]) for rows in own]
    km = sphere.haversine(builder.centroids_, expected.centroids_)
    assert (km * np.linalg.norm(means, axis=1)).max() < 0.0005
    assert len(builder.cells_.medoids) == builder.n_cells_
    shuffled = CellBuilder(**options).fit(coords[order], sample_weight=whole[order] / 4)
    assert np.array_equal(shuffled.labels_, builder.labels_[order])
    assert np.array_equal(shuffled.centroids_, builder.centroids_)


@given(st.data(), boxes, methods(), leftovers)
def test_rows_of_weight_0_shape_no_cell_of_a_given_box(data, box, options, leftover):
    coords = data.draw(coordinates_in(box, max_rows=80))
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 3, size=len(coords))
    assume(weights.any())
    options = {**options, "leftover": leftover, "bounds": box, "min_cell_size": 0.1}
    weighted = CellBuilder(**options).fit(coords, sample_weight=weights)
    repeated = CellBuilder(**options).fit(np.repeat(coords, weights, axis=0))
    assert np.array_equal(np.repeat(weighted.labels_, weights), repeated.labels_)
    assert weighted.centroids_.tolist() == repeated.centroids_.tolist()
    if leftover != "noise":
        assert np.array_equal(weighted.labels_, weighted.assign(coords))


def test_rows_of_weight_0_do_not_widen_the_default_box():
    coords = np.array([(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (80.0, 170.0)])
    weighted = consolidated(1).fit(coords, sample_weight=[1, 1, 1, 0])
    assert weighted.cells_.grid.grids[0].bounds == (1.0, 1.0, 2.0, 2.0)


# ------------------------------------------------------------------------------------------ bounds


def test_the_default_box_is_that_of_the_data_group_by_group():
    coords, groups = swiss_and_swedish()
    builder = consolidated(20).fit(coords, groups=groups)
    for own, name in zip(builder.cells_.grid.grids, ("CH", "SE"), strict=True):
        part = coords[groups == name]
        assert own.bounds == (*part.min(axis=0), *part.max(axis=0))


@pytest.mark.parametrize(
    "bounds",
    [
        {"CH": SWISS, "SE": SWEDISH, "unused": (0, 0, 1, 1)},
        {"SE": shapely.box(11.0, 55.3, 24.2, 69.1), "CH": SWISS},
        gpd.GeoDataFrame(
            geometry=[shapely.box(11.0, 55.3, 24.2, 69.1), shapely.box(5.9, 45.8, 10.6, 47.9)],
            index=["SE", "CH"], crs=4326,
        ),
        gpd.GeoSeries({"SE": shapely.box(11.0, 55.3, 24.2, 69.1), "CH": shapely.box(5.9, 45.8, 10.6, 47.9)}),
    ],
)  # fmt: skip
def test_bounds_may_differ_from_group_to_group(bounds):
    coords, groups = swiss_and_swedish(50)
    builder = consolidated(5, bounds=bounds).fit(coords, groups=groups)
    assert [own.bounds for own in builder.cells_.grid.grids] == [SWISS, SWEDISH]


def test_one_box_serves_every_group():
    coords, groups = swiss_and_swedish(50)
    europe = (40.0, 0.0, 72.0, 30.0)
    builder = consolidated(5, bounds=europe).fit(coords, groups=groups)
    assert [own.bounds for own in builder.cells_.grid.grids] == [europe, europe]


@pytest.mark.parametrize(
    ("bounds", "rows", "message"),
    [
        (
            SWISS,
            {"coords": [(47.0, 8.0), (10.0, 8.0), (47.0, 80.0)]},
            r"2 of 3 rows lie outside \(first: row 1, latitude 10.0, longitude 8.0\).*Widen",
        ),
        (
            {"CH": SWISS},
            {"coords": [(47.0, 8.0), (60.0, 15.0)], "groups": ["CH", "SE"]},
            "no entry for the group 'SE'",
        ),
        ({"CH": SWISS}, {"coords": [(47.0, 8.0)]}, "given no groups"),
        (
            None,
            {
                "coords": [(47.0, 8.0), (59.0, 18.0)],
                "groups": ["CH", "SE"],
                "sample_weight": [1, 0],
            },
            "0 for every image of the group 'SE'",
        ),
    ],
)
def test_rows_without_a_root_box_are_refused(bounds, rows, message):
    with pytest.raises(ValueError, match=message):
        consolidated(1, bounds=bounds).fit(**rows)


# --------------------------------------------------------------------------------- parameters, inputs


@pytest.mark.parametrize("box", [(-60, -170, 60, 170), (-60, 100, 60, 260)])
@pytest.mark.parametrize("method", ["top_down", "consolidated", "bottom_up"])
def test_every_image_lies_in_the_polygon_of_its_cell(method, box):
    """Those on the northern and eastern edge of the root too, which rounding put outside."""
    south, west, north, east = box
    for seed in range(20):
        coords = np.random.default_rng(seed).uniform((south, west), (north, east), (50, 2))
        coords[:, 1] = (coords[:, 1] + 180) % 360 - 180
        builder = CellBuilder(3, method=method).fit(coords)
        polygons = builder.cells_.polygons()[builder.labels_]
        assert shapely.intersects(polygons, shapely.points(coords[:, ::-1])).all()


def test_weights_of_all_that_is_allowed_leave_centroids_where_they_are():
    coords = np.random.default_rng(0).normal((47, 8), 0.5, (1000, 2))
    plain = consolidated(10).fit(coords).centroids_
    heavy = consolidated(10 * 2**30).fit(coords, sample_weight=np.full(1000, 2**30)).centroids_
    assert sphere.haversine(plain, heavy).max() < 0.003


def test_a_failed_fit_leaves_the_cells_of_the_last_one():
    builder = consolidated(1).fit([(47.0, 8.0)])
    with pytest.raises(ValueError, match="Latitude"):
        builder.fit([(95.0, 8.0)])
    assert builder.assign([(47.0, 8.0)]).tolist() == [0]


def test_features_are_accepted_and_change_nothing_here():
    coords, _ = swiss_and_swedish(100)
    feats = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    assert np.array_equal(
        consolidated(10).fit(coords, feats).labels_, consolidated(10).fit(coords).labels_
    )


def test_groups_may_be_categorical():
    coords, groups = swiss_and_swedish(60)
    plain = consolidated(5).fit(coords, groups=groups)
    categories = pd.Series(groups).astype("category")
    assert np.array_equal(consolidated(5).fit(coords, groups=categories).labels_, plain.labels_)


# -------------------------------------------------------------------------------------- scikit-learn


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        CellBuilder(200, "top_down")
    with pytest.raises(ValueError, match="Invalid parameter 'min_pictures'"):
        CellBuilder().set_params(min_pictures=3)


def test_text_names_the_changed_parameters_whatever_they_are():
    assert (
        repr(CellBuilder(50, method="top_down")) == "CellBuilder(min_images=50, method='top_down')"
    )
    assert repr(CellBuilder(200, leftover="nearest")) == "CellBuilder()"
    series = gpd.GeoSeries([shapely.box(5.9, 45.8, 10.6, 47.9)], crs=4326)
    for bounds in (np.array(SWISS), series, SWISS):
        builder = CellBuilder(5, bounds=bounds)
        assert repr(builder).startswith("CellBuilder(min_images=5, bounds=")
        assert "bounds" in builder._repr_html_()
        assert clone(builder).fit([(46.0, 7.0)]).cells_.grid.grids[0].bounds == SWISS


@pytest.mark.parametrize(
    ("n_images", "min_images", "words"),
    [
        (400, 400, "1 cell of 400 images. Try min_images=10, in place of 400."),
        (20_000, 10_000, "of 20000 images. Try min_images=200, in place of 10000."),
        (3, 1, "3 cells of 3 images. More images are needed."),
    ],
)
def test_few_cells_are_told_with_what_to_try(n_images, min_images, words):
    coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, (n_images, 2))
    with pytest.warns(GeocellsWarning, match=re.escape(words)):
        CellBuilder(min_images, method="top_down").fit(coords)
