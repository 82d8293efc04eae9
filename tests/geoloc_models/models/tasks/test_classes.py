"""From classes to places, worked by hand: countries of points, shares of probability."""

import numpy as np
import pytest

from geocells import CellBuilder
from geoloc_models.models.tasks import (
    ClassLocations,
    classes_of_cells,
    classes_of_countries,
    decode_argmax,
    labels_of_cells,
)

COORDS = np.array([(59.3, 18.0), (47.0, 8.0), (10.0, -179.0)])
COUNTRIES = np.array(["SE", "CH", "FJ"], dtype=object)
IMAGES = (np.array([(59.0, 18.0), (59.6, 18.0), (47.0, 8.0)]), np.array([0, 0, 1]))


def test_the_most_probable_class_answers():
    two = ClassLocations("countries", COORDS[:2], COUNTRIES[:2])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], dtype=np.float32)
    guesses = decode_argmax(probabilities, two, np.array([7, 3, 5]))
    assert guesses.coords.tolist() == COORDS[[0, 1, 0]].tolist()
    assert guesses.countries.tolist() == ["SE", "CH", "SE"]
    assert guesses.rows.tolist() == [7, 3, 5]
    np.testing.assert_array_equal(guesses.confidence, np.float32([0.9, 0.8, 0.5]))


def test_a_country_answers_with_its_training_centre():
    # Across the antimeridian, where a plain mean of longitudes would give 0.
    coords = [[0, 179], [0, -179], [10, 50]]
    classes = classes_of_countries(coords, ["B", "B", "A"])
    assert classes.countries.tolist() == ["A", "B"]
    np.testing.assert_allclose(classes.coords[0], [10, 50], atol=1e-9)
    assert abs(classes.coords[1, 1]) == pytest.approx(180, abs=1e-9)


def test_a_cell_answers_with_its_location_and_group():
    coords = np.array([[47.0, 8.0]] * 3 + [[59.0, 18.0]] * 3)
    countries = np.array(["CH"] * 3 + ["SE"] * 3, dtype=object)
    builder = CellBuilder(2, method="consolidated").fit(coords, groups=countries)
    classes = classes_of_cells(builder.cells_)
    np.testing.assert_allclose(classes.coords[builder.labels_], coords, atol=1e-9)
    assert classes.countries[builder.labels_].tolist() == countries.tolist()


def test_cells_without_groups_are_of_the_country_of_their_place():
    coords = [[47.0, 8.0], [59.0, 18.0], [0.0, -140.0]]
    cells = CellBuilder(1, method="top_down").fit(coords).cells_
    classes = classes_of_cells(cells)
    places = dict(zip(classes.countries.tolist(), classes.coords.round().tolist(), strict=True))
    assert places == {"CH": [47, 8], "SE": [59, 18], "": [0, -140]}
    labels = labels_of_cells(cells, coords, ["CH", "NO", "SE"])
    assert classes.countries[labels].tolist() == ["CH", "SE", ""]


def test_groups_by_three_letters_are_countries_too():
    coords = [[47.0, 8.0], [59.0, 18.0]]
    cells = CellBuilder(1, method="top_down").fit(coords, groups=["CHE", "SWE"]).cells_
    assert classes_of_cells(cells).countries.tolist() == ["CH", "SE"]
    assert labels_of_cells(cells, [*coords, [60.0, 10.0]], ["CH", "SE", "NO"]).tolist() == [
        0,
        1,
        -1,
    ]


def test_a_point_is_in_the_country_of_the_nearest_image_across_the_antimeridian():
    classes = ClassLocations("cells", COORDS, COUNTRIES, images=IMAGES)
    points = [(60.0, 18.0), (46.0, 7.0), (10.0, 179.9)]
    assert classes.country_at(points).tolist() == ["SE", "CH", "FJ"]
    assert classes.country_at([]).tolist() == []


def test_a_class_is_scattered_where_half_of_its_images_are_far_from_its_point():
    images = np.array([(59.0, 18.0), (68.0, 20.0), (65.0, 17.0), (47.0, 8.0), (46.9, 8.0)])
    labels = np.array([0, 0, 0, 1, 1])
    classes = ClassLocations("cells", COORDS, COUNTRIES, images=(images, labels))
    assert classes.is_scattered.tolist() == [True, False, False]
    assert ClassLocations("gallery", COORDS, COUNTRIES).is_scattered.tolist() == [False] * 3
    assert ClassLocations("countries", COORDS, COUNTRIES).is_scattered.tolist() == [True] * 3


def test_a_class_shares_its_probability_among_its_images_or_bears_it_at_its_point():
    classes = ClassLocations("cells", COORDS, COUNTRIES, images=IMAGES)
    coords, shares = classes.spread([0.6, 0.3, 0.1])
    np.testing.assert_array_equal(coords, np.vstack([IMAGES[0], COORDS[2:]]))
    np.testing.assert_allclose(shares, [0.3, 0.3, 0.3, 0.1])
    assert len(classes.spread([0.0, 1.0, 0.0])[1]) == 1


def test_countries_without_images_have_no_decoder_and_cells_stand_at_their_points():
    assert ClassLocations("countries", COORDS, COUNTRIES).decoder is None
    cells = ClassLocations("cells", COORDS, COUNTRIES)
    assert cells.decoder.predict([[0.1, 0.8, 0.1]]).tolist() == [COORDS[1].tolist()]
    gallery = ClassLocations("gallery", COORDS, COUNTRIES)
    assert gallery.decoder.predict([[0.0, 0.0, 1.0]])[0].tolist() == pytest.approx([10.0, -179.0])
    known = ClassLocations("countries", COORDS, COUNTRIES, images=IMAGES)
    masses = known.decoder.mass_within([[1.0, 0.0, 0.0]], [(59.0, 18.0)], [25.0])
    assert masses.tolist() == [[0.5]]
