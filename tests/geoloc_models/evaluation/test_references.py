"""Guesses that never look at the image, against cases worked by hand."""

import numpy as np
import pytest
from geoloc_models_answers import DEGREE_KM

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import references, summarise_training


def test_references_of_a_case_worked_by_hand():
    training = summarise_training([[0, 10], [0, 20], [0, 30]], ["B", "A", "B"])
    assert training.majority_country == "B"
    assert training.n_train == 3
    # Three points on the equator, symmetric about 20 degrees east.
    assert training.centre == pytest.approx((0.0, 20.0), abs=1e-9)
    figures = references(training, [[0, 20], [0, 21], [0, 23]], ["A", "B", "B"])
    assert figures["majority_country"] == pytest.approx(200 / 3)
    assert figures["centre_median_km"] == pytest.approx(DEGREE_KM, rel=1e-9)


def test_of_equal_countries_the_first_by_name_leads():
    assert summarise_training([[0, 0], [0, 0]], ["B", "A"]).majority_country == "A"


def test_references_need_a_test_image():
    with pytest.raises(GeolocError, match="not one test image"):
        references(summarise_training([[0, 0]], ["A"]), np.empty((0, 2)), [])
