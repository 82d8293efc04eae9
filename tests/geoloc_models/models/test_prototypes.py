"""Prototypes inside cells: how they are made, and the refinement against loops."""

import math

import numpy as np
import pytest

from geocells import sphere
from geoloc_models._errors import GeolocError
from geoloc_models.models import prototypes as module
from geoloc_models.models.prototypes import Prototypes

# Cell 0: two towns, four photos each. Cell 1: three photos. Cell 2: none.
NORTH, SOUTH = np.array([59.0, 18.0]), np.array([47.0, 8.0])
SHIFTS = np.array([(0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.01, 0.01)])
COORDS = np.concatenate(
    [NORTH + SHIFTS, SOUTH + SHIFTS, [(10.0, 179.9), (10.0, -179.9), (10.1, 180.0)]]
)
LABELS = np.array([0] * 8 + [1] * 3)
LOCATIONS = np.array([(53.0, 13.0), (10.0, 179.0), (-30.0, -60.0)])
FEATURES = np.concatenate(
    [
        np.tile([5.0, 0.0, 0.0], (4, 1)),
        np.tile([0.0, 0.2, 0.0], (4, 1)),
        [(0.0, 0.0, 1.0), (0.0, 3.0, 3.0), (0.0, 0.0, 2.0)],
    ]
)


def made(**options):
    return Prototypes.of(FEATURES, COORDS, LABELS, LOCATIONS, **{"images_each": 4, **options})


def of_cell(prototypes, cell):
    """Places of a cell's prototypes, from north to south, and their vectors."""
    inside = np.flatnonzero(prototypes.cells == cell)
    order = inside[np.argsort(-prototypes.coords[inside, 0])]
    return prototypes.coords[order], prototypes.vectors[order]


def test_two_towns_in_a_cell_are_two_prototypes():
    places, vectors = of_cell(made(), 0)
    assert places[0].tolist() == sphere.spherical_mean(COORDS[:4]).tolist()
    assert places[1].tolist() == sphere.spherical_mean(COORDS[4:8]).tolist()
    assert vectors.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def test_a_cell_short_of_images_has_one_prototype_where_it_answers():
    places, vectors = of_cell(made(), 1)
    assert places.tolist() == [LOCATIONS[1].tolist()]
    # The mean of unit features: (0, 0, 1) twice and (0, 1, 1) / sqrt 2 once.
    mean = np.array([0.0, math.sqrt(0.5), 2 + math.sqrt(0.5)])
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_cell_without_images_is_like_all_images():
    places, vectors = of_cell(made(), 2)
    assert places.tolist() == [LOCATIONS[2].tolist()]
    units = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    mean = units.mean(axis=0)
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_no_cell_gets_more_groups_than_allowed_or_places():
    assert made(most_each=1).cells.tolist() == [0, 1, 2]
    assert np.bincount(made(images_each=1).cells).tolist() == [8, 3, 1]
    same = Prototypes.of(FEATURES, np.tile(NORTH, (11, 1)), LABELS, LOCATIONS, images_each=1)
    assert same.cells.tolist() == [0, 1, 2]


def test_images_of_no_cell_are_left_out():
    labels = np.where(LABELS == 1, -1, LABELS)
    places, _ = of_cell(Prototypes.of(FEATURES, COORDS, labels, LOCATIONS, images_each=4), 1)
    assert places.tolist() == [LOCATIONS[1].tolist()]


def test_prototypes_are_the_same_every_time():
    random = np.random.default_rng(0)
    coords = random.uniform(-50, 50, (300, 2))
    features, labels = random.normal(size=(300, 4)), random.integers(3, size=300)
    one, other = (Prototypes.of(features, coords, labels, np.zeros((3, 2))) for _ in range(2))
    for name in ("vectors", "coords", "cells"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def naive_refine(prototypes, probabilities, feature, top_cells, temperature):
    """Prototype of one image, score by score."""
    top = sorted(range(len(probabilities)), key=lambda cell: -probabilities[cell])[:top_cells]
    inside = [number for cell in top for number in np.flatnonzero(prototypes.cells == cell)]
    unit = feature / np.linalg.norm(feature)
    exponentials = [
        math.exp(prototypes.vectors[g].astype(float) @ unit / temperature) for g in inside
    ]
    scores = [
        probabilities[prototypes.cells[g]] * exponential / math.fsum(exponentials)
        for g, exponential in zip(inside, exponentials, strict=True)
    ]
    return inside[max(range(len(inside)), key=lambda number: scores[number])]


@pytest.mark.parametrize(("top_cells", "temperature"), [(1, 0.1), (3, 0.5), (3, 0.05), (50, 0.1)])
@pytest.mark.parametrize("numbers_at_a_time", [1, 1 << 21])
def test_refining_is_the_formula(monkeypatch, top_cells, temperature, numbers_at_a_time):
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", numbers_at_a_time)
    random = np.random.default_rng(1)
    cells = np.sort(np.concatenate([np.arange(12), random.integers(12, size=40)]))
    vectors = module.unit_rows(random.normal(size=(52, 6)), "vectors")
    prototypes = Prototypes(vectors, random.uniform(-50, 50, (52, 2)), cells)
    probabilities = random.dirichlet(np.full(12, 0.5), 30)
    features = random.normal(size=(30, 6))
    refined = prototypes.refine(
        probabilities, features, top_cells=top_cells, temperature=temperature
    )
    expected = [
        naive_refine(prototypes, *pair, top_cells, temperature)
        for pair in zip(probabilities, features, strict=True)
    ]
    assert np.array_equal(refined.coords, prototypes.coords[expected])
    assert np.array_equal(refined.cells, cells[expected])


def test_likeness_decides_between_towns_and_cells():
    prototypes = made()
    north, south, elsewhere = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    probabilities = [[0.5, 0.4, 0.1]] * 3
    refined = prototypes.refine(probabilities, [north, south, elsewhere])
    assert refined.cells.tolist() == [0, 0, 1]
    np.testing.assert_allclose(refined.coords[:2], [NORTH, SOUTH], atol=0.01)
    # Within the likeliest cell alone, the photo of elsewhere has to be in it.
    assert prototypes.refine(probabilities, [elsewhere] * 3, top_cells=1).cells.tolist() == [0] * 3


def test_a_small_temperature_leaves_the_most_alike():
    refined = made().refine([[0.999, 0.001, 0.0]], [[0.0, 0.3, 1.0]], temperature=1e-6)
    assert refined.cells.tolist() == [1]


def test_a_cell_of_probability_zero_never_answers():
    refined = made().refine([[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], temperature=1e-3)
    assert refined.cells.tolist() == [0]


def test_of_equal_prototypes_the_likelier_cells_answers():
    prototypes = Prototypes(np.ones((3, 1), dtype=np.float32), LOCATIONS, np.arange(3))
    refined = prototypes.refine([[0.2, 0.3, 0.5], [1 / 3] * 3], [[1.0], [1.0]])
    assert refined.cells.tolist() == [2, 0]


def test_no_image_has_no_answer():
    refined = made().refine(np.empty((0, 3)), np.empty((0, 3)))
    assert refined.coords.shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images_each": 0}, "images_each"),
        ({"most_each": 0}, "most_each"),
        ({"labels": LABELS[1:]}, "as many places and labels"),
        ({"labels": LABELS + 2}, "Labels must lie between -1 and 2"),
    ],
)
def test_what_makes_no_prototypes_is_refused(options, message):
    arguments = {"features": FEATURES, "coords": COORDS, "labels": LABELS, "locations": LOCATIONS}
    with pytest.raises(GeolocError, match=message):
        Prototypes.of(**{**arguments, **options})


@pytest.mark.parametrize(
    ("probabilities", "features", "options", "message"),
    [
        ([[0.5, 0.5]], [[1.0, 0.0, 0.0]], {}, "do not fit 3 cells"),
        ([[0.5, 0.5, 0.0]], [[1.0, 0.0]], {}, "shape"),
        ([[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]] * 2, {}, "2 features"),
        ([[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]], {"top_cells": 0}, "top_cells"),
        ([[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]], {"temperature": 0.0}, "temperature"),
    ],
)
def test_what_cannot_be_refined_is_refused(probabilities, features, options, message):
    with pytest.raises(GeolocError, match=message):
        made().refine(probabilities, features, **options)
