"""Classifiers of images over countries or cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geocells import CellPartition, load_cells
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import (
    accuracy,
    cross_entropy,
    haversine_km,
    smoothed_targets,
    soft_cross_entropy,
)
from geoloc_models.models.neighbours import Prototypes
from geoloc_models.models.tasks.base import (
    Batch,
    Outputs,
    PlaceTask,
    Scored,
    check_classes,
    head_of,
)
from geoloc_models.models.tasks.classes import (
    ClassLocations,
    classes_of_cells,
    decode_argmax,
    labels_of_cells,
)
from geoloc_models.models.tasks.stored import read_file, read_stored, write_stored


class ClassificationTask(PlaceTask):
    """Encoder, three-layer perceptron, cross entropy.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    classes : ClassLocations
        What the C classes are, and the place that each stands for.
    class_weights : array-like (C,), optional
        Weight of each class in the loss; by default all weigh alike.
    **head_shape
        ``hidden`` and ``dropout``, as for :class:`PlaceTask`.
    """

    answers_by_class = True
    target: ClassVar[str]  # the key of a batch that holds the true class
    classes: ClassLocations
    class_weights: Tensor | None

    def __init__(
        self,
        encoder: ImageEncoder,
        classes: ClassLocations,
        *,
        class_weights: npt.ArrayLike | None = None,
        **head_shape: Any,
    ) -> None:
        super().__init__(encoder, **head_shape)
        self.head = MLPHead(encoder.dim, classes.n_classes, **head_shape)
        self.classes = classes
        weights = None if class_weights is None else torch.tensor(class_weights).float()
        if weights is not None and weights.shape != (classes.n_classes,):
            raise GeolocError(
                f"{classes.n_classes} classes need as many weights; got {tuple(weights.shape)}."
            )
        # They matter to training alone, which knows them; a trained model is the same without.
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Score classes.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised. B batch, H and W in pixels. Or (B, D) cached features.

        Returns
        -------
        Tensor
            (B, C) logits. C classes.
        """
        logits: Tensor = self.head(self.encoder(image))
        return logits

    def score(self, batch: Batch) -> Scored:
        """Loss, accuracy and number of rows of a batch.

        Rows whose true class is unknown (-1: a country that no training image has) do not count.
        """
        logits, target = self(batch["image"]), batch[self.target]
        return Scored(
            self.loss(logits, target, batch.get("coords")),
            accuracy(logits, target),
            (target >= 0).sum(),
        )

    def loss(self, logits: Tensor, target: Tensor, coords: Tensor | None) -> Tensor:
        """Cross entropy of (B, C) logits and (B,) classes; the coordinates play no part."""
        return cross_entropy(
            logits,
            target,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing * self.training,
        )

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``probabilities``: (B, C)."""
        return {"probabilities": torch.softmax(self.head(features).float(), dim=1)}

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer each image with the place of its most probable class."""
        return decode_argmax(outputs["probabilities"], self.classes, rows)

    def card(self) -> dict[str, Any]:
        """Shape of the head."""
        return {**self.head_shape, "n_classes": self.classes.n_classes}


class CountryTask(ClassificationTask):
    """The paper's baseline: which country, answered with the country's training centre."""

    name = "country"
    target = "country"

    def card(self) -> dict[str, Any]:
        """Shape of the head, and the classes."""
        classes = self.classes
        content = {"countries": classes.countries.tolist(), "coords": classes.coords.tolist()}
        return {**super().card(), "classes": content}

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task, its weights yet to be loaded."""
        content = card["classes"]
        coords = np.asarray(content["coords"], dtype=np.float64).reshape(-1, 2)
        classes = ClassLocations("countries", coords, np.array(content["countries"], dtype=object))
        check_classes(card, classes.n_classes, folder)
        return cls(encoder, classes, **head_of(card))


class CellTask(ClassificationTask):
    """Which cell, answered with the cell's location, and its group as the country.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    cells : CellPartition
        Of the training images, with countries as groups or without groups; the classes are its
        labels.
    smoothing_km : float, optional
        Spread the truth over neighbouring cells: PIGEON's tau, 65 to 75 km there. By default the
        true cell alone is right.
    **options
        As for :class:`ClassificationTask`.

    References
    ----------
    .. [1] Haas, Skreta, Alberti, Finn (2024), PIGEON: Predicting image geolocations, section 3.2.
    """

    name = "cells"
    target = "cell"
    locations: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        cells: CellPartition,
        *,
        smoothing_km: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(encoder, classes_of_cells(cells), **options)
        if smoothing_km is not None and self.class_weights is not None:
            raise GeolocError(
                "Class weights need one true class each; leave out either them or smoothing_km."
            )
        self.cells = cells
        self.smoothing_km = smoothing_km
        self.register_buffer(
            "locations", torch.from_numpy(self.classes.coords.copy()), persistent=False
        )

    def loss(self, logits: Tensor, target: Tensor, coords: Tensor | None) -> Tensor:
        """Cross entropy against the true cell, or against cells weighted by their distance."""
        if self.smoothing_km is None or coords is None:
            return super().loss(logits, target, coords)
        distance_km = haversine_km(coords, self.locations)
        targets = smoothed_targets(distance_km, tau_km=self.smoothing_km)
        return soft_cross_entropy(logits, targets.masked_fill((target < 0)[:, None], 0.0))

    def card(self) -> dict[str, Any]:
        """Shape of the head, and how the truth was spread."""
        return {**super().card(), "smoothing_km": self.smoothing_km}

    def write_files(self, folder: Path) -> None:
        """Write the cells."""
        self.cells.save(folder / "cells.parquet")

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task, its weights yet to be loaded."""
        cells = read_file(folder / "cells.parquet", load_cells)
        check_classes(card, cells.n_cells, folder)
        return cls(encoder, cells, smoothing_km=card["smoothing_km"], **head_of(card))


class RefinedCellTask(CellTask):
    """Trained as a cell classifier; then prototypes of the training features decide the point.

    Parameters
    ----------
    *args, **options
        As for :class:`CellTask`.

    Notes
    -----
    The prototypes of the five likeliest cells are compared.

    References
    ----------
    .. [1] Haas, Skreta, Alberti, Finn (2024), PIGEON: Predicting image geolocations, section 3.4.
    """

    name = "refined"
    stores_images = True
    answers_by_class = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prototypes: Prototypes | None = None

    def store(
        self, outputs: Outputs, coords: npt.NDArray[np.float64], countries: npt.NDArray[np.object_]
    ) -> None:
        """Make prototypes of the training images of every cell."""
        labels = labels_of_cells(self.cells, coords, countries)
        self._prototypes = Prototypes.from_images(
            outputs["features"], coords, labels, self.classes.coords
        )

    @property
    def prototypes(self) -> Prototypes:
        """Of every cell."""
        if self._prototypes is None:
            raise GeolocError("This model has no prototypes yet: call store first.")
        return self._prototypes

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the prototype, in the likeliest cells, that the image is most like."""
        probabilities = np.asarray(outputs["probabilities"])
        coords, cells = self.prototypes.refine(probabilities, outputs["features"])
        return Predictions(coords, self.classes.countries[cells], probabilities, rows)

    def write_files(self, folder: Path) -> None:
        """Write the cells, and the prototypes in the order of their cells."""
        super().write_files(folder)
        prototypes = self.prototypes
        numbers = prototypes.cells.astype(str).astype(object)
        write_stored(folder / "prototypes", prototypes.vectors, prototypes.coords, numbers)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its prototypes, the weights yet to be loaded."""
        task = super().from_card(card, folder, encoder)
        vectors, coords, numbers = read_stored(folder / "prototypes", encoder.dim)
        task._prototypes = Prototypes(vectors, coords, numbers.astype(np.int64))
        return task
