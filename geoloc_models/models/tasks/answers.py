"""From classes to places: what a classifier answers with, in plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geocells import CellPartition, sphere
from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Predictions


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
    if len(coords) == 0:
        raise GeolocError("There is not one training image to take countries from.")
    names = sorted(set(countries.tolist()))
    centres = [sphere.spherical_mean(coords[countries == name]) for name in names]
    return Answers(np.asarray(centres, dtype=np.float64), np.array(names, dtype=object))


def answers_of_cells(cells: CellPartition) -> Answers:
    """Each cell answers with its location, and with its group as the country.

    Parameters
    ----------
    cells : CellPartition
        Fitted with countries as groups.

    Returns
    -------
    Answers
        One class per cell, in the order of their labels.
    """
    if cells.groups is None:
        raise GeolocError(
            "These cells belong to no country; fit them with "
            "CellBuilder(...).fit(coords, groups=countries)."
        )
    return Answers(
        np.asarray(cells.locations, dtype=np.float64), np.asarray(cells.groups, dtype=object)
    )


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
    if probabilities.ndim != 2 or probabilities.shape[1] != answers.n_classes:
        raise GeolocError(
            f"Probabilities of shape {probabilities.shape} do not fit {answers.n_classes} "
            "classes; one column per class is needed."
        )
    best = probabilities.argmax(axis=1)
    return Predictions(answers.coords[best], answers.countries[best], probabilities, rows)
