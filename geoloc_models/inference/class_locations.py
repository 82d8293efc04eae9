"""Where a model's classes are, and the decoder that knows the training images of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from geocells import CellPartition, decoding, sphere
from geoloc_models._errors import GeolocError, reason_of
from geoloc_models._files import replacing
from geoloc_models.tables.coordinates import as_coords, check_coordinates

FloatArray = npt.NDArray[np.float64]
Images = tuple[FloatArray, npt.NDArray[np.int64]]

DECODER_FILE = "decoder.parquet"
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
        (m, 2) float64 coordinates of the training images in degrees and (m,) int64 classes, as
        :func:`save_decoder` keeps them.
    """

    kind: str
    coords: FloatArray
    countries: npt.NDArray[np.object_]
    cells: CellPartition | None = None
    images: Images | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.coords)

    @cached_property
    def decoder(self) -> decoding.ExpectedUtility | None:
        """Decoder that knows where the images of each class are; None where nobody knows.

        Without training images a cell stands at its location, and a country, which is no point,
        has no decoder.
        """
        options: dict[str, Any] = {"max_memory_bytes": _DECODER_BYTES}
        if self.kind == "gallery":
            return decoding.ExpectedUtility.from_points(self.coords, **options)
        decoder = decoding.ExpectedUtility(self.coords, **options)
        if self.images is not None:
            return decoder.fit(*self.images)
        if self.kind == "cells":
            return decoder.fit(self.coords, np.arange(self.n_classes))
        return None

    @cached_property
    def geoscore_decoder(self) -> decoding.ExpectedUtility:
        """Decoder of the highest expected GeoScore; where :attr:`decoder` is known."""
        if self.decoder is None:
            raise GeolocError("Nobody knows where the images of these classes are.")
        options: dict[str, Any] = {"utility": "geoscore", "max_memory_bytes": _DECODER_BYTES}
        if self.kind == "gallery":
            return decoding.ExpectedUtility.from_points(self.coords, **options)
        images = self.images or (self.coords, np.arange(self.n_classes))
        return decoding.ExpectedUtility(self.coords, **options).fit(*images)

    @cached_property
    def _where(self) -> Images:
        """Coordinates that belong to classes, all classes included, and the class of each."""
        own = np.arange(self.n_classes)
        if self.images is None:
            return self.coords, own
        coords, labels = self.images
        empty = np.setdiff1d(own, labels)
        return np.concatenate([coords, self.coords[empty]]), np.concatenate([labels, empty])

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(sphere.to_unit_vectors(self._where[0]))

    def country_at(self, points: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Country of the training image, or the class, nearest to each of (n, 2) points."""
        coords = as_coords(points)
        if len(coords) == 0:
            return np.empty(0, dtype=object)
        _, nearest = self._tree.query(sphere.to_unit_vectors(coords))
        found: npt.NDArray[np.object_] = self.countries[self._where[1][nearest]]
        return found

    def spread(self, probabilities: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Places (m, 2) and the probability (m,) that each of them bears, to draw a surface of.

        A class shares its probability among its training images; those of probability 0 are left
        out.

        Parameters
        ----------
        probabilities : array-like
            (C,), one distribution.
        """
        own = np.asarray(probabilities, dtype=np.float64)
        coords, labels = self._where
        counts = np.bincount(labels, minlength=self.n_classes)
        shares = own[labels] / counts[labels]
        bears = shares > 0
        return coords[bears], shares[bears]


def save_decoder(folder: str | Path, coords: npt.ArrayLike, labels: npt.ArrayLike) -> Path:
    """Keep where the training images of each class are, beside a model's bundle.

    Parameters
    ----------
    folder : path
        The bundle, already saved (saving it again takes the file away).
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    labels : array-like
        (n,) class of each, as the model's probabilities count them: cells, or countries in the
        order of their names. -1 for none, which leaves the image out.

    Returns
    -------
    Path
        ``decoder.parquet``, with the columns ``latitude``, ``longitude`` and ``cell``.

    Raises
    ------
    GeolocError
        If a coordinate is not on the globe, the lengths differ, or no image has a class.

    Notes
    -----
    Whoever gets the bundle gets these coordinates.
    """
    folder = Path(folder)
    if not (folder / "card.json").is_file():
        raise GeolocError(f"{folder} is no model bundle: card.json is missing. Save it first.")
    points = as_coords(coords)
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iu" or classes.shape != (len(points),):
        raise GeolocError(
            f"Each of the {len(points)} training images needs a whole number as its class; got "
            f"{classes.dtype} of shape {classes.shape}."
        )
    kept = classes >= 0
    if not kept.any():
        raise GeolocError("No training image has a class: there is nothing to decode by.")
    frame = pd.DataFrame(
        {
            "latitude": points[kept, 0],
            "longitude": points[kept, 1],
            "cell": classes[kept].astype(np.int32),
        }
    )
    path = folder / DECODER_FILE
    with replacing(path) as partial:
        frame.to_parquet(partial, index=False)
    return path


def read_decoder(folder: str | Path, n_classes: int) -> Images | None:
    """Coordinates and classes that :func:`save_decoder` kept; None where there are none.

    Raises
    ------
    GeolocError
        If the file is damaged, or names classes that the model does not have.
    """
    path = Path(folder) / DECODER_FILE
    if not path.is_file():
        return None
    try:
        frame = pd.read_parquet(path, columns=["latitude", "longitude", "cell"])
        coords = as_coords(frame[["latitude", "longitude"]].to_numpy(np.float64))
        check_coordinates(coords[:, 0], coords[:, 1], path.name)
        labels = frame["cell"].to_numpy(np.int64)
    except Exception as error:  # damaged metadata: AttributeError, RecursionError, ArrowException
        reason = reason_of(error)
        raise GeolocError(
            f"{path} is damaged ({reason}). Bring back a whole copy, or delete it."
        ) from error
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        raise GeolocError(
            f"{path} does not name classes 0 to {n_classes - 1} alone; were files of two bundles "
            "mixed?"
        )
    return coords, labels
