"""Regression: which country, and where in its box; or where in the box of all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoloc_models.countries import country_of
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.float64 import Float64Table
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import accuracy, offset_loss
from geoloc_models.models.tasks.base import (
    Batch,
    Outputs,
    PlaceTask,
    Scored,
    check_classes,
    head_of,
)
from geoloc_models.models.tasks.classes import ClassLocations

_SMALLEST_SIDE = 1e-6  # degrees; a country with one photo has a box too
_OFF_SHORE_KM = 500.0


@dataclass(frozen=True)
class CountryBoxes:
    """The box of each country's training images.

    Parameters
    ----------
    countries : ndarray
        (K,) object, in the order of their names.
    boxes : ndarray
        (K, 4) float64: south, west, height, width in degrees. A box may cross the antimeridian.
    """

    countries: npt.NDArray[np.object_]
    boxes: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.countries), 4):
            raise GeolocError(
                f"{len(self.countries)} countries need boxes of shape ({len(self.countries)}, 4), "
                f"not {self.boxes.shape}."
            )

    @classmethod
    def from_images(cls, coords: npt.ArrayLike, countries: npt.ArrayLike) -> CountryBoxes:
        """Boxes of images: (n, 2) degrees and (n,) countries.

        The shortest arc of longitude that holds a country's images is its box's width, so that
        Fiji is as narrow as it is.
        """
        points = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
        names = np.asarray(countries, dtype=object)
        distinct = sorted(set(names.tolist()))
        boxes = [_box(points[names == name]) for name in distinct]
        return cls(np.array(distinct, dtype=object), np.array(boxes))

    @property
    def n_countries(self) -> int:
        """Number of boxes."""
        return len(self.countries)

    def places(
        self, offsets: npt.ArrayLike, country: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Coordinates of (n, 2) offsets, kept in [0, 1]: the inverse of :func:`offsets_in_boxes`."""
        share = np.clip(np.asarray(offsets, dtype=np.float64), 0.0, 1.0)
        south, west, height, width = self.boxes[country].T
        longitude = west + share[:, 1] * width
        longitude = np.where(longitude >= 180.0, longitude - 360.0, longitude)
        latitude = np.clip(south + share[:, 0] * height, -90.0, 90.0)
        return np.column_stack([latitude, longitude])


def offsets_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Place of each point in its box, (n, 2): in [0, 1] for training images.

    ``points`` (n, 2) float64, in degrees; ``boxes`` (n, 4) of :class:`CountryBoxes`. Shares of the
    height from the south and of the width from the west.
    """
    south, west, height, width = boxes.T
    east = (points[:, 1] - west) % 360.0
    # What lies just west of the box is at -1 degree, not at 359.
    east = east - 360.0 * (east > 180.0 + width / 2)
    return torch.stack([(points[:, 0] - south) / height, east / width], dim=1)


def _box(points: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    south, north = points[:, 0].min(), points[:, 0].max()
    around = np.unique(np.mod(points[:, 1], 360.0))
    gaps = np.diff(around, append=around[0] + 360.0)
    widest = int(gaps.argmax())
    west = around[(widest + 1) % len(around)]
    width = 360.0 - gaps[widest]
    west = west - 360.0 if west >= 180.0 else west
    return float(south), float(west), max(north - south, _SMALLEST_SIDE), max(width, _SMALLEST_SIDE)


class OffsetTask(PlaceTask):
    """The paper's regression: a head for the country, another for the place in its box.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    boxes : CountryBoxes
        Of the training images; with ``multi_task=False`` one box, named ``""``, of all of them.
    alpha : float
        Share of the country in the loss.
    multi_task : bool, default True
        False is the ablation: no country head, the offset alone is learned, in the box of all
        training images; the country is then that of the point, or the nearest within 500 km.
    **head_shape
        ``hidden`` and ``dropout``, as for :class:`PlaceTask`.

    Notes
    -----
    Loss: ``alpha CE(country) + (1 - alpha) MSE(offset)``; a point is the offset in the box of the
    *predicted* country.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, section on regression.
    """

    name = "offset"

    def __init__(
        self,
        encoder: ImageEncoder,
        boxes: CountryBoxes,
        *,
        alpha: float,
        multi_task: bool = True,
        **head_shape: Any,
    ) -> None:
        super().__init__(encoder, **head_shape)
        if not multi_task and boxes.n_countries != 1:
            raise GeolocError("Without the country's head there is one box, of all images.")
        self.country_boxes = boxes
        self._boxes = Float64Table(boxes.boxes)
        self.alpha = alpha if multi_task else 0.0
        self.multi_task = multi_task
        self.country_head = (
            MLPHead(encoder.dim, boxes.n_countries, **head_shape) if multi_task else None
        )
        self.offset_head = MLPHead(encoder.dim, 2, **head_shape)
        if multi_task:
            middles = np.full((boxes.n_countries, 2), 0.5)
            centres = boxes.places(middles, np.arange(boxes.n_countries))
            self.classes = ClassLocations("countries", centres, boxes.countries)

    @classmethod
    def from_images(
        cls,
        encoder: ImageEncoder,
        coords: npt.ArrayLike,
        countries: npt.ArrayLike,
        *,
        multi_task: bool = True,
        **options: Any,
    ) -> Self:
        """Build the task with the boxes of training images."""
        names = np.asarray(countries, dtype=object)
        boxes = CountryBoxes.from_images(
            coords, names if multi_task else np.full(len(names), "", object)
        )
        return cls(encoder, boxes, multi_task=multi_task, **options)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score countries and place the image in a box.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised, or (B, D) cached features.

        Returns
        -------
        tuple of Tensor
            (B, K) logits and (B, 2) offsets. K countries.
        """
        return self._heads(self.encoder(image))

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        offset = self.offset_head(features)
        if self.country_head is None:
            return offset.new_zeros(len(offset), 1), offset
        return self.country_head(features), offset

    def score(self, batch: Batch) -> Scored:
        """Loss, share of right countries and number of rows of a batch.

        Rows of a country that no training image has (-1) do not count. Without the country's head,
        the share is that of offsets off by less than a tenth of the box.
        """
        country = batch["country"] if self.multi_task else torch.zeros_like(batch["country"])
        boxes = self._boxes.values[country.clamp(min=0)]
        true = offsets_in_boxes(batch["coords"].double(), boxes).float()
        logits, offset = self(batch["image"])
        loss = offset_loss(logits, offset, country, true, alpha=self.alpha)
        if self.multi_task:
            right = accuracy(logits, country)
        else:
            right = ((offset - true).abs().amax(dim=1) < 0.1).float().mean()
        return Scored(loss, right, (country >= 0).sum())

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``probabilities`` of countries (B, K) and ``offset`` (B, 2)."""
        logits, offset = self._heads(features)
        return {"probabilities": torch.softmax(logits.float(), dim=1), "offset": offset.float()}

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the offset in the box of the most probable country."""
        probabilities = np.asarray(outputs["probabilities"])
        country = probabilities.argmax(axis=1)
        coords = self.country_boxes.places(outputs["offset"], country)
        if self.multi_task:
            return Predictions(coords, self.country_boxes.countries[country], probabilities, rows)
        names = country_of(coords, tolerance_km=_OFF_SHORE_KM)
        return Predictions(coords, np.where(names == None, "", names), None, rows)  # noqa: E711

    def card(self) -> dict[str, Any]:
        """Shape of the heads, and the boxes."""
        return {
            **self.head_shape,
            "alpha": self.alpha,
            "multi_task": self.multi_task,
            "n_classes": self.country_boxes.n_countries,
            "countries": self.country_boxes.countries.tolist(),
            "boxes": self.country_boxes.boxes.tolist(),
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task, its weights yet to be loaded."""
        boxes = CountryBoxes(
            np.array(card["countries"], dtype=object),
            np.asarray(card["boxes"], dtype=np.float64).reshape(-1, 4),
        )
        check_classes(card, boxes.n_countries, folder)
        return cls(
            encoder,
            boxes,
            alpha=card["alpha"],
            multi_task=card["multi_task"],
            **head_of(card),
        )
