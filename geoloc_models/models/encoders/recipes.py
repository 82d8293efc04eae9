"""Image encoders by name: torchvision's, timm's, and one small enough for a laptop's CPU."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders import efficientnet_lite
from geoloc_models.models.encoders.image import ImageEncoder, Preprocessing
from geoloc_models.models.encoders.weights import WEIGHTS_QUESTION, downloaded_weights, load_weights

ENCODER_NAMES = ("efficientnet_lite0", "resnet50", "tiny", "vit_b_16")
TIMM_PREFIX = "timm:"


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
        None or ``"none"`` starts from random numbers. ``"imagenet"`` loads the default ImageNet weights: of
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
    recipe = _find_recipe(name)
    preprocessing = recipe.preprocessing
    if image_size is not None:
        check_encoder(name, image_size)
        preprocessing = replace(preprocessing, image_size=image_size)
    is_imagenet = str(weights) == "imagenet"
    if is_imagenet and recipe.load_imagenet is None:
        raise GeolocError(
            f"There are no ImageNet weights for the encoder {name!r}; name a file of weights, or "
            "none for random numbers."
        )
    backbone, dim = recipe.build()
    origin: str | None = None
    if is_imagenet and recipe.load_imagenet is not None:
        recipe.load_imagenet(backbone)
        origin = "imagenet"
    elif weights is not None and str(weights) != "none":
        load_weights(
            backbone, weights, name=name, classifier=recipe.classifier, rename=recipe.rename
        )
        origin = str(Path(weights).resolve())
    return ImageEncoder(
        backbone,
        dim=dim,
        name=name,
        preprocessing=preprocessing,
        weights=origin,
        stage_of=recipe.stages_of(backbone),
    )


def has_imagenet_weights(name: str) -> bool:
    """Whether there are ImageNet weights for an encoder, wherever they have to come from."""
    return _find_recipe(name).load_imagenet is not None


def is_encoder_name(name: str) -> bool:
    """Whether an encoder may have this name: one of ENCODER_NAMES, or ``timm:`` and a name.

    Whether timm knows the name is found when the encoder is built.

    Examples
    --------
    >>> is_encoder_name("tiny"), is_encoder_name("timm:convnext_atto"), is_encoder_name("timm:")
    (True, True, False)
    """
    return name in ENCODER_NAMES or (
        name.startswith(TIMM_PREFIX) and bool(name.removeprefix(TIMM_PREFIX).strip())
    )


def check_encoder(name: str, image_size: int | None = None) -> None:
    """GeolocError unless an encoder may have this name, and takes square images of this side.

    ``image_size`` is in pixels. A model of timm is only looked up where a size is given.
    """
    if image_size is None and is_encoder_name(name):
        return
    recipe = _find_recipe(name)
    fixed = recipe.preprocessing.image_size
    image_size = image_size or fixed
    if recipe.fixed_size and image_size != fixed:
        raise GeolocError(
            f"{name} takes images of {fixed} x {fixed} pixels, not {image_size}; leave image_size "
            f"at {fixed} or choose another encoder."
        )
    if image_size < recipe.least_size:
        least = recipe.least_size
        raise GeolocError(
            f"{name} takes images of at least {least} x {least} pixels, not {image_size}."
        )


@dataclass(frozen=True)
class _Recipe:
    """How an encoder is built.

    ``build`` gives the backbone with random weights, without its classifier, whose attribute was
    ``classifier``, and the length of its embeddings; ``stages_of`` the stage of each of its
    parameters; ``rename`` its name of a tensor in a weights file. It takes images of
    ``preprocessing.image_size`` alone, where that is fixed, else of ``least_size`` pixels a side.
    """

    build: Callable[[], tuple[nn.Module, int]]
    preprocessing: Preprocessing
    stages_of: Callable[[nn.Module], Mapping[str, int]]
    least_size: int = 32
    fixed_size: bool = False
    classifier: str = "fc"
    load_imagenet: Callable[[nn.Module], None] | None = None
    rename: Callable[[str], str] | None = None


def _find_recipe(name: str) -> _Recipe:
    if name in ENCODER_NAMES:
        return {
            "efficientnet_lite0": _efficientnet_lite0,
            "resnet50": _resnet50,
            "tiny": _tiny,
            "vit_b_16": _vit_b_16,
        }[name]()
    if is_encoder_name(name):
        return _timm(name)
    raise GeolocError(
        f"Unknown encoder {name!r}; the encoders are {', '.join(ENCODER_NAMES)}, and "
        f"{TIMM_PREFIX}NAME for any model of the package timm."
    )


def _by_prefix(prefixes: Sequence[Sequence[str]], backbone: nn.Module) -> dict[str, int]:
    """Stage of each parameter: the first that has a prefix of its name."""
    return {
        name: next(k for k, of_stage in enumerate(prefixes) if name.startswith(tuple(of_stage)))
        for name, _ in backbone.named_parameters()
    }


# The small one


class _ResidualBlock(nn.Module):
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
            _ResidualBlock(32, 32, stride=1),
            _ResidualBlock(32, 64, stride=2),
            _ResidualBlock(64, self.dim, stride=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Embed images: (B, 3, H, W) to (B, 128). B batch, H and W in pixels."""
        features = self.blocks(self.stem(image))
        return torch.flatten(nn.functional.adaptive_avg_pool2d(features, 1), 1)


def _tiny() -> _Recipe:
    stages = [["stem."], ["blocks.0."], ["blocks.1."], ["blocks.2."]]
    return _Recipe(
        lambda: (TinyBackbone(), TinyBackbone.dim),
        Preprocessing(64),
        partial(_by_prefix, stages),
        least_size=16,
    )


# Of torchvision


def _resnet50() -> _Recipe:
    stages = [["conv1.", "bn1."], *([f"layer{k}."] for k in range(1, 5))]
    return _Recipe(
        partial(_torchvision_backbone, "resnet50", "fc", 2048),
        Preprocessing(224),
        partial(_by_prefix, stages),
        least_size=64,
        load_imagenet=partial(_load_torchvision, "resnet50", "ResNet50_Weights", "fc"),
    )


def _vit_b_16() -> _Recipe:
    first = ["class_token", "conv_proj.", "encoder.pos_embedding"]
    blocks = [[f"encoder.layers.encoder_layer_{k}."] for k in range(12)]
    blocks[-1].append("encoder.ln.")
    return _Recipe(
        partial(_torchvision_backbone, "vit_b_16", "heads", 768),
        Preprocessing(224),
        partial(_by_prefix, [first, *blocks]),
        fixed_size=True,
        classifier="heads",
        load_imagenet=partial(_load_torchvision, "vit_b_16", "ViT_B_16_Weights", "heads"),
    )


def _torchvision_backbone(function: str, classifier: str, dim: int) -> tuple[nn.Module, int]:
    import torchvision

    backbone: nn.Module = getattr(torchvision.models, function)(weights=None)
    setattr(backbone, classifier, nn.Identity())
    return backbone, dim


def _load_torchvision(function: str, weights: str, classifier: str, backbone: nn.Module) -> None:
    import torchvision

    url: str = getattr(torchvision.models, weights).DEFAULT.url
    path = downloaded_weights(url, name=function)
    load_weights(backbone, path, name=function, classifier=classifier)


# EfficientNet-Lite0, whose weights come in a package


def _efficientnet_lite0() -> _Recipe:
    stages = [["conv_stem.", "bn1."], *([f"blocks.{k}."] for k in range(6)), [""]]
    return _Recipe(
        lambda: (efficientnet_lite.EfficientNetLite0(), efficientnet_lite.EfficientNetLite0.dim),
        # On 0..255 the input is (value - 127) / 128.
        Preprocessing(224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        partial(_by_prefix, stages),
        classifier="classifier",
        load_imagenet=efficientnet_lite.load_imagenet,
        rename=efficientnet_lite.name_of_original,
    )


# Of timm


def _timm(name: str) -> _Recipe:
    model = name.removeprefix(TIMM_PREFIX)
    settings = _timm_settings(model)
    return _Recipe(
        partial(_timm_backbone, model),
        Preprocessing(settings.input_size[1], mean=settings.mean, std=settings.std),
        _timm_stages,
        fixed_size=settings.fixed_input_size,
        classifier=str(settings.classifier or "head"),
        load_imagenet=partial(_load_timm, model),
    )


@lru_cache(maxsize=64)
def _timm_settings(model: str) -> Any:
    timm = _import_timm(model)
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f"; near it are {', '.join(close)}" if close else ""
        raise GeolocError(f"timm has no model {model!r}{hint}. timm.list_models() names them all.")
    settings = timm.get_pretrained_cfg(model)
    if settings is None:
        raise GeolocError(f"timm does not say what images its model {model!r} takes.")
    return settings


def _timm_backbone(model: str) -> tuple[nn.Module, int]:
    backbone: Any = _import_timm(model).create_model(model, pretrained=False, num_classes=0)
    return backbone, int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _load_timm(model: str, backbone: nn.Module) -> None:
    timm = _import_timm(model)
    try:
        trained: nn.Module = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # of the network in many ways, or no weights are known
        reason = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
        raise MissingWeightsError(
            f"The pretrained weights of timm's {model} are not on this machine and could not be "
            f"downloaded ({reason}). {WEIGHTS_QUESTION}"
        ) from error
    backbone.load_state_dict(trained.state_dict())


def _timm_stages(backbone: nn.Module) -> dict[str, int]:
    from timm.models import group_parameters

    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        return {}
    groups = group_parameters(backbone, matcher(coarse=True))
    return {name: int(group) for group, names in groups.items() for name in names}


def _import_timm(model: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise GeolocError(
            f"The encoder {TIMM_PREFIX}{model} needs the package timm; run pip install '.[timm]' in the source folder"
        ) from None
    return timm
