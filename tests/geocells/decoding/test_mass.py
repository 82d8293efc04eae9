from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import mass_radius, mass_within
from strategies import coordinates

from geocells.decoding import ExpectedUtility

KM = 180.0 / (np.pi * 6371.0088)
"""Degrees of latitude in a kilometre."""


@st.composite
def problems(draw: st.DrawFn):
    coords = draw(coordinates(max_rows=80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_cells = draw(st.sampled_from([1, 3, len(coords)]), label="cells")
    n_cells = min(n_cells, len(coords))
    labels = np.concatenate([np.arange(n_cells), rng.integers(n_cells, size=len(coords) - n_cells)])
    row = rng.dirichlet(np.full(n_cells, 0.5))
    return coords, labels, row[None] / row.sum()


@given(problems())
def test_mass_within_counts_images_one_by_one(problem):
    coords, labels, rows = problem
    decoder = ExpectedUtility(resolution_km=0).fit(coords, labels)
    radii_km = (0.0, 3.0, 100.0, 5000.0, 20015.2)
    within = decoder.mass_within(rows, coords[:1], radii_km)[0]
    images = [tuple(x) for x in coords.tolist()]
    expected = [
        mass_within(images[0], radius, rows[0].tolist(), images, labels.tolist())
        for radius in radii_km
    ]
    assert within == pytest.approx(expected, abs=1e-9)


@given(problems(), st.floats(0.01, 1.0))
def test_mass_radius_is_the_distance_at_which_the_mass_is_reached(problem, mass):
    coords, labels, rows = problem
    decoder = ExpectedUtility(resolution_km=0).fit(coords, labels)
    images = [tuple(x) for x in coords.tolist()]
    expected = mass_radius(images[0], mass, rows[0].tolist(), images, labels.tolist())
    found = decoder.mass_radius(rows, coords[:1], mass)[0]
    # Bisected to 6 mm; near the antipode the chord tells an angle to 4 m only.
    assert found == pytest.approx(expected, abs=1e-5 if expected < 20_000 else 5e-3)


def test_the_radius_at_which_the_mass_goes_beyond_a_level():
    coords = [(0.0, 0.0), (10 * KM, 0.0), (100 * KM, 0.0)]
    decoder = ExpectedUtility(resolution_km=0).fit(coords, [0, 1, 2])
    rows, point = [[0.5, 0.25, 0.25]], [(0.0, 0.0)]
    assert decoder.mass_radius(rows, point, 0.5)[0] == 0.0
    assert decoder.mass_radius(rows, point, 0.5, beyond=True) == pytest.approx([10.0], abs=1e-5)
    assert decoder.mass_radius(rows, point, 0.75) == pytest.approx([10.0], abs=1e-5)
    assert decoder.mass_radius(rows, point, 0.8) == pytest.approx([100.0], abs=1e-5)
    assert decoder.mass_radius(rows, point, 1.0) == pytest.approx([100.0], abs=1e-5)
    assert decoder.mass_radius(rows, point, 1.0, beyond=True)[0] == np.inf


def test_every_row_may_have_radii_of_its_own():
    decoder = ExpectedUtility(resolution_km=0).fit([(0.0, 0.0), (10 * KM, 0.0)], [0, 1])
    rows, points = [[0.5, 0.5]] * 2, [(0.0, 0.0)] * 2
    assert decoder.mass_within(rows, points, [[5.0], [15.0]]).tolist() == [[0.5], [1.0]]
    assert decoder.mass_within(rows, points, [5.0, 15.0]).tolist() == [[0.5, 1.0]] * 2


def test_the_confidence_of_an_answer_is_the_mass_around_it():
    rng = np.random.default_rng(0)
    coords = rng.normal((47, 8), 2, size=(300, 2))
    decoder = ExpectedUtility(radii_km=(25, 200)).fit(coords, np.arange(300) % 7)
    rows = rng.dirichlet(np.ones(7), size=10)
    decoded = decoder.predict_with_confidence(rows, within_km=(25, 200))
    assert decoded.utilities == pytest.approx(decoded.within.mean(axis=1))
    assert decoded.within.tolist() == decoder.mass_within(rows, decoded.points, (25, 200)).tolist()


def test_batches_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    coords = rng.normal((47, 8), 2, size=(300, 2))
    decoder = ExpectedUtility().fit(coords, np.arange(300) % 7)
    rows = rng.dirichlet(np.ones(7), size=10)
    radii_km = rng.uniform(1, 500, size=(10, 2))
    whole = (
        decoder.mass_within(rows, coords[:10], radii_km),
        decoder.mass_radius(rows, coords[:10], 0.5),
    )
    monkeypatch.setattr("geocells.decoding.expected_utility.BATCH_BYTES", 1)  # a row at a time
    assert decoder.mass_within(rows, coords[:10], radii_km).tolist() == whole[0].tolist()
    assert decoder.mass_radius(rows, coords[:10], 0.5).tolist() == whole[1].tolist()


def test_unsound_radii_masses_and_points_are_refused():
    decoder = ExpectedUtility().fit([(47.0, 8.0)], [0])
    one, point = [[1.0]], [(47.0, 8.0)]
    with pytest.raises(ValueError, match="radii_km must be numbers of km of at least 0"):
        decoder.mass_within(one, point, [-1.0])
    with pytest.raises(ValueError, match="a row for each of the 1 points"):
        decoder.mass_within(one, point, [[1.0], [2.0]])
    with pytest.raises(ValueError, match="mass must be a probability"):
        decoder.mass_radius(one, point, 1.5)
    with pytest.raises(ValueError, match="points must have one row for each of the 1 rows"):
        decoder.mass_radius(one, point * 2, 0.5)
    with pytest.raises(ValueError, match="Latitude must lie in"):
        decoder.mass_within(one, [(100.0, 0.0)], [1.0])
