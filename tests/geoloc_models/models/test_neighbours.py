"""Nearest images and prototypes inside cells, against loops over the formulas."""

import math

import numpy as np
import pytest
from naive import distance_km

from geocells import sphere
from geoloc_models.models import neighbours as module
from geoloc_models.models.gallery import unit_rows
from geoloc_models.models.neighbours import NearestImages, Prototypes

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 8))
COORDS = np.column_stack([RANDOM.uniform(-60, 60, 60), RANDOM.uniform(176, 184, 60)])
COORDS[:, 1] = (COORDS[:, 1] + 180) % 360 - 180  # on both sides of the antimeridian
COUNTRIES = np.array(["FJ", "NZ", "WS"], dtype=object)[RANDOM.integers(3, size=60)]
QUERIES = RANDOM.normal(size=(9, 8))


def naive_answer(query, k, bandwidth_km):
    """Place, country, neighbours and densities of one image, term by term."""
    cosines = [
        math.fsum(query * feature) / np.linalg.norm(query) / np.linalg.norm(feature)
        for feature in FEATURES
    ]
    near = sorted(range(60), key=lambda row: -cosines[row])[:k]

    def voices(place):
        return [
            math.exp(-(distance_km(place, tuple(COORDS[row])) ** 2) / (2 * bandwidth_km**2))
            for row in near
        ]

    density = [math.fsum(voices(tuple(COORDS[row]))) for row in near]
    best = near[max(range(k), key=lambda number: density[number])]
    of_country = {}
    for row, voice in zip(near, voices(tuple(COORDS[best])), strict=True):
        of_country[COUNTRIES[row]] = of_country.get(COUNTRIES[row], 0.0) + voice
    return COORDS[best], max(of_country, key=of_country.get), near


@pytest.mark.parametrize(("k", "bandwidth_km"), [(1, 100.0), (7, 2000.0), (12, 900.0), (60, 500.0)])
@pytest.mark.parametrize("numbers_at_a_time", [1, 1 << 21])
def test_answers_are_the_formulas(monkeypatch, k, bandwidth_km, numbers_at_a_time):
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", numbers_at_a_time)
    images = NearestImages(FEATURES, COORDS, COUNTRIES, k=k, bandwidth_km=bandwidth_km)
    answer = images.predict(QUERIES)
    for row, query in enumerate(QUERIES):
        place, country, near = naive_answer(query, k, bandwidth_km)
        assert answer.coords[row].tolist() == place.tolist()
        assert answer.countries[row] == country
        assert answer.neighbours[row].tolist() == near


def test_three_together_beat_the_single_most_similar():
    places = [(59.3, 18.0), (47.4, 8.5), (47.3, 8.4), (47.35, 8.45)]
    images = NearestImages(np.eye(4), places, ["SE", "CH", "CH", "CH"], k=4)
    answer = images.predict([[0.9, 0.5, 0.4, 0.3]])
    assert answer.coords.tolist() == [[47.35, 8.45]]
    assert answer.countries.tolist() == ["CH"]


def test_the_country_is_voted_for_around_the_answer():
    # The densest place is a German one; three Swiss neighbours around it outvote it.
    places = [(47.6, 8.6), (47.58, 8.6), (47.62, 8.6), (47.6, 8.63), (52.5, 13.4)]
    countries = ["DE", "CH", "CH", "CH", "DE"]
    answer = NearestImages(np.eye(5), places, countries, k=5, bandwidth_km=10).predict([[1.0] * 5])
    assert answer.coords.tolist() == [[47.6, 8.6]]
    assert answer.countries.tolist() == ["CH"]


def test_of_equally_dense_places_the_most_similar_answers():
    places = [(0.0, 0.0), (0.0, 90.0), (0.0, 180.0)]
    images = NearestImages(np.eye(3), places, ["A", "B", "C"], k=3)
    answer = images.predict([[0.1, 0.9, 0.5], [0.1, 0.2, 0.3]])
    assert answer.countries.tolist() == ["B", "C"]
    assert answer.coords.tolist() == [[0.0, 90.0], [0.0, 180.0]]


def test_no_image_has_no_nearest_answer():
    images = NearestImages(FEATURES, COORDS, COUNTRIES, k=3)
    answer = images.predict(np.empty((0, 8)))
    assert answer.coords.shape == (0, 2)
    assert answer.countries.shape == (0,)


# Prototypes

# Cell 0: two towns, four photos each. Cell 1: three photos. Cell 2: none.
NORTH, SOUTH = np.array([59.0, 18.0]), np.array([47.0, 8.0])
SHIFTS = np.array([(0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.01, 0.01)])
PLACES = np.concatenate(
    [NORTH + SHIFTS, SOUTH + SHIFTS, [(10.0, 179.9), (10.0, -179.9), (10.1, 180.0)]]
)
LABELS = np.array([0] * 8 + [1] * 3)
LOCATIONS = np.array([(53.0, 13.0), (10.0, 179.0), (-30.0, -60.0)])
LOOKS = np.concatenate(
    [
        np.tile([5.0, 0.0, 0.0], (4, 1)),
        np.tile([0.0, 0.2, 0.0], (4, 1)),
        [(0.0, 0.0, 1.0), (0.0, 3.0, 3.0), (0.0, 0.0, 2.0)],
    ]
)


def made(**options):
    return Prototypes.from_images(LOOKS, PLACES, LABELS, LOCATIONS, **{"images_each": 4, **options})


def of_cell(prototypes, cell):
    """Places of a cell's prototypes, from north to south, and their vectors."""
    inside = np.flatnonzero(prototypes.cells == cell)
    order = inside[np.argsort(-prototypes.coords[inside, 0])]
    return prototypes.coords[order], prototypes.vectors[order]


def test_two_towns_in_a_cell_are_two_prototypes():
    places, vectors = of_cell(made(), 0)
    assert places[0].tolist() == sphere.spherical_mean(PLACES[:4]).tolist()
    assert places[1].tolist() == sphere.spherical_mean(PLACES[4:8]).tolist()
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
    units = LOOKS / np.linalg.norm(LOOKS, axis=1, keepdims=True)
    mean = units.mean(axis=0)
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_no_cell_gets_more_groups_than_allowed_or_places(monkeypatch):
    monkeypatch.setattr(module, "_MOST_GROUPS", 1)
    assert made().cells.tolist() == [0, 1, 2]
    monkeypatch.undo()
    assert np.bincount(made(images_each=1).cells).tolist() == [8, 3, 1]
    same = Prototypes.from_images(LOOKS, np.tile(NORTH, (11, 1)), LABELS, LOCATIONS, images_each=1)
    assert same.cells.tolist() == [0, 1, 2]


def test_images_of_no_cell_are_left_out():
    labels = np.where(LABELS == 1, -1, LABELS)
    places, _ = of_cell(Prototypes.from_images(LOOKS, PLACES, labels, LOCATIONS, images_each=4), 1)
    assert places.tolist() == [LOCATIONS[1].tolist()]


def test_prototypes_are_the_same_every_time():
    random = np.random.default_rng(0)
    coords = random.uniform(-50, 50, (300, 2))
    features, labels = random.normal(size=(300, 4)), random.integers(3, size=300)
    one, other = (
        Prototypes.from_images(features, coords, labels, np.zeros((3, 2))) for _ in range(2)
    )
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
    vectors = unit_rows(random.normal(size=(52, 6)), "vectors")
    prototypes = Prototypes(vectors, random.uniform(-50, 50, (52, 2)), cells)
    probabilities = random.dirichlet(np.full(12, 0.5), 30)
    features = random.normal(size=(30, 6))
    coords, chosen = prototypes.refine(
        probabilities, features, top_cells=top_cells, temperature=temperature
    )
    expected = [
        naive_refine(prototypes, *pair, top_cells, temperature)
        for pair in zip(probabilities, features, strict=True)
    ]
    assert np.array_equal(coords, prototypes.coords[expected])
    assert np.array_equal(chosen, cells[expected])


def test_a_small_temperature_leaves_the_most_alike():
    _, cells = made().refine([[0.999, 0.001, 0.0]], [[0.0, 0.3, 1.0]], temperature=1e-6)
    assert cells.tolist() == [1]


def test_a_cell_of_probability_zero_never_answers():
    _, cells = made().refine([[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], temperature=1e-3)
    assert cells.tolist() == [0]


def test_of_equal_prototypes_the_likelier_cells_answers():
    prototypes = Prototypes(np.ones((3, 1), dtype=np.float32), LOCATIONS, np.arange(3))
    _, cells = prototypes.refine([[0.2, 0.3, 0.5], [1 / 3] * 3], [[1.0], [1.0]])
    assert cells.tolist() == [2, 0]


def test_no_image_has_no_answer():
    coords, _ = made().refine(np.empty((0, 3)), np.empty((0, 3)))
    assert coords.shape == (0, 2)
