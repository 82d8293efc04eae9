"""The encoder of features that have been computed already."""

from __future__ import annotations

from torch import Tensor, nn

from geoloc_models._errors import GeolocError
from geoloc_models.models.encoders.image import ImageEncoder
from geoloc_models.models.encoders.preprocessing import Preprocessing


class CachedFeatures(ImageEncoder):
    """An encoder that gives back its input: the features of a cache.

    A task built on it trains its head on :class:`geoloc_models.features.batches.FeatureDataset` as it would on
    images. It has no parameters, so to place photos afterwards, put the true encoder in its stead.

    Parameters
    ----------
    dim : int
        ``D``, the length of a feature.
    name : str
        Of the encoder that computed the features.
    preprocessing : Preprocessing, optional
        Of that encoder.

    Examples
    --------
    >>> import torch
    >>> CachedFeatures(3, "tiny")(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(self, dim: int, name: str, *, preprocessing: Preprocessing | None = None) -> None:
        super().__init__(nn.Identity(), dim=dim, name=name, preprocessing=preprocessing)

    def forward(self, image: Tensor) -> Tensor:
        """Give back features.

        Parameters
        ----------
        image : Tensor
            (B, D) float: features, not pixels.

        Returns
        -------
        Tensor
            The same (B, D).

        Raises
        ------
        GeolocError
            If something else comes, such as images.
        """
        if image.ndim != 2 or image.shape[1] != self.dim:
            raise GeolocError(
                f"The model takes cached features of {self.name}, of shape (B, {self.dim}); got "
                f"{tuple(image.shape)}."
            )
        return image
