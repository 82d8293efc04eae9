"""Nearest images, against loops over the formula."""

import math

import numpy as np
import pytest
from naive_locations import distance_km

from geoloc_models._errors import GeolocError
from geoloc_models.models.neighbours import NearestImages

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 8))
COORDS = np.column_stack([RANDOM.uniform(-60, 60, 60), RANDOM.uniform(176, 184, 60)])
COORDS[:, 1] = (COORDS[:, 1] + 180) % 360 - 180  # on both sides of the antimeridian
COUNTRIES = np.array(["FJ", "NZ", "WS"], dtype=object)[RANDOM.integers(3, size=60)]
QUERIES = RANDOM.normal(size=(9, 8))


def naive_answer(query, k, bandwidth_km, temperature):
    """Place, country, neighbours and densities of one image, term by term."""
    cosines = [
        math.fsum(query * feature) / np.linalg.norm(query) / np.linalg.norm(feature)
        for feature in FEATURES
    ]
    near = sorted(range(60), key=lambda row: -cosines[row])[:k]
    votes = [1.0 if temperature is None else math.exp(cosines[row] / temperature) for row in near]
    votes = [vote / math.fsum(votes) for vote in votes]

    def voices(place):
        return [
            vote * math.exp(-(distance_km(place, tuple(COORDS[row])) ** 2) / (2 * bandwidth_km**2))
            for vote, row in zip(votes, near, strict=True)
        ]

    density = [math.fsum(voices(tuple(COORDS[row]))) for row in near]
    best = near[max(range(k), key=lambda number: density[number])]
    of_country = {}
    for row, voice in zip(near, voices(tuple(COORDS[best])), strict=True):
        of_country[COUNTRIES[row]] = of_country.get(COUNTRIES[row], 0.0) + voice
    return COORDS[best], max(of_country, key=of_country.get), near, density, votes


@pytest.mark.parametrize(
    ("k", "bandwidth_km", "temperature"),
    [(1, 100.0, None), (7, 2000.0, None), (12, 900.0, 0.2), (60, 500.0, 0.05)],
)
def test_answers_are_the_formulas(k, bandwidth_km, temperature):
    images = NearestImages(
        FEATURES, COORDS, COUNTRIES, k=k, bandwidth_km=bandwidth_km, temperature=temperature
    )
    answer = images.predict(QUERIES)
    for row, query in enumerate(QUERIES):
        place, country, near, density, votes = naive_answer(query, k, bandwidth_km, temperature)
        assert answer.coords[row].tolist() == place.tolist()
        assert answer.countries[row] == country
        assert answer.neighbours[row].tolist() == near
        # float32 cosines, divided by the temperature.
        np.testing.assert_allclose(answer.density[row], density, rtol=1e-4)
        np.testing.assert_allclose(answer.weights[row], votes, rtol=1e-4)


def test_images_in_small_pieces_are_answered_alike(monkeypatch):
    images = NearestImages(FEATURES, COORDS, COUNTRIES, k=7, mean_shift=True)
    whole = images.predict(QUERIES)
    monkeypatch.setattr(NearestImages, "_n_at_a_time", 2)
    for one, other in zip(whole, images.predict(QUERIES), strict=True):
        assert np.array_equal(one, other)


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


def test_mean_shift_ends_between_the_neighbours():
    places = [(10.0, 179.9), (10.0, -179.9), (10.2, 180.0), (-40.0, 0.0)]
    images = NearestImages(np.eye(4), places, ["FJ"] * 4, k=4, bandwidth_km=200, mean_shift=True)
    ((latitude, longitude),) = images.predict([[1.0] * 4]).coords
    # The three weigh nearly the same: the mean of their places, across the antimeridian.
    assert latitude == pytest.approx(10.067, abs=1e-3)
    assert abs(longitude) == pytest.approx(180.0, abs=1e-4)


def test_mean_shift_never_ends_less_dense():
    plain = NearestImages(FEATURES, COORDS, COUNTRIES, k=12, bandwidth_km=900)
    shifted = NearestImages(FEATURES, COORDS, COUNTRIES, k=12, bandwidth_km=900, mean_shift=True)
    before, after = plain.predict(QUERIES), shifted.predict(QUERIES)
    places = COORDS[after.neighbours]
    density = plain._voices(after.coords, places, after.weights).sum(axis=1)
    assert (density >= before.density.max(axis=1) * (1 - 1e-9)).all()
    assert (density > before.density.max(axis=1) * 1.001).any()


def test_no_image_has_no_answer():
    images = NearestImages(FEATURES, COORDS, COUNTRIES, k=3, mean_shift=True)
    answer = images.predict(np.empty((0, 8)))
    assert answer.coords.shape == (0, 2)
    assert answer.countries.shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must lie"),
        ({"k": 61}, "k must lie"),
        ({"bandwidth_km": 0.0}, "bandwidth_km"),
        ({"temperature": 0.0}, "temperature"),
        ({"countries": COUNTRIES[1:]}, "as many places and countries"),
        ({"coords": COORDS[1:]}, "as many places and countries"),
        ({"coords": COORDS + 90.0}, "Latitude"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    arguments = {"features": FEATURES, "coords": COORDS, "countries": COUNTRIES, **options}
    with pytest.raises(GeolocError, match=message):
        NearestImages(**arguments)
