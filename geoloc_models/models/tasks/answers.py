"""From classes to places: what a classifier answers with, in plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geocells import CellPartition, sphere
from geoloc_models._errors import GeolocError
from geoloc_models.countries.lookup import country_of
from geoloc_models.countries.names import alpha_2
from geoloc_models.evaluation import Predictions
from geoloc_models.tables.coordinates import as_coords


@dataclass(frozen=True)
class Answers:
    """The place that each class of a classifier stands for.

    Parameters
    ----------
    coords : ndarray
        (C, 2) float64, latitude and longitude in degrees. C classes.
    countries : ndarray
        (C,) object, country.
    """

    coords: npt.NDArray[np.float64]
    countries: npt.NDArray[np.object_]

    def __post_init__(self) -> None:
        if self.coords.shape != (len(self.countries), 2):
            raise GeolocError(
                f"{len(self.countries)} classes need coordinates of shape "
                f"({len(self.countries)}, 2), not {self.coords.shape}."
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.countries)

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return {"countries": self.countries.tolist(), "coords": self.coords.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answers:
        """Make answers again from :meth:`to_dict`."""
        return cls(
            np.asarray(values["coords"], dtype=np.float64).reshape(-1, 2),
            np.array(values["countries"], dtype=object),
        )


def answers_of_countries(coords: npt.ArrayLike, countries: npt.ArrayLike) -> Answers:
    """Each country answers with its training centre, the spherical mean of its images.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    countries : array-like
        (n,) their countries.

    Returns
    -------
    Answers
        One class per country, in the order of their names.
    """
    coords = np.asarray(coords, dtype=np.float64)
    countries = np.asarray(countries, dtype=object)
    names = sorted(set(countries.tolist()))
    centres = [sphere.spherical_mean(coords[countries == name]) for name in names]
    return Answers(np.asarray(centres, dtype=np.float64), np.array(names, dtype=object))


def answers_of_cells(cells: CellPartition) -> Answers:
    """Each cell answers with its location, and with a country.

    Parameters
    ----------
    cells : CellPartition
        Its groups are the countries, by code; without groups, each cell is of the country that its location
        lies in, or is nearest to.

    Returns
    -------
    Answers
        One class per cell, in the order of their labels.
    """
    locations = np.asarray(cells.locations, dtype=np.float64)
    if cells.groups is not None:
        return Answers(locations, np.array([alpha_2(str(g)) for g in cells.groups], dtype=object))
    found = country_of(locations, tolerance_km=500.0)
    countries = [code or "" for code in found]  # none far out in an ocean
    return Answers(locations, np.array(countries, dtype=object))


def labels_of_cells(
    cells: CellPartition, coords: npt.ArrayLike, countries: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Cell of each photo, (n,) int64; where cells are of countries, -1 in one without cells.

    Parameters
    ----------
    cells : CellPartition
        With countries as groups, or without groups.
    coords, countries : array-like
        (n, 2) degrees and (n,), of the photos.
    """
    points, names = as_coords(coords), np.asarray(countries, dtype=object)
    if cells.groups is None:
        labels: npt.NDArray[np.int64] = cells.assign(points)
        return labels
    group_of_country = {alpha_2(str(group)): group for group in cells.groups}
    known = np.isin(names, list(group_of_country))
    labels = np.full(len(names), -1, dtype=np.int64)
    if known.any():
        groups = np.array([group_of_country[name] for name in names[known]], dtype=object)
        labels[known] = cells.assign(points[known], groups=groups)
    return labels


def decode_argmax(
    probabilities: npt.NDArray[np.float32], answers: Answers, rows: npt.NDArray[np.int64]
) -> Predictions:
    """Answer each image with the place of its most probable class.

    Parameters
    ----------
    probabilities : ndarray
        (n, C) float32. Of equal ones, the first class.
    answers : Answers
        C classes.
    rows : ndarray
        (n,) int64, the rows of the photo table.

    Returns
    -------
    Predictions
    """
    best = probabilities.argmax(axis=1)
    return Predictions(answers.coords[best], answers.countries[best], probabilities, rows)
