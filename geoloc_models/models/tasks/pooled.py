"""Cells of several partitions and the likeness to single photos, as one distribution over the training photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import softmax
from torch import Tensor

from geocells import CellPartition, decoding, load_cells
from geoloc_models.evaluation import Predictions
from geoloc_models.evaluation.scores import RADII_KM
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.gallery import unit_rows
from geoloc_models.models.heads import FeatureHead
from geoloc_models.models.likeness import LEAST_MASS, learn_projection
from geoloc_models.models.tasks.base import (
    Batch,
    Outputs,
    PlaceTask,
    Scored,
    check_classes,
    head_of,
    score_of_labels,
)
from geoloc_models.models.tasks.classes import (
    ClassLocations,
    classes_of_cells,
    decode_argmax,
    labels_of_cells,
)
from geoloc_models.models.tasks.stored import read_file, read_stored, write_stored

MOST_PHOTOS = 100_000
_N_COMPONENTS = 400
_TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
_POWERS = (0.25, 0.5, 1.0)
_LEAST = 1e-30  # a density that float32 rounded to 0 has a logarithm all the same


class PooledTask(PlaceTask):
    """Classify the cells of several partitions at once, and answer from the photos in them.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    partitions : sequence of CellPartition
        Of the same training images, with countries as groups. The likeliest cell of the first one
        is the plain answer.
    **head_shape
        ``hidden`` and ``dropout``, as for :class:`PlaceTask`.

    Notes
    -----
    Loss: the mean of the partitions' cross entropies. Once it is trained, the training photos'
    vectors and places are stored, and the probability of photo i is

    ``p_i ~ (mean_k P_k(cell of i) / n(cell of i))^power exp(cos(x, x_i) / temperature)``,

    with P_k the softmax over the cells of partition k, n the photos of a cell, and vectors x of
    :func:`learn_projection`. Power and temperature are chosen on the validation photos: those with
    the highest mean of ``log P(photo within r km of the truth)`` over r of 1, 25, 200, 750 and
    2500. Of more than 100 000 training photos, a random part is stored.
    """

    name = "pooled"
    stores_images = True
    answers_by_class = True
    classes: ClassLocations
    centre: Tensor
    projection: Tensor

    def __init__(
        self, encoder: ImageEncoder, partitions: Sequence[CellPartition], **head_shape: Any
    ) -> None:
        super().__init__(encoder, **head_shape)
        self.partitions = tuple(partitions)
        self.cells = self.partitions[0]
        self.classes = self.cell_classes = classes_of_cells(self.cells)
        self.n_classes = [cells.n_cells for cells in self.partitions]
        self.head = FeatureHead(encoder.dim, sum(self.n_classes), **head_shape)
        self.register_buffer("centre", torch.zeros(encoder.dim))
        n_components = min(_N_COMPONENTS, encoder.dim)
        self.register_buffer("projection", torch.zeros(encoder.dim, n_components))
        self.power, self.temperature = 1.0, 0.05
        self.photos: StoredPhotos | None = None

    def forward(self, image: Tensor) -> list[Tensor]:
        """Score the cells of every partition.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised, or (B, D) cached features.

        Returns
        -------
        list of Tensor
            (B, C_k) logits.
        """
        return list(self.head(self.encoder(image)).split(self.n_classes, dim=1))

    def score(self, batch: Batch) -> Scored:
        """Mean loss of the partitions, accuracy in the first, and number of rows.

        ``batch["cell"]`` is (B, K): the cell of each partition; a row with -1 does not count.
        """
        return score_of_labels(
            self(batch["image"]),
            batch["cell"],
            accuracy_of=0,
            label_smoothing=self.label_smoothing * self.training,
        )

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``probabilities`` (B, sum of C_k), each partition's adding up to 1."""
        logits = self.head(features).float().split(self.n_classes, dim=1)
        return {"probabilities": torch.cat([torch.softmax(each, dim=1) for each in logits], dim=1)}

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer plainly, with the place of the likeliest cell of the first partition."""
        first = np.asarray(outputs["probabilities"])[:, : self.n_classes[0]]
        return decode_argmax(first, self.cell_classes, rows)

    def store(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Store vectors, places and countries of the training photos."""
        rows = np.arange(len(coords))
        if len(rows) > MOST_PHOTOS:
            rows = np.sort(np.random.default_rng(0).choice(rows, MOST_PHOTOS, replace=False))
        features = np.asarray(outputs["features"])[rows]
        centre, projection = learn_projection(
            features, coords[rows], self.projection.shape[1], RADII_KM, self.centre.device
        )
        self.centre.copy_(torch.from_numpy(centre))
        self.projection.copy_(torch.from_numpy(projection))
        vectors = unit_rows(self.vectors(features), "photos").astype(np.float16)
        self._keep(StoredPhotos(vectors, coords[rows], countries[rows], self.partitions))

    def _keep(self, photos: StoredPhotos) -> None:
        self.photos = photos
        self.classes = ClassLocations("gallery", photos.coords, photos.countries)

    def vectors(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Vectors (n, E) of (n, D) embeddings, which the stored photos are compared with."""
        vectors: npt.NDArray[np.float32] = (
            features - self.centre.cpu().numpy()
        ) @ self.projection.cpu().numpy()
        return vectors

    def predict_proba(self, outputs: Outputs) -> Any:
        """Probability, (n, m), that each image was taken where a stored photo was.

        Without stored photos those of the first partition's cells.
        """
        if self.photos is None:
            return super().predict_proba(outputs)
        vectors = self.vectors(outputs["features"])
        evidence = self.photos.evidence(outputs["probabilities"], vectors)
        return mixed(*evidence, self.power, self.temperature)

    def tune(self, outputs: Outputs, coords: npt.NDArray[np.float64]) -> None:
        """Choose power and temperature on validation images with (n, 2) true places."""
        photos = self.photos
        if photos is None or len(coords) == 0:
            return
        part = np.random.default_rng(0).permutation(len(coords))[:1000]
        probabilities = np.asarray(outputs["probabilities"])[part]
        vectors = self.vectors(np.asarray(outputs["features"])[part])
        decoder = decoding.ExpectedUtility.from_points(photos.coords, radii_km=RADII_KM)
        evidence = photos.evidence(probabilities, vectors)

        def log_mass(power: float, temperature: float) -> float:
            posterior = mixed(*evidence, power, temperature)
            masses = decoder.mass_within(posterior, coords[part], RADII_KM)
            return float(np.log(masses + LEAST_MASS).mean())

        grid = [(power, warmth) for power in _POWERS for warmth in _TEMPERATURES]
        self.power, self.temperature = max(grid, key=lambda pair: log_mass(*pair))

    def card(self) -> dict[str, Any]:
        """Shape of the head, and how probabilities and likeness are mixed."""
        return {
            **self.head_shape,
            "n_classes": self.n_classes,
            "power": self.power,
            "temperature": self.temperature,
        }

    def write_files(self, folder: Path) -> None:
        """Write the cells of all partitions, and the training photos."""
        for number, cells in enumerate(self.partitions):
            cells.save(folder / _cells_file(number))
        if self.photos is not None:
            photos = self.photos
            write_stored(folder / "photos", photos.vectors, photos.coords, photos.countries)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its training photos, the weights yet to be loaded."""
        sizes = card["n_classes"]
        partitions = [
            read_file(folder / _cells_file(number), load_cells) for number in range(len(sizes))
        ]
        check_classes(card, [cells.n_cells for cells in partitions], folder)
        task = cls(encoder, partitions, **head_of(card))
        task.power, task.temperature = float(card["power"]), float(card["temperature"])
        if (folder / "photos.parquet").is_file():
            stored = read_stored(folder / "photos", task.projection.shape[1])
            task._keep(StoredPhotos(*stored, partitions))
        return task


class StoredPhotos:
    """Training photos, and what makes a distribution over them of a network's outputs.

    Parameters
    ----------
    vectors : ndarray
        (m, E) float16, of length 1.
    coords : ndarray
        (m, 2) latitude and longitude in degrees.
    countries : ndarray
        (m,) their countries.
    partitions : sequence of CellPartition
        With countries as groups.
    """

    def __init__(
        self,
        vectors: npt.NDArray[np.floating[Any]],
        coords: npt.NDArray[np.float64],
        countries: npt.NDArray[np.object_],
        partitions: Sequence[CellPartition],
    ) -> None:
        self.vectors, self.coords, self.countries = vectors, coords, countries
        self._unit = unit_rows(vectors, "photos")
        photos = np.arange(len(coords))
        shares = []  # (C_k, m): 1 / n of the photo's cell
        for cells in partitions:
            labels = labels_of_cells(cells, coords, countries)
            counts = np.bincount(labels[labels >= 0], minlength=cells.n_cells)
            has_cell = labels >= 0
            values = (1.0 / counts[labels[has_cell]]).astype(np.float32)
            places = (labels[has_cell], photos[has_cell])
            shares.append(sparse.coo_array((values, places), shape=(cells.n_cells, len(photos))))
        self._shares = sparse.csr_array(sparse.vstack(shares).T) / np.float32(len(shares))

    def evidence(
        self, probabilities: npt.ArrayLike, vectors: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Log density of the cells at each photo, and its likeness, (n, m) float32 each.

        Parameters
        ----------
        probabilities : array-like
            (n, sum of C_k), of the cells of one partition after the other.
        vectors : array-like
            (n, E) float.
        """
        queries = unit_rows(vectors, "vectors", dim=self._unit.shape[1])
        density = (self._shares @ np.asarray(probabilities).T).T
        return np.log(np.maximum(density, np.float32(_LEAST))), queries @ self._unit.T


def mixed(
    log_density: npt.NDArray[np.float32],
    likeness: npt.NDArray[np.float32],
    power: float,
    temperature: float,
) -> npt.NDArray[np.float32]:
    """Probability of each photo, (n, m) float32, of :meth:`StoredPhotos.evidence`.

    Power 0 asks the likeness alone, an infinite temperature the cells alone.
    """
    scores = log_density * np.float32(power) + likeness / np.float32(temperature)
    posterior: npt.NDArray[np.float32] = softmax(scores, axis=1)
    return posterior


def _cells_file(number: int) -> str:
    return "cells.parquet" if number == 0 else f"cells_{number}.parquet"
