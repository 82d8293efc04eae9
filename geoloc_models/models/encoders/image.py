"""An image encoder: what it wants to see, its backbone, its stages, its fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError
from geoloc_models.photos.framing import IMAGENET_MEAN, IMAGENET_STD, make_framing, normalised

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
    interpolation : {"bilinear", "bicubic"}
        How images are resized: as torchvision's transforms do, or as CLIP's processor does.

    Raises
    ------
    GeolocError
        If the size is below 1, there are not three numbers of each, a deviation is not above 0, or the
        interpolation is another.

    Examples
    --------
    >>> Preprocessing(224).to_dict()["image_size"]
    224
    """

    image_size: int
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    interpolation: str = "bilinear"

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
        if self.interpolation not in ("bilinear", "bicubic"):
            raise GeolocError(
                f"Unknown interpolation {self.interpolation!r}; choose bilinear or bicubic."
            )

    def transform(self, *, augment: str = "none", views: int = 1) -> Callable[[Any], torch.Tensor]:
        """Make the transform from an RGB image to uint8 (3, image_size, image_size).

        An encoder normalises such pixels itself, on its device. ``augment`` and ``views`` are those
        of :func:`~geoloc_models.photos.framing.make_framing`.
        """
        return make_framing(
            self.image_size, augment=augment, views=views, interpolation=self.interpolation
        )

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them; the interpolation where it is not bilinear.

        Fingerprints are made of it, and so those of before that choice stay as they are.
        """
        values = {"image_size": self.image_size, "mean": list(self.mean), "std": list(self.std)}
        if self.interpolation == "bilinear":
            return values
        return {**values, "interpolation": self.interpolation}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Make it again from :meth:`to_dict`; GeolocError if something lacks or is garbled."""
        try:
            return cls(
                int(values["image_size"]),
                tuple(values["mean"]),
                tuple(values["std"]),
                values.get("interpolation", "bilinear"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise GeolocError(
                f"The preprocessing {values!r} is incomplete or damaged: {error}."
            ) from error


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
    stage_of : mapping of str to int, optional
        Number of the stage that each parameter of the backbone belongs to; those it does not name
        belong to the last one.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int,
        name: str,
        preprocessing: Preprocessing | None = None,
        weights: str | None = None,
        stage_of: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim
        self.name = name
        self.preprocessing = preprocessing or Preprocessing(224)
        self.weights = weights
        self._stage_of = dict(stage_of or {})

    def forward(self, image: Tensor) -> Tensor:
        """Embed images.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised, or uint8. B batch, H and W height and width in pixels.

        Returns
        -------
        Tensor
            (B, D) float. D is ``self.dim``.
        """
        if image.dtype == torch.uint8:
            image = normalised(image, self.preprocessing.mean, self.preprocessing.std)
        embedding: Tensor = self.backbone(image)
        return embedding

    def stages(self) -> list[nn.Module]:
        """Blocks of layers from input to output; every parameter is in exactly one.

        To train the last two alone: ``encoder.requires_grad_(False)``, then
        ``stage.requires_grad_(True)`` for each of ``encoder.stages()[-2:]``. A stage holds the
        encoder's own layers; ``stage.eval()`` keeps its batch norms as they are.
        """
        last = max(self._stage_of.values(), default=0)
        layers: dict[int, list[nn.Module]] = {}
        loose: dict[int, list[nn.Parameter]] = {}
        seen: set[int] = set()
        for path, module in self.backbone.named_modules():
            direct = []  # parameters of the module itself; a shared one counts once
            for name, parameter in module.named_parameters(prefix=path, recurse=False):
                if id(parameter) not in seen:
                    direct.append((self._stage_of.get(name, last), parameter))
                    seen.add(id(parameter))
            numbers = {number for number, _ in direct}
            if len(numbers) == 1 and not any(True for _ in module.children()):
                layers.setdefault(numbers.pop(), []).append(module)
            else:
                for number, parameter in direct:
                    loose.setdefault(number, []).append(parameter)
        return [
            _Stage(layers.get(number, []), loose.get(number, []))
            for number in sorted(layers.keys() | loose.keys())
        ]

    def fingerprint(self) -> str:
        """Digest of the encoder's name, weights and preprocessing, so that features are never mixed.

        Returns
        -------
        str
            16 hexadecimal digits: the same for the same values, on every machine.

        Notes
        -----
        BLAKE2b over the name, the preprocessing and every tensor of the state dict by its name, dtype,
        shape and bytes; counts of batches, which do not reach a feature, are left out. About a second
        per gigabyte.
        """
        digest = hashlib.blake2b(digest_size=8)
        about = {"name": self.name, "preprocessing": self.preprocessing.to_dict()}
        digest.update(json.dumps(about, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if name.endswith("num_batches_tracked"):
                continue
            digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


class _Stage(nn.Module):
    """Some layers of a backbone, and parameters of larger modules such as a class token."""

    def __init__(self, layers: Sequence[nn.Module], loose: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.loose = nn.ParameterList(loose)


class CachedFeatures(ImageEncoder):
    """An encoder that gives back its input: the features of a cache.

    A task built on it trains its head on :class:`geoloc_models.features.batches.FeatureDataset` as
    it would on images. It has no parameters, so to place photos afterwards, put the true encoder in
    its stead.

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
    >>> CachedFeatures(3, "tiny")(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(self, dim: int, name: str, *, preprocessing: Preprocessing | None = None) -> None:
        super().__init__(nn.Identity(), dim=dim, name=name, preprocessing=preprocessing)

    def forward(self, image: Tensor) -> Tensor:
        """Give back features, (B, D) float; GeolocError for anything else, such as images."""
        if image.ndim != 2 or image.shape[1] != self.dim:
            raise GeolocError(
                f"The model takes cached features of {self.name}, of shape (B, {self.dim}); got "
                f"{tuple(image.shape)}."
            )
        return image
