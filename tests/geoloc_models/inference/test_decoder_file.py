"""Where the training images of classes are: stored and read."""

import numpy as np
import pandas as pd
import pytest

from geoloc_models.errors import GeolocError
from geoloc_models.inference.decoder_file import DECODER_FILE, read_decoder, save_decoder

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
