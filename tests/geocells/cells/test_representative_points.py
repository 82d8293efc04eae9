from __future__ import annotations

import dataclasses

import naive
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import CellBuilder, load_cells, sphere
from geocells.cells import RepresentativePoints
from geocells.cells.representative_points import (
    _distinct_points,
    measure_from,
    medoids_and_modes,
    mode,
)

KM = 180.0 / (np.pi * sphere.EARTH_RADIUS_KM)
"""Degrees of latitude in a kilometre."""


def one_cell(coords: object, weights: object = None, **options: float) -> tuple[tuple, tuple]:
    """Medoid and mode of images in one cell."""
    array = np.array(coords, dtype=float).reshape(-1, 2)
    labels = np.zeros(len(array), dtype=np.int64)
    own = None if weights is None else np.array(weights, dtype=np.int64)
    medoids, modes = medoids_and_modes(array, labels, 1, own, **options)
    return tuple(medoids[0]), tuple(modes[0])


# ------------------------------------------------------------------------------------------ by hand


LINE = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 90)]
NEAR_THE_POLE = [(89.999, longitude) for longitude in range(-180, 180, 30)]


@pytest.mark.parametrize(
    ("coords", "weights", "medoid"),
    [
        (LINE, None, (0, 2)),
        ([(0, 0), (0, 0), (0, 0), (0, 2), (0, 3)], None, (0, 0)),
        # Equal sums go to the lowest latitude, then longitude: two images, a square, an equilateral belt.
        ([(5, 0), (4, 9)], None, (4, 9)),
        ([(5, 9), (5, -9)], None, (5, -9)),
        ([(1, 1), (-1, 1), (1, -1), (-1, -1)], None, (-1, -1)),
        ([(0, 120), (0, -120), (0, 0)], None, (0, -120)),
        # A pole is no border.
        ([*NEAR_THE_POLE, (90, 77), (80, 0)], None, (90, 77)),
        # Sums of very many images do not overflow.
        (LINE, [2**40] * 5, (0, 2)),
        (LINE, [1, 1, 1, 2**50, 1], (0, 3)),
        ([(90, -180)], None, (90, -180)),
        ([(1, 2)], [5], (1, 2)),
    ],
)
def test_medoids_of_cases_worked_by_hand(coords, weights, medoid):
    assert one_cell(coords, weights)[0] == medoid


@pytest.mark.parametrize(
    ("coords", "weights", "mode"),
    [
        (
            [(10, 20), (10 + 0.9 * KM, 20), (10 - 0.9 * KM, 20), (50, 50), (50, 50 + 0.5 * KM)],
            None, (10, 20),
        ),
        # Images count, not places.
        ([(10, 10), (10, 10), (10, 10), (20, 20), (20 + 0.1 * KM, 20)], None, (10, 10)),
        # One just within the radius counts, one just beyond does not.
        ([(0, 0), (5, 5), (5 + KM * (1 - 1e-9), 5)], None, (5, 5)),
        ([(0, 0), (5, 5), (5 + KM * (1 + 1e-9), 5)], None, (0, 0)),
        # Equal counts go to the lowest latitude, then longitude.
        ([(5, 9), (5, -9), (7, 0)], None, (5, -9)),
        # The antimeridian and the pole are no borders; 89.999 is 111 m from it.
        (
            [(0, 180 - 0.4 * KM), (0, -180), (0, 180), (0, -180 + 0.4 * KM), (3, 180), (3, 179)],
            None, (0, -180),
        ),
        ([*NEAR_THE_POLE, (90, 77), (80, 0)], None, (89.999, -180)),
        (LINE, [1, 1, 1, 2**50, 1], (0, 3)),
        ([(90, -180)], None, (90, -180)),
        ([(1, 2)], [5], (1, 2)),
    ],
)  # fmt: skip
def test_modes_of_cases_worked_by_hand(coords, weights, mode):
    assert one_cell(coords, weights)[1] == mode


def test_a_point_just_at_the_chord_of_a_mode_counts():
    vectors = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert mode(np.arange(3), vectors, np.ones(3, np.int64), 2.0) == 0  # all three reach all


def test_a_million_copies_of_one_point_are_one_point():
    medoid, mode = one_cell(np.full((1_000_000, 2), 47.5))
    assert medoid == mode == (47.5, 47.5)


def test_negative_zero_is_zero():
    medoid, mode = one_cell([(-0.0, 5.0), (0.0, 5.0), (-0.0, -0.0)])
    assert medoid == mode == (0.0, 5.0)
    assert not np.signbit([medoid, mode]).any()
    assert not np.signbit(one_cell([(5.0, -0.0)])).any()


def test_images_of_no_cell_and_rows_of_no_image_are_passed_over():
    coords = np.array([(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (9.0, 9.0)])
    labels, weights = np.array([1, 1, 1, -1]), np.array([0, 1, 1, 5])
    medoids, modes = medoids_and_modes(coords, labels, 3, weights)
    assert medoids[1].tolist() == modes[1].tolist() == [0.0, 1.0]
    assert np.isnan(medoids[[0, 2]]).all()
    assert np.isnan(modes[[0, 2]]).all()
    assert np.isnan(one_cell([(1.0, 2.0)], weights=[0])).all()


# ------------------------------------------------------------------------------------------- twins


def close_by(n: int = 40) -> st.SearchStrategy[list[tuple[float, float]]]:
    """Points some hundred metres from each other, among them equal ones and lines."""
    steps = st.integers(-20, 20).map(lambda k: k * 0.31 * KM)
    return st.lists(
        st.tuples(steps.map(lambda y: 47 + y), steps.map(lambda x: 8 + x)), min_size=1, max_size=n
    )


@given(st.one_of(coordinates(max_rows=40), close_by()))
@example([(0.0, 0.0), (0.0, 180.0), (0.0, 90.0), (90.0, 0.0), (-90.0, 0.0), (0.0, -90.0)])
# The formula for near points, taken for these, would give another medoid, by 280 to 450 km.
@example([(-80, 80), (-50, -110), (-60, -50), (10, 0), (60, 130)])
@example([(-70, 10), (-90, -110), (-10, 40), (90, 120), (-60, -140), (-40, 150)])
@example([(-30, -10), (60, -170), (30, 10), (-40, 90), (-60, 0), (-70, 10)])
def test_medoids_equal_those_of_the_slow_twin(coords):
    images = [tuple(map(float, row)) for row in np.asarray(coords) + 0.0]
    found, _ = one_cell(images)
    expected = naive.medoid(images)
    if found != expected:
        # Sums that differ by less than the twin calls equal: then the found one is the least to a micrometre each.
        least = naive.sum_of_distances(expected, images)
        assert naive.sum_of_distances(found, images) <= least + 1e-8 * len(images)


@given(
    st.one_of(coordinates(max_rows=40), close_by(80)),
    st.sampled_from([0.05, 1.0, 2.7, 5000.0, 30000.0]),
)
def test_modes_equal_those_of_the_slow_twin(coords, radius_km):
    images = [tuple(map(float, row)) for row in np.asarray(coords) + 0.0]
    pairs = [naive.distance_km(a, b) for a in images for b in images]
    if min(abs(km - radius_km) for km in pairs) < 1e-6:
        return  # on the border to a millimetre: rounding decides
    assert one_cell(images, radius_km=radius_km)[1] == naive.mode(images, radius_km)


@given(close_by(), st.data())
def test_weights_are_repetitions(coords, data):
    n = len(coords)
    weights = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(any))
    assert one_cell(coords, weights) == one_cell(np.repeat(coords, weights, axis=0))


def mode_of_all_pairs(coords: np.ndarray, weights: object = 1, radius_km: float = 1.0) -> tuple:
    counts = ((sphere.haversine_matrix(coords, coords) <= radius_km) * weights).sum(axis=1)
    return min(map(tuple, coords[np.flatnonzero(counts == counts.max())]))


@pytest.mark.parametrize("spread", [0.003, 0.3, 30.0])
def test_many_points_keep_their_exact_medoid_and_mode(spread):
    rng = np.random.default_rng(7)
    coords = rng.normal((40.0, 170.0), spread, size=(2500, 2))
    coords[:, 0] = np.clip(coords[:, 0], -90, 90)
    coords[:, 1] = (coords[:, 1] + 180) % 360 - 180
    km = sphere.haversine_matrix(coords, coords)
    medoid, mode = one_cell(coords)
    assert medoid == tuple(coords[km.sum(axis=1).argmin()])
    assert mode == mode_of_all_pairs(coords)


@pytest.mark.parametrize(("near", "spread"), [(True, 1e-6), (True, 0.1), (True, 2), (False, 90)])
def test_distances_are_great_circles_near_and_far(near, spread):
    rng = np.random.default_rng(1)
    coords = np.clip(rng.uniform((-spread, 60 - spread), (spread, 60 + spread), (30, 2)), -90, 180)
    km = np.array([naive.distance_km(tuple(coords[3]), tuple(other)) for other in coords])
    distances = np.empty(30, dtype=np.int64)
    vectors = np.ascontiguousarray(sphere.to_unit_vectors(coords).T)
    measure_from(3, *vectors, near, 1e9 * sphere.EARTH_RADIUS_KM, distances)
    # In micrometres, rounded to one: 5e-10 km.
    assert distances / 1e9 == pytest.approx(km, rel=1e-9, abs=1.5e-9)


@pytest.mark.parametrize("n_places", [1, 2, 5, 20, 400])
@pytest.mark.parametrize("weighted", [False, True])
def test_distinct_points_are_sorted_and_counted_as_numpy_does(n_places, weighted):
    rng = np.random.default_rng(n_places)
    coords = rng.integers(0, n_places, size=(400, 2)).astype(float)
    weights = rng.integers(0, 5, 400) if weighted else None
    labels = rng.choice([-1, 0, 2], 400)
    points, images, edges = _distinct_points(coords, labels, 3, weights)
    counts = np.ones(400) if weights is None else weights
    for cell, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        rows = np.flatnonzero((labels == cell) & (counts > 0))
        unique, place = np.unique(coords[rows], axis=0, return_inverse=True)
        assert np.array_equal(points[start:stop], unique)
        expected = np.bincount(place.ravel(), counts[rows], len(unique))
        assert images[start:stop].tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_the_mode_is_found_in_whichever_leaf_of_the_tree_it_lies(seed):
    # A hundred points fill seven leaves or more; four of many images, some hundred metres apart, lie among them.
    rng = np.random.default_rng(seed)
    crowd = rng.normal(rng.uniform((46.8, 7.8), (47.2, 8.2)), 0.2 * KM, size=(4, 2))
    coords = np.concatenate([rng.uniform((46.8, 7.8), (47.2, 8.2), size=(96, 2)), crowd])
    weights = np.repeat([1, 25], [96, 4])
    assert one_cell(coords, weights)[1] == mode_of_all_pairs(coords, weights)


@pytest.mark.parametrize("radius_km", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_mode_of_a_dense_cell_counts_the_images_of_whole_boxes(radius_km, seed):
    # Three kilometres hold 150 points, so that some boxes of the tree lie within the radius and some across it.
    rng = np.random.default_rng(seed)
    coords = np.array([47.0, 8.0]) + rng.normal(0.0, 0.8 * KM, size=(150, 2))
    weights = rng.integers(1, 9, size=150)
    mode = one_cell(coords, weights, radius_km=radius_km)[1]
    assert mode == mode_of_all_pairs(coords, weights, radius_km)


def test_points_on_a_circle_which_no_bound_tells_apart_keep_their_exact_medoid():
    angle = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    coords = np.column_stack([0.1 * np.sin(angle), 0.1 * np.cos(angle)])
    sums = sphere.haversine_matrix(coords, coords).sum(axis=1)
    medoid, _ = one_cell(coords)
    chosen = np.flatnonzero((coords == medoid).all(axis=1))[0]
    assert sums[chosen] <= sums.min() + 1500 * 1e-9


@pytest.mark.parametrize("images_a_task", [1, 7, 25])
def test_tasks_change_nothing(monkeypatch, images_a_task):
    rng = np.random.default_rng(5)
    coords, labels = rng.normal((47, 8), 0.2, size=(60, 2)), rng.integers(-1, 9, 60)
    labels[labels == 4] = 3  # a cell without images among the others
    once = medoids_and_modes(coords, labels, 9)
    monkeypatch.setattr("geocells.cells.representative_points.POINTS_A_TASK", images_a_task)
    again = medoids_and_modes(coords, labels, 9)
    assert np.array_equal(once[0], again[0], equal_nan=True)
    assert np.array_equal(once[1], again[1], equal_nan=True)


def test_row_order_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    coords = np.round(rng.normal((47, 8), 0.2, size=(300_000, 2)), 3)
    labels = rng.integers(-1, 60, size=len(coords))
    once = medoids_and_modes(coords, labels, 60)
    order = rng.permutation(len(coords))
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", "1")
    again = medoids_and_modes(coords[order], labels[order], 60)
    assert np.array_equal(once[0], again[0])
    assert np.array_equal(once[1], again[1])


# ---------------------------------------------------------------------------------------- partitions

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.05, size=(600, 2))


def fitted(location: str = "mean", coords: np.ndarray = COORDS, **options: object) -> CellBuilder:
    return CellBuilder(40, method="consolidated", location=location, **options).fit(coords)


@pytest.mark.parametrize("location", ["mean", "medoid", "mode"])
def test_cells_answer_with_the_location_that_was_asked_for(location):
    cells = fitted(location).cells_
    chosen = {"mean": cells.centroids, "medoid": cells.medoids, "mode": cells.modes}
    assert np.array_equal(cells.locations, chosen[location])
    assert cells.parameters["location"] == location
    assert not np.array_equal(cells.medoids, cells.modes)
    # It changes neither cells nor means.
    assert np.array_equal(cells.centroids, fitted().centroids_)
    assert np.array_equal(cells.assign(COORDS), fitted().labels_)


def test_medoids_and_modes_of_a_partition_are_those_of_its_images():
    builder = fitted()
    for cell in range(builder.n_cells_):
        images = [tuple(row) for row in COORDS[builder.labels_ == cell]]
        assert tuple(builder.cells_.medoids[cell]) == naive.medoid(images)
        assert tuple(builder.cells_.modes[cell]) == naive.mode(images)


def test_nothing_is_worked_out_before_it_is_asked_for_and_the_images_are_let_go_after():
    places = fitted().cells_.representative_points
    assert places.points is None
    cells = fitted().cells_
    assert np.shares_memory(cells.representative_points.images.coords, COORDS)
    medoids = cells.medoids
    assert cells.representative_points.images is None
    assert cells.medoids is medoids
    with pytest.raises(ValueError, match="read-only"):
        cells.modes[0] = 0.0


def test_images_changed_in_place_in_the_meantime_are_noticed():
    coords = COORDS.copy()
    builder = fitted(coords=coords)
    coords += 0.01
    with pytest.raises(ValueError, match="changed in place after fit"):
        _ = builder.cells_.medoids
    coords = COORDS.copy()
    builder = fitted(coords=coords)
    coords[builder.labels_ == 0] += 0.01  # of one cell alone
    with pytest.raises(ValueError, match="changed in place after fit"):
        _ = builder.cells_.medoids
    builder = fitted()
    for label in (builder.labels_[0] + 1, builder.n_cells_, 10**6):
        builder.labels_[0] = label
        with pytest.raises(ValueError, match="changed in place after fit"):
            _ = builder.cells_.modes


def test_noise_and_weightless_rows_have_no_say():
    coords = np.array([(1.0, 1.0)] * 3 + [(1.1, 1.0)] * 5 + [(7.0, 7.0)] * 2)
    weights = np.array([9] * 3 + [0] * 5 + [1] * 2)
    options = {"bounds": (0, 0, 8, 8), "min_cell_size": 4, "leftover": "noise"}
    builder = CellBuilder(3, method="consolidated", **options)
    cells = builder.fit(coords, sample_weight=weights).cells_
    assert cells.medoids.tolist() == cells.modes.tolist() == [[1.0, 1.0]]


def test_cells_without_images_say_that_they_cannot_tell(tmp_path):
    cells = dataclasses.replace(fitted().cells_, representative_points=RepresentativePoints())
    for unasked in (cells, load_cells(fitted().cells_.save(tmp_path / "cells.parquet"))):
        assert not unasked.representative_points.is_known
        with pytest.raises(
            ValueError, match=r"Build them again .* read cells.medoids before cells.save"
        ):
            _ = unasked.medoids
    assert "medoid_latitude" not in pq.read_schema(tmp_path / "cells.parquet").names
    asked = fitted().cells_
    medoids = asked.medoids
    loaded = load_cells(asked.save(tmp_path / "asked.parquet"))
    assert np.array_equal(loaded.medoids, medoids)
    assert np.array_equal(loaded.modes, asked.modes)
    assert loaded.representative_points.is_known
    assert fitted().cells_.representative_points.is_known
