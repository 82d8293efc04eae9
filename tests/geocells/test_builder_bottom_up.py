"""CellBuilder's default: bottom-up cells on both grids, with features, from any data."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from partitions import assert_same_cells

from geocells import CellBuilder, LatLonGrid


def features(n_rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_rows, 4)).astype(np.float32)


@st.composite
def options(draw: st.DrawFn) -> dict[str, object]:
    return draw(strategies.bottom_up_options()) | {"min_cell_size": draw(strategies.min_cell_sizes)}


@given(strategies.coordinates(), options())
def test_cells_hold_enough_images_or_are_the_only_one(
    coords: np.ndarray, parameters: dict[str, object]
) -> None:
    builder = CellBuilder(**parameters).fit(coords, features(len(coords)))
    if builder.n_cells_ > 1:
        assert builder.counts_.min() >= parameters["min_images"]
    else:
        assert builder.counts_.sum() == len(coords)


@given(
    strategies.coordinates(),
    options(),
    st.sampled_from(
        [("level", "mean_wcss"), ("level", "wcss"), ("level", "count"), ("all", "wcss")]
    ),
)
def test_without_overlap_the_partition_is_the_consolidated_one(
    coords: np.ndarray, parameters: dict[str, object], rule: tuple[str, str]
) -> None:
    competition, rank_by = rule
    plain = parameters | {"overlap": 1, "competition": competition, "rank_by": rank_by}
    ours = CellBuilder(**plain).fit(coords, features(len(coords)))
    nested = CellBuilder(
        plain["min_images"],
        method="consolidated",
        min_cell_size=plain["min_cell_size"],
        grid=plain["grid"],
    ).fit(coords)
    assert np.array_equal(ours.labels_, nested.labels_)
    assert_same_cells(ours.cells_, nested.cells_)


@settings(max_examples=15)
@given(strategies.coordinates(), options())
def test_polygons_are_valid_and_apart(coords: np.ndarray, parameters: dict[str, object]) -> None:
    polygons = CellBuilder(**parameters).fit(coords, features(len(coords))).cells_.polygons()
    assert shapely.is_valid(polygons).all()
    area = shapely.area(polygons).sum()
    # The union of disjoint polygons has the sum of their areas; S2's curved sides are drawn to 1e-3 of their length.
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(area, rel=1e-3, abs=1e-9)


def test_features_decide_between_overlapping_hot_spots() -> None:
    # Three places in a row; the middle one looks like its right neighbour, then like its left one.
    coords = np.repeat([[0.5, 1.5], [0.5, 2.5], [0.5, 3.5]], 10, axis=0)
    looks = np.repeat([0.0, 5.0, 5.1], 10)[:, None]
    shared = {"grid": LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=3), "overlap": 2}
    right = CellBuilder(20, **shared).fit(coords, looks)
    left = CellBuilder(20, **shared).fit(coords, 5.1 - looks[::-1])
    assert right.labels_[10] == right.labels_[20]
    assert left.labels_[0] == left.labels_[10]


def test_without_features_places_close_together_are_the_cohesive_ones() -> None:
    coords = np.repeat([[0.5, 1.1], [0.5, 2.9], [0.5, 3.1]], 10, axis=0)
    grid = LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=3)
    labels = CellBuilder(20, grid=grid).fit(coords).labels_
    assert labels[10] == labels[20]


@pytest.mark.parametrize("method", ["bottom_up", "consolidated"])
def test_many_copies_of_one_point_are_one_cell(method: str) -> None:
    coords = np.tile([[47.3769, 8.5417]], (200_000, 1))
    builder = CellBuilder(200, method=method).fit(coords, np.ones((200_000, 2), dtype=np.float32))
    assert builder.counts_.tolist() == [200_000]
    assert (builder.labels_ == 0).all()
    # 2^-41 of a unit vector and the rounding of degrees.
    np.testing.assert_allclose(builder.centroids_, coords[:1], atol=1e-9)


@pytest.mark.parametrize("grid", ["latlon", "s2"])
@pytest.mark.parametrize("n_images", [1, 199])
def test_fewer_images_than_min_images_are_one_cell(grid: str, n_images: int) -> None:
    coords = np.random.default_rng(0).uniform((-60, -170), (60, 170), (n_images, 2))
    builder = CellBuilder(200, grid=grid).fit(coords, features(n_images))
    assert builder.n_cells_ == 1
    assert builder.assign([[0.0, 0.0]]).tolist() == [0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unsound_features_are_refused_by_row(value: float) -> None:
    coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, (500, 2))
    feats = features(500)
    feats[123, 2] = value
    with pytest.raises(ValueError, match=r"Features must be finite.*row 123"):
        CellBuilder(50).fit(coords, feats)


@pytest.mark.parametrize(
    ("feats", "message"),
    [
        (np.zeros((9, 2)), "one row for each of the 10 coordinates; got 9"),
        (np.zeros(10), "one feature vector per row"),
        (np.zeros((10, 0)), "one feature vector per row"),
        (np.array([["a"]] * 10), "real numbers"),
        (np.zeros((10, 2), dtype=complex), "real numbers"),
    ],
)
def test_features_of_another_shape_or_kind_are_refused(feats: np.ndarray, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        CellBuilder(2).fit(np.zeros((10, 2)), feats)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"overlap": 3}, "overlap must be one of"),
        ({"overlap": 0}, "overlap must be at least 1"),
        ({"competition": "none"}, "competition must be one of"),
        ({"rank_by": "entropy"}, "rank_by must be one of"),
        ({"grid": "h3"}, "grid must be one of"),
        ({"grid": "s2", "bounds": (0, 0, 1, 1)}, "covers the globe"),
        ({"grid": LatLonGrid(0, 0, 1, 1, max_level=0)}, "needs leaves 1 levels below"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CellBuilder(2, **parameters).fit(np.full((10, 2), 0.5))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("weighted", [False, True])
def test_far_from_0_tied_hot_spots_do_not_follow_the_order_of_rows(
    seed: int, weighted: bool
) -> None:
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
