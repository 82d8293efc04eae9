"""What a model's probabilities are over, and where on earth that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geocells import CellPartition, decoding, sphere
from geoloc_models.coordinates import as_coords
from geoloc_models.countries.lookup import country_of
from geoloc_models.countries.names import alpha_2
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Images = tuple[FloatArray, IntArray]

_SCATTERED_KM = 100.0
_DECODER_BYTES = 2**29


@dataclass(frozen=True)
class ClassLocations:
    """What a distribution over classes says about the earth.

    Parameters
    ----------
    kind : {"cells", "countries", "gallery"}
        What the classes are; in a gallery each place is a class of its own.
    coords : ndarray
        (C, 2) float64, the point that each class answers with, in degrees. C classes.
    countries : ndarray
        (C,) object, the country of each.
    cells : CellPartition, optional
        Outlines of the classes, where they are cells.
    images : tuple of ndarray, optional
        (m, 2) float64 coordinates of the training images in degrees and (m,) int64 classes, where
        a bundle stores them.
    """

    kind: str
    coords: FloatArray
    countries: npt.NDArray[np.object_]
    cells: CellPartition | None = None
    images: Images | None = None

    def __post_init__(self) -> None:
        if self.coords.shape != (len(self.countries), 2):
            raise GeolocError(
                f"{len(self.countries)} classes need coordinates of shape "
                f"({len(self.countries)}, 2), not {self.coords.shape}."
            )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.coords)

    @property
    def knows_photos(self) -> bool:
        """Whether it says where training photos were taken."""
        return self.kind == "gallery" or self.images is not None

    @property
    def has_decoder(self) -> bool:
        """Whether there is a :attr:`decoder`, without fitting it."""
        return self.kind == "cells" or self.knows_photos

    @cached_property
    def decoder(self) -> decoding.ExpectedUtility | None:
        """Decoder that knows where the images of each class are; None where that is unknown.

        Without training images a cell stands at its location, and a country, which is no point,
        has no decoder.
        """
        if not self.has_decoder:
            return None
        options: dict[str, Any] = {"max_memory_bytes": _DECODER_BYTES}
        if self.kind == "gallery":
            return decoding.ExpectedUtility.from_points(self.coords, **options)
        images = self.images or (self.coords, np.arange(self.n_classes))
        return decoding.ExpectedUtility(self.coords, **options).fit(*images)

    @cached_property
    def _places(self) -> Images:
        """Coordinates that belong to classes, all classes included, and the class of each."""
        labels = np.arange(self.n_classes)
        if self.images is None:
            return self.coords, labels
        coords, image_labels = self.images
        empty = np.setdiff1d(labels, image_labels)
        return np.concatenate([coords, self.coords[empty]]), np.concatenate([image_labels, empty])

    @cached_property
    def is_scattered(self) -> npt.NDArray[np.bool_]:
        """(C,) whether half of a class's images lie over 100 km from its point: no village names it.

        Always of a country; never of a place of a gallery.
        """
        if self.kind == "countries":
            return np.ones(self.n_classes, dtype=bool)
        coords, labels = self._places
        is_far = sphere.haversine(coords, self.coords[labels]) > _SCATTERED_KM
        counts = np.bincount(labels, minlength=self.n_classes)
        scattered: npt.NDArray[np.bool_] = (
            np.bincount(labels, weights=is_far, minlength=self.n_classes) > counts / 2
        )
        return scattered

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(sphere.to_unit_vectors(self._places[0]))

    def country_at(self, points: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Country of the training image, or the class, nearest to each of (n, 2) points."""
        coords = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if len(coords) == 0:
            return np.empty(0, dtype=object)
        _, nearest = self._tree.query(sphere.to_unit_vectors(coords))
        countries: npt.NDArray[np.object_] = self.countries[self._places[1][nearest]]
        return countries

    def spread(self, probabilities: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Places (m, 2) and the probability (m,) that each of them bears, to draw a surface of.

        A class shares its probability among its training images; those of probability 0 are left
        out.

        Parameters
        ----------
        probabilities : array-like
            (C,), one distribution.
        """
        coords, labels = self._places
        counts = np.bincount(labels, minlength=self.n_classes)
        shares = np.asarray(probabilities, dtype=np.float64)[labels] / counts[labels]
        return coords[shares > 0], shares[shares > 0]

    def labels_of(self, coords: npt.ArrayLike, countries: npt.ArrayLike) -> IntArray | None:
        """True class of photos, as the probabilities count them.

        Parameters
        ----------
        coords, countries : array-like
            (n, 2) degrees and (n,).

        Returns
        -------
        ndarray or None
            (n,) int64, -1 for a photo of no class; None for a gallery.
        """
        if self.kind == "gallery":
            return None
        names = np.asarray(countries, dtype=object)
        if self.cells is not None:
            return labels_of_cells(self.cells, coords, names)
        label_of = {str(name): label for label, name in enumerate(self.countries)}
        return np.array([label_of.get(str(name), -1) for name in names], dtype=np.int64)


def classes_of_countries(coords: npt.ArrayLike, countries: npt.ArrayLike) -> ClassLocations:
    """Each country answers with its training centre, the spherical mean of its images.

    Parameters
    ----------
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    countries : array-like
        (n,) their countries.

    Returns
    -------
    ClassLocations
        One class per country, in the order of their names.
    """
    coords = np.asarray(coords, dtype=np.float64)
    countries = np.asarray(countries, dtype=object)
    names = sorted(set(countries.tolist()))
    centres = [sphere.spherical_mean(coords[countries == name]) for name in names]
    return ClassLocations("countries", np.asarray(centres), np.array(names, dtype=object))


def classes_of_cells(cells: CellPartition) -> ClassLocations:
    """Each cell answers with its location, and with a country.

    Parameters
    ----------
    cells : CellPartition
        Its groups are the countries, by code; without groups, each cell is of the country that its location
        lies in, or is nearest to.

    Returns
    -------
    ClassLocations
        One class per cell, in the order of their labels.
    """
    locations = np.asarray(cells.locations, dtype=np.float64)
    if cells.groups is not None:
        countries = np.array([alpha_2(str(group)) for group in cells.groups], dtype=object)
    else:
        codes = [code or "" for code in country_of(locations, tolerance_km=500.0)]
        countries = np.array(codes, dtype=object)  # none far out in an ocean
    return ClassLocations("cells", locations, countries, cells)


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
    probabilities: npt.NDArray[np.float32], classes: ClassLocations, rows: npt.NDArray[np.int64]
) -> Predictions:
    """Answer each image with the place of its most probable class.

    Parameters
    ----------
    probabilities : ndarray
        (n, C) float32. Of equal ones, the first class.
    classes : ClassLocations
        C classes.
    rows : ndarray
        (n,) int64, the rows of the photo table.

    Returns
    -------
    Predictions
    """
    best = probabilities.argmax(axis=1)
    return Predictions(classes.coords[best], classes.countries[best], probabilities, rows)
