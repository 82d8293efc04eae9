"""Where classes are: kept and read, countries of points, shares of probability."""

import numpy as np
import pandas as pd
import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.inference.class_locations import (
    DECODER_FILE,
    ClassLocations,
    read_decoder,
    save_decoder,
)

COORDS = np.array([(59.3, 18.0), (47.0, 8.0), (10.0, -179.0)])
COUNTRIES = np.array(["SE", "CH", "FJ"], dtype=object)
IMAGES = (np.array([(59.0, 18.0), (59.6, 18.0), (47.0, 8.0)]), np.array([0, 0, 1]))


def test_what_is_kept_is_read_again_without_images_of_no_class(tmp_path):
    save_decoder(tmp_path, np.vstack([IMAGES[0], [(0.0, 0.0)]]), [*IMAGES[1], -1])
    coords, labels = read_decoder(tmp_path, 2)
    np.testing.assert_array_equal(coords, IMAGES[0])
    np.testing.assert_array_equal(labels, IMAGES[1])


def test_no_file_is_nothing_known_and_a_damaged_one_is_refused(tmp_path):
    assert read_decoder(tmp_path, 2) is None
    with pytest.raises(GeolocError, match="No training image"):
        save_decoder(tmp_path, IMAGES[0], [-1, -1, -1])
    save_decoder(tmp_path, *IMAGES)
    with pytest.raises(GeolocError, match="two bundles"):
        read_decoder(tmp_path, 1)
    (tmp_path / DECODER_FILE).write_bytes(b"PAR1")
    with pytest.raises(GeolocError, match="is damaged"):
        read_decoder(tmp_path, 2)
    off_the_globe = {"latitude": [1.0], "longitude": [2.0**31], "cell": [0]}
    for columns in ({"latitude": [1.0]}, off_the_globe):
        pd.DataFrame(columns).to_parquet(tmp_path / DECODER_FILE)
        with pytest.raises(GeolocError, match="is damaged"):
            read_decoder(tmp_path, 2)


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
