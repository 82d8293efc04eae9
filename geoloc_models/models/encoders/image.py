"""Image encoders by name: torchvision's, timm's, and one small enough for a laptop's CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from geoloc_models._errors import GeolocError
from geoloc_models.models.encoders._recipes import (
    ENCODER_NAMES,
    check_image_size,
    find_recipe,
    is_encoder_name,
    least_image_size,
)
from geoloc_models.models.encoders._stages import cut_into_stages
from geoloc_models.models.encoders.preprocessing import Preprocessing

__all__ = [
    "ENCODER_NAMES",
    "ImageEncoder",
    "build_encoder",
    "check_image_size",
    "is_encoder_name",
    "least_image_size",
]


class ImageEncoder(nn.Module):
    """An image encoder: a backbone whose classifier has been taken off.

    Parameters
    ----------
    backbone : torch.nn.Module
        Takes (B, 3, H, W) and gives (B, D).
    dim : int
        ``D``, the length of an embedding.
    name : str
        The name :func:`build_encoder` knows it by.
    preprocessing : Preprocessing, optional
        What it wants to see; by default 224 x 224 pixels and ImageNet's mean and deviation.
    weights : str, optional
        Where its weights came from: ``"imagenet"`` or a file; None if they were random.
    stage_of : callable, optional
        Gives the number of the stage that a parameter of the backbone belongs to, by its name; by
        default all are of one.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int,
        name: str,
        preprocessing: Preprocessing | None = None,
        weights: str | None = None,
        stage_of: Callable[[str], int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim
        self.name = name
        self.preprocessing = preprocessing or Preprocessing(224)
        self.weights = weights
        self._stage_of = stage_of

    def forward(self, image: Tensor) -> Tensor:
        """Embed images.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised. B batch, H and W height and width in pixels.

        Returns
        -------
        Tensor
            (B, D) float. D is ``self.dim``.
        """
        embedding: Tensor = self.backbone(image)
        return embedding

    def stages(self) -> list[nn.Module]:
        """Blocks of layers from input to output; every parameter is in exactly one.

        To train the last two alone: ``encoder.requires_grad_(False)``, then
        ``stage.requires_grad_(True)`` for each of ``encoder.stages()[-2:]``. A stage holds the
        encoder's own layers; ``stage.eval()`` keeps its batch norms as they are.
        """
        return cut_into_stages(self.backbone, self._stage_of or (lambda name: 0))


def build_encoder(
    name: str, *, weights: str | Path | None = None, image_size: int | None = None
) -> ImageEncoder:
    """Build an image encoder by its name.

    Parameters
    ----------
    name : str
        ``resnet50`` and ``vit_b_16`` are torchvision's; ``vit_b_16`` wants 224 x 224 images.
        ``efficientnet_lite0`` is small, and its ImageNet weights come in a package (extra
        ``demo``). ``tiny`` is a small residual network for demos and tests. ``timm:NAME`` is any
        model of the package timm.
    weights : str or Path, optional
        None starts from random numbers. ``"imagenet"`` loads the default ImageNet weights: of
        torchvision and timm from their caches or, where those are empty, by their own download; of
        ``efficientnet_lite0`` from the installed package. Anything else is the path of a state
        dict, ``.safetensors`` or ``.pth``; the classifier's weights in it are left out, as are the
        prefixes ``encoder.`` and ``backbone.``.
    image_size : int, optional
        Side of the images to come, in pixels, for ``preprocessing``; by default the encoder's own.

    Returns
    -------
    ImageEncoder

    Raises
    ------
    GeolocError
        Unknown name, a file that does not fit the encoder, or an image size that it cannot take.
    MissingWeightsError
        The weights are not there and cannot be fetched.

    Examples
    --------
    >>> encoder = build_encoder("tiny")
    >>> encoder.dim, encoder.preprocessing.image_size
    (128, 64)
    """
    recipe = find_recipe(name)
    preprocessing = recipe.preprocessing
    if image_size is not None:
        check_image_size(name, image_size)
        preprocessing = replace(preprocessing, image_size=image_size)
    if str(weights) == "imagenet" and recipe.load_imagenet is None:
        raise GeolocError(
            f"There are no ImageNet weights for the encoder {name!r}; name a file of weights, or in "
            "Python leave weights out."
        )
    backbone = recipe.build()
    origin: str | None = None
    if weights is not None and str(weights) == "imagenet" and recipe.load_imagenet is not None:
        recipe.load_imagenet(backbone)
        origin = "imagenet"
    elif weights is not None:
        recipe.load_file(backbone, weights)
        origin = str(Path(weights).resolve())
    return ImageEncoder(
        backbone,
        dim=recipe.dim_of(backbone),
        name=name,
        preprocessing=preprocessing,
        weights=origin,
        stage_of=recipe.stage_of(backbone),
    )
