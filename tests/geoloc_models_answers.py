"""Predictions made up for the tests of evaluations and reports."""

import numpy as np

from geoloc_models.evaluation import Predictions

RADIUS_KM = 6371.0088
DEGREE_KM = RADIUS_KM * np.pi / 180.0


def answers(coords, countries, *, probabilities=None):
    """Predictions of rows 0, 1, ..."""
    return Predictions(
        coords=np.asarray(coords, dtype=np.float64).reshape(-1, 2),
        countries=np.array(countries, dtype=object),
        probabilities=probabilities,
        rows=np.arange(len(countries)),
    )


def along_equator(distances_km):
    """Points at these distances east of (0, 0)."""
    return np.column_stack([np.zeros(len(distances_km)), np.asarray(distances_km) / DEGREE_KM])
