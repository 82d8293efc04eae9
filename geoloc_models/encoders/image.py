"""Image encoders by name: two from torchvision and one small enough for a laptop's CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoloc_models._errors import GeolocError, MissingWeightsError

logger = logging.getLogger(__name__)


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
    """

    def __init__(self, backbone: nn.Module, *, dim: int, name: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim
        self.name = name

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


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut, as in ResNet; halves the image with ``stride=2``."""

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride). C channels."""
        out: Tensor = torch.relu(self.body(x) + self.shortcut(x))
        return out


class TinyBackbone(nn.Module):
    """A residual network of 0.3 M parameters that trains on two CPU cores in minutes.

    The image is reduced by four before the first residual block, so that a 64 x 64 image costs
    about 14 M multiplications. Works for any image of at least 16 x 16 pixels.
    """

    dim = 128

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.blocks = nn.Sequential(
            ResidualBlock(32, 32, stride=1),
            ResidualBlock(32, 64, stride=2),
            ResidualBlock(64, self.dim, stride=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed images: (B, 3, H, W) to (B, 128). B batch, H and W in pixels."""
        features = self.blocks(self.stem(image))
        return torch.flatten(nn.functional.adaptive_avg_pool2d(features, 1), 1)


@dataclass(frozen=True)
class _TorchvisionRecipe:
    """How a torchvision model becomes a backbone."""

    function: str
    weights: str
    classifier: str  # the attribute taken off
    dim: int

    @property
    def url(self) -> str:
        import torchvision

        url: str = getattr(torchvision.models, self.weights).DEFAULT.url
        return url

    def build(self) -> nn.Module:
        import torchvision

        backbone: nn.Module = getattr(torchvision.models, self.function)(weights=None)
        setattr(backbone, self.classifier, nn.Identity())
        return backbone


_TORCHVISION = {
    "resnet50": _TorchvisionRecipe("resnet50", "ResNet50_Weights", "fc", 2048),
    "vit_b_16": _TorchvisionRecipe("vit_b_16", "ViT_B_16_Weights", "heads", 768),
}

ENCODER_NAMES: tuple[str, ...] = ("resnet50", "tiny", "vit_b_16")


def build_encoder(name: str, *, weights: str | Path | None = None) -> ImageEncoder:
    """Build an image encoder by its name.

    Parameters
    ----------
    name : {"resnet50", "vit_b_16", "tiny"}
        ``resnet50`` and ``vit_b_16`` are torchvision's; ``vit_b_16`` wants 224 x 224 images.
        ``tiny`` is a small residual network for demos and tests.
    weights : str or Path, optional
        None starts from random numbers. ``"imagenet"`` loads torchvision's default ImageNet
        weights, from its cache or, where that is empty, by torchvision's own download. Anything
        else is the path of a state dict, ``.safetensors`` or ``.pth``; the classifier's
        weights in it are left out, as are the prefixes ``encoder.`` and ``backbone.``.

    Returns
    -------
    ImageEncoder

    Raises
    ------
    GeolocError
        Unknown name, or a file that does not fit the encoder.
    MissingWeightsError
        The weights are not there and cannot be fetched.

    Examples
    --------
    >>> build_encoder("tiny").dim
    128
    """
    recipe = _TORCHVISION.get(name)
    if recipe is not None:
        encoder = ImageEncoder(recipe.build(), dim=recipe.dim, name=name)
    elif name == "tiny":
        encoder = ImageEncoder(TinyBackbone(), dim=TinyBackbone.dim, name=name)
    else:
        raise GeolocError(f"Unknown encoder {name!r}; the encoders are {', '.join(ENCODER_NAMES)}.")
    if weights is None:
        return encoder
    classifier = recipe.classifier if recipe else "fc"
    if str(weights) == "imagenet":
        if recipe is None:
            raise GeolocError(
                f"There are no ImageNet weights for the encoder {name!r}; leave weights out, or "
                "name a file."
            )
        path = imagenet_weights_path(name)
    else:
        path = Path(weights)
    state = _strip_prefixes(read_state_dict(path), classifier=classifier)
    _load_exactly(encoder.backbone, state, path=path, name=name)
    return encoder


def imagenet_weights_path(name: str) -> Path:
    """Where torchvision keeps the ImageNet weights of an encoder, downloading them if need be.

    Raises
    ------
    MissingWeightsError
        The file is neither in torchvision's cache nor to be had; the message says which file
        belongs where.
    """
    url = _TORCHVISION[name].url
    file_name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / file_name
    if path.is_file():
        return path
    hash_prefix = file_name.rsplit("-", 1)[-1].split(".")[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix, progress=True)
    except (OSError, RuntimeError) as error:
        raise MissingWeightsError(
            f"The ImageNet weights of {name} are not on this machine and could not be "
            f"downloaded ({error}). Put the file {file_name} (from {url}) into {folder}, or "
            f"name a local file as the weights."
        ) from error
    return path


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or ``.pth`` file without running code from it."""
    path = Path(path)
    if not path.is_file():
        raise MissingWeightsError(
            f"There is no weights file {path}; give the path of a .pth or .safetensors state "
            'dict, "imagenet", or nothing to start from random numbers.'
        )
    loader: Callable[[], Any]
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        def loader() -> Any:
            return load_file(path)
    else:

        def loader() -> Any:
            return torch.load(path, map_location="cpu", weights_only=True)

    try:
        state = loader()
    except Exception as error:
        raise GeolocError(
            f"{path} is not a state dict that can be read safely "
            f"({type(error).__name__}); save one with torch.save(model.state_dict(), path) or "
            "with safetensors."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GeolocError(f"{path} holds no state dict: a mapping of names to tensors is needed.")
    return state


def _strip_prefixes(state: dict[str, Tensor], *, classifier: str) -> dict[str, Tensor]:
    """Drop the classifier's tensors and the prefixes that wrappers add."""
    stripped = {}
    for key, tensor in state.items():
        for prefix in ("module.", "encoder.", "backbone."):
            if prefix == "encoder." and key.startswith(("encoder.layers.", "encoder.ln.")):
                continue  # the vision transformer's own encoder
            if prefix == "encoder." and key == "encoder.pos_embedding":
                continue
            key = key.removeprefix(prefix)  # noqa: PLW2901
        if not key.startswith((f"{classifier}.", "head.")):
            stripped[key] = tensor
    return stripped


def _load_exactly(module: nn.Module, state: dict[str, Tensor], *, path: Path, name: str) -> None:
    """Load a state dict whose names and shapes must all fit."""
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    misshapen = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if missing or unexpected or misshapen:
        example = (missing + unexpected + misshapen)[0]
        raise GeolocError(
            f"The weights in {path} do not fit the encoder {name}: {len(missing)} tensors are "
            f"missing, {len(unexpected)} unknown, {len(misshapen)} of another shape (first: "
            f"{example}). Are they of another architecture?"
        )
    module.load_state_dict(state)
    logger.info("loaded %d tensors into %s from %s", len(state), name, path)
