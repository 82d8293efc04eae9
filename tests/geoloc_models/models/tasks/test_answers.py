"""From classes to places, worked by hand."""

import numpy as np
import pytest

from geocells import CellBuilder
from geoloc_models.models.tasks import (
    Answers,
    answers_of_cells,
    answers_of_countries,
    decode_argmax,
    labels_of_cells,
)

TWO = Answers(np.array([[10.0, 20.0], [30.0, 40.0]]), np.array(["A", "B"], dtype=object))


def test_the_most_probable_class_answers():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], dtype=np.float32)
    guesses = decode_argmax(probabilities, TWO, np.array([7, 3, 5]))
    assert guesses.coords.tolist() == [[10, 20], [30, 40], [10, 20]]
    assert guesses.countries.tolist() == ["A", "B", "A"]
    assert guesses.rows.tolist() == [7, 3, 5]
    np.testing.assert_array_equal(guesses.confidence, np.float32([0.9, 0.8, 0.5]))


def test_a_country_answers_with_its_training_centre():
    # Across the antimeridian, where a plain mean of longitudes would give 0.
    coords = [[0, 179], [0, -179], [10, 50]]
    answers = answers_of_countries(coords, ["B", "B", "A"])
    assert answers.countries.tolist() == ["A", "B"]
    np.testing.assert_allclose(answers.coords[0], [10, 50], atol=1e-9)
    assert abs(answers.coords[1, 1]) == pytest.approx(180, abs=1e-9)


def test_a_cell_answers_with_its_location_and_group():
    coords = np.array([[47.0, 8.0]] * 3 + [[59.0, 18.0]] * 3)
    countries = np.array(["CH"] * 3 + ["SE"] * 3, dtype=object)
    builder = CellBuilder(2, method="consolidated").fit(coords, groups=countries)
    answers = answers_of_cells(builder.cells_)
    np.testing.assert_allclose(answers.coords[builder.labels_], coords, atol=1e-9)
    assert answers.countries[builder.labels_].tolist() == countries.tolist()


def test_cells_without_groups_are_of_the_country_of_their_place():
    coords = [[47.0, 8.0], [59.0, 18.0], [0.0, -140.0]]
    cells = CellBuilder(1, method="top_down").fit(coords).cells_
    answers = answers_of_cells(cells)
    places = dict(zip(answers.countries.tolist(), answers.coords.round().tolist(), strict=True))
    assert places == {"CH": [47, 8], "SE": [59, 18], "": [0, -140]}
    labels = labels_of_cells(cells, coords, ["CH", "NO", "SE"])
    assert answers.countries[labels].tolist() == ["CH", "SE", ""]


def test_groups_by_three_letters_are_countries_too():
    coords = [[47.0, 8.0], [59.0, 18.0]]
    cells = CellBuilder(1, method="top_down").fit(coords, groups=["CHE", "SWE"]).cells_
    assert answers_of_cells(cells).countries.tolist() == ["CH", "SE"]
    assert labels_of_cells(cells, [*coords, [60.0, 10.0]], ["CH", "SE", "NO"]).tolist() == [
        0,
        1,
        -1,
    ]
