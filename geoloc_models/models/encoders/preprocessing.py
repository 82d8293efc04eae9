"""What an encoder wants to see: the size of its images and the scale of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from geoloc_models._errors import GeolocError
from geoloc_models.photos.dataset import IMAGENET_MEAN, IMAGENET_STD, make_transform

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an encoder's input.

    Parameters
    ----------
    image_size : int
        Side of the square image, in pixels.
    mean, std : tuple of 3 float
        Of the red, green and blue values in 0..1: the input is ``(value - mean) / std``. By default
        those of ImageNet.

    Raises
    ------
    GeolocError
        If the size is below 1, there are not three numbers of each, or a deviation is not above 0.

    Examples
    --------
    >>> Preprocessing(224).to_dict()["image_size"]
    224
    """

    image_size: int
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise GeolocError(f"The image size must be at least 1 pixel; got {self.image_size}.")
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3:
                raise GeolocError(
                    f"{name} needs three numbers, of red, green and blue; got {len(values)}."
                )
            object.__setattr__(self, name, values)
        if not all(0 < value < float("inf") for value in self.std):
            raise GeolocError(f"std needs numbers above 0; got {self.std}.")

    def transform(self, *, augment: str = "none", views: int = 1) -> Callable[[Any], torch.Tensor]:
        """Make the transform from an RGB image to float32 (3, image_size, image_size).

        ``augment`` and ``views`` are those of :func:`~geoloc_models.photos.dataset.make_transform`.
        """
        return make_transform(
            self.image_size, augment=augment, views=views, mean=self.mean, std=self.std
        )

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return {"image_size": self.image_size, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Make it again from :meth:`to_dict`; GeolocError if something lacks or is garbled."""
        try:
            return cls(int(values["image_size"]), tuple(values["mean"]), tuple(values["std"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GeolocError(f"The preprocessing {values!r} lacks or garbles {error}.") from error
