"""Cells at several levels, a head for each; the product over the levels decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geocells import CellHierarchy, decoding
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.tasks.base import (
    Batch,
    Outputs,
    PlaceTask,
    Scored,
    check_classes,
    head_of,
    score_of_labels,
)
from geoloc_models.models.tasks.classes import ClassLocations, classes_of_cells, decode_argmax
from geoloc_models.models.tasks.stored import read_file


class HierarchyTask(PlaceTask):
    """Classify cells at every level of a hierarchy; answer with the likeliest fine cell.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    hierarchy : CellHierarchy
        Nested partitions, coarse to fine, fitted on the training images with countries as groups.
    **head_shape
        ``hidden`` and ``dropout``, as for :class:`PlaceTask`.

    Notes
    -----
    Loss: the mean of the levels' cross entropies. Score of a fine cell: the product of the softmax
    of its ancestors, :func:`geocells.decoding.hierarchical`.

    References
    ----------
    .. [1] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos (ISN).
    """

    name = "hierarchy"
    answers_by_class = True
    classes: ClassLocations

    def __init__(self, encoder: ImageEncoder, hierarchy: CellHierarchy, **head_shape: Any) -> None:
        super().__init__(encoder, **head_shape)
        if not all(hierarchy.is_nested_):
            raise GeolocError(
                "Each level of a hierarchy must be nested in the one above; make it with "
                "nested=True."
            )
        self.hierarchy = hierarchy
        self.cells = hierarchy.partitions_[-1]
        self.classes = classes_of_cells(self.cells)
        self.heads = nn.ModuleList(
            MLPHead(encoder.dim, cells.n_cells, **head_shape) for cells in hierarchy.partitions_
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Score the cells of every level.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised, or (B, D) cached features.

        Returns
        -------
        list of Tensor
            (B, C_l) logits, coarse to fine.
        """
        embedding = self.encoder(image)
        return [head(embedding) for head in self.heads]

    def score(self, batch: Batch) -> Scored:
        """Mean loss of the levels, accuracy at the finest, and number of rows.

        ``batch["cell"]`` is (B, L): the cell of each level; a row with -1 does not count.
        """
        return score_of_labels(
            self(batch["image"]),
            batch["cell"],
            accuracy_of=-1,
            label_smoothing=self.label_smoothing * self.training,
        )

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``level_0``, ``level_1``, ...: probabilities (B, C_l), coarse to fine."""
        return {
            f"level_{number}": torch.softmax(head(features).float(), dim=1)
            for number, head in enumerate(self.heads)
        }

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the fine cell that has the highest product over its ancestors."""
        levels = [outputs[f"level_{number}"] for number in range(len(self.heads))]
        product = decoding.hierarchical(levels, self.hierarchy).astype(np.float32)
        return decode_argmax(product, self.classes, rows)

    def card(self) -> dict[str, Any]:
        """Shape of the heads."""
        return {
            **self.head_shape,
            "n_classes": [cells.n_cells for cells in self.hierarchy.partitions_],
        }

    def write_files(self, folder: Path) -> None:
        """Write the cells of all levels."""
        self.hierarchy.save(folder / "hierarchy.parquet")

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task, its weights yet to be loaded."""
        hierarchy = read_file(folder / "hierarchy.parquet", CellHierarchy.load)
        check_classes(card, [cells.n_cells for cells in hierarchy.partitions_], folder)
        return cls(encoder, hierarchy, **head_of(card))
