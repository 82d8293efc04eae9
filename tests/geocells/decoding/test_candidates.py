from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import sphere
from geocells.decoding._candidates import (
    CandidateBlocks,
    ImageGroups,
    balls_of,
    compact_order,
    thinned,
)


@given(coordinates(), st.sampled_from([0.001, 1.0, 50.0, 700.0, 15_000.0]))
def test_every_coordinate_has_a_candidate_near(coords, resolution_km):
    chosen = thinned(coords, resolution_km)
    assert sphere.haversine_matrix(coords, chosen).min(axis=1).max() <= resolution_km + 1e-9


@given(coordinates(), st.sampled_from([0.0, 50.0]), st.integers(0, 2**32 - 1))
def test_candidates_are_coordinates_and_do_not_depend_on_their_order(coords, resolution_km, seed):
    chosen = thinned(coords, resolution_km)
    places = {tuple(x) for x in coords.tolist()} | {
        (latitude, -180.0) for latitude, longitude in coords.tolist() if longitude == 180.0
    }
    assert {tuple(x) for x in chosen.tolist()} <= places
    again = thinned(coords[np.random.default_rng(seed).permutation(len(coords))], resolution_km)
    assert again.tobytes() == chosen.tobytes()


def test_thinning_thins():
    coords = np.random.default_rng(0).uniform((40, 0), (41, 1), size=(5000, 2))
    assert len(thinned(coords, 10.0)) < 400
    assert len(thinned(coords, 0.0)) == 5000


def test_east_and_west_of_the_antimeridian_are_one_place():
    assert thinned(np.array([[1.0, 180.0], [1.0, -180.0]]), 0.0).tolist() == [[1.0, -180.0]]


@given(coordinates(), st.integers(1, 9))
def test_balls_hold_their_points(coords, size):
    vectors = sphere.to_unit_vectors(coords)
    order = compact_order(vectors, size)
    assert sorted(order.tolist()) == list(range(len(coords)))
    edges = np.append(np.arange(0, len(coords), size), len(coords))
    balls = balls_of(vectors[order], edges)
    centres = sphere.from_unit_vectors(balls[:, :3])
    own = np.repeat(np.arange(len(balls)), np.diff(edges))
    angles = sphere.haversine(centres[own], coords[order]) / sphere.EARTH_RADIUS_KM
    # haversine itself is sure to 0.2 m near the antipode.
    assert (angles <= balls[own, 3] + 1e-7).all()


def test_blocks_hold_every_candidate_once():
    coords = thinned(np.random.default_rng(0).uniform(-60, 60, size=(200, 2)), 0.0)
    blocks = CandidateBlocks.from_coords(coords)
    used = blocks.places[blocks.places >= 0]
    assert sorted(used.tolist()) == list(range(200))
    assert len(blocks) == 4
    vectors = blocks.vectors.transpose(0, 2, 1)[blocks.places >= 0]
    assert vectors == pytest.approx(sphere.to_unit_vectors(coords[used]))


def test_groups_hold_every_image_once_and_masses_add_up():
    rng = np.random.default_rng(0)
    coords = rng.uniform(-60, 60, size=(500, 2))
    labels = rng.integers(0, 3, size=500)
    rows = rng.random((2, 3))
    images = ImageGroups.from_classes(coords, labels, 3)
    assert np.bincount(images.class_of_image).tolist() == np.bincount(labels).tolist()
    assert images.masses(rows).sum(axis=1) == pytest.approx(rows.sum(axis=1))
    points = ImageGroups.from_points(coords)
    assert sorted(points.class_of_image.tolist()) == list(range(500))
    own = rng.random((2, 500))
    assert points.masses(own).sum(axis=1) == pytest.approx(own.sum(axis=1))


def test_cells_that_partitions_share_are_one_class():
    coords = np.array([(47.4, 8.5), (47.5, 8.5), (59.3, 18.1), (47.4, 8.5)])
    partitions = np.array([[0, 1, 2, 0], [1, 0, 0, 1], [0, 0, 1, 0]])
    labels = np.concatenate([partitions[0], partitions[1] + 3, partitions[2] + 5])
    images = ImageGroups.from_classes(np.tile(coords, (3, 1)), labels, 7, n_partitions=3)
    assert images.class_of_column.tolist() == [0, 1, 2, 3, 0, 4, 2]
    assert images.counts.tolist() == [2, 1, 1, 2, 3]
    assert np.bincount(images.family_of_class).tolist() == [3, 2]
