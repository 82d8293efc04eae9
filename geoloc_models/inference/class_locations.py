"""What a model's probabilities are over, where on earth that is, and the probabilities themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from scipy.spatial import cKDTree

from geocells import CellPartition, decoding, sphere
from geocells.tables import as_numpy, check_coordinates, read_parquet
from geoloc_models._errors import GeolocError, reason_of
from geoloc_models._files import replacing
from geoloc_models.models.tasks import (
    CellTask,
    CountryTask,
    HierarchyTask,
    NearestTask,
    OffsetTask,
    PlaceTask,
    PooledTask,
    RetrievalTask,
    labels_of_cells,
)
from geoloc_models.tables.coordinates import as_coords

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Images = tuple[FloatArray, IntArray]

DECODER_FILE = "decoder.parquet"
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
        (m, 2) float64 coordinates of the training images in degrees and (m,) int64 classes, as
        :func:`save_decoder` stores them.
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

    @property
    def has_decoder(self) -> bool:
        """Whether there is a :attr:`decoder`, without fitting it."""
        return self.kind != "countries" or self.images is not None

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


def classes_of(task: PlaceTask, folder: str | Path) -> ClassLocations | None:
    """What the probabilities of a task are over; None for a task that has none.

    Parameters
    ----------
    task : PlaceTask
        Trained.
    folder : path
        Its bundle, for the training images that it may hold.
    """
    if isinstance(task, RetrievalTask):
        return ClassLocations("gallery", task.gallery_coords, task.gallery_countries)
    if isinstance(task, NearestTask):
        return ClassLocations("gallery", task.images.coords, task.images.countries)
    if isinstance(task, PooledTask) and task.photos is not None:
        return ClassLocations("gallery", task.photos.coords, task.photos.countries)
    cells = None
    if isinstance(task, CellTask | HierarchyTask | PooledTask):
        cells = task.cells
        coords, countries = task.answers.coords, task.answers.countries
    elif isinstance(task, CountryTask):
        coords, countries = task.answers.coords, task.answers.countries
    elif isinstance(task, OffsetTask) and task.multi_task:
        boxes = task.country_boxes
        centres = boxes.places(np.full((boxes.n_countries, 2), 0.5), np.arange(boxes.n_countries))
        coords, countries = centres, boxes.countries
    else:
        return None
    images = read_decoder(folder, len(coords))
    kind = "countries" if cells is None else "cells"
    return ClassLocations(kind, coords, countries, cells, images)


def predict_proba(
    task: PlaceTask, arrays: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[Any] | sparse.csr_array | None:
    """Probabilities over the classes of :func:`classes_of`, not calibrated.

    Parameters
    ----------
    task : PlaceTask
        Trained.
    arrays : mapping of str to ndarray
        What its network gave for n images.

    Returns
    -------
    array, sparse array or None
        (n, C). Of a classifier its own. Of retrieval, the softmax of the similarities to the
        gallery at the temperature that was learned. Of nearest images, the neighbours' shares of
        the vote. Of a pooled model, those of its stored photos. None for a task that has none.
    """
    if isinstance(task, RetrievalTask):
        temperature = float(task.temperature.detach())
        return task.gallery.probabilities(arrays["embedding"], temperature=temperature)
    if isinstance(task, NearestTask):
        nearest = task.images.predict(arrays["features"])
        return decoding.nearest_images(nearest.neighbours, len(task.images.coords))
    if isinstance(task, PooledTask) and task.photos is not None:
        return task.posterior(arrays)
    n = len(next(iter(arrays.values())))
    return task.answer(arrays, np.arange(n)).probabilities


def save_decoder(folder: str | Path, coords: npt.ArrayLike, labels: npt.ArrayLike) -> None:
    """Store where the training images of each class are, as ``decoder.parquet`` of a bundle.

    Parameters
    ----------
    folder : path
        The bundle, already saved (saving it again takes the file away).
    coords : array-like
        (n, 2) latitude and longitude of the training images, in degrees.
    labels : array-like
        (n,) class of each, as the model's probabilities count them: cells, or countries in the
        order of their names. -1 for none, which leaves the image out.

    Raises
    ------
    GeolocError
        If no image has a class.

    Notes
    -----
    Whoever gets the bundle gets these coordinates.
    """
    points, classes = as_coords(coords), np.asarray(labels)
    has_class = classes >= 0
    if not has_class.any():
        raise GeolocError("No training image has a class: there is nothing to decode by.")
    table = pa.table(
        {
            "latitude": points[has_class, 0],
            "longitude": points[has_class, 1],
            "cell": classes[has_class].astype(np.int32),
        }
    )
    with replacing(Path(folder) / DECODER_FILE) as partial:
        pq.write_table(table, partial)


def read_decoder(folder: str | Path, n_classes: int) -> Images | None:
    """Coordinates and classes that :func:`save_decoder` stored; None where there are none.

    Raises
    ------
    GeolocError
        If the file is damaged, or names classes that the model does not have.
    """
    path = Path(folder) / DECODER_FILE
    if not path.is_file():
        return None
    try:
        table = read_parquet(path, columns=["latitude", "longitude", "cell"])
        latitude, longitude, labels = (as_numpy(column) for column in table.columns)
        coords = as_coords(np.column_stack([latitude, longitude]))
        check_coordinates(coords[:, 0], coords[:, 1], path.name)
        labels = labels.astype(np.int64)
    except Exception as error:  # damaged metadata: RecursionError, ArrowException
        raise GeolocError(
            f"{path} is damaged ({reason_of(error)}). Restore a complete copy, or delete it."
        ) from error
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= n_classes:
        raise GeolocError(
            f"{path} does not name classes 0 to {n_classes - 1} alone; were files of two bundles "
            "mixed?"
        )
    return coords, labels
