"""From an RGB image to the pixels that a network sees: crops, sizes, normalised values."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from geoloc_models.errors import GeolocError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def make_framing(
    size: int, *, augment: str = "none", views: int = 1, interpolation: str = "bilinear"
) -> Callable[[Any], torch.Tensor]:
    """Make the transform from an RGB image to uint8 pixels; encoders normalise these.

    Parameters
    ----------
    size : int
        Side of the result in pixels.
    augment : {"none", "crop", "simclr"}
        For training. ``"crop"``: a random crop of 70 to 100 % of the area and a random horizontal
        flip; colours and verticals stay, since they tell about the place. ``"simclr"``: a crop of
        20 to 100 % and a flip; its colours and blurs are the work of the device that trains
        (:func:`geoloc_models.training.augmentation.vary_colours`). ``"none"``: the shorter side is
        resized and the centre cut out.
    views : int
        Results per image, each varied anew.
    interpolation : {"bilinear", "bicubic"}
        How images that are not augmented are resized; bicubic as CLIP's are.

    Returns
    -------
    callable
        Gives uint8 (3, size, size), or (views, 3, size, size) for several views.

    Notes
    -----
    Random choices follow torch's generator. Worker processes hand over a quarter of the bytes of
    normalised numbers; see :func:`normalised`.

    Examples
    --------
    >>> from PIL import Image
    >>> from geoloc_models.photos import make_framing
    >>> make_framing(32)(Image.new("RGB", (60, 40))).shape
    torch.Size([3, 32, 32])
    """
    if size < 1:
        raise GeolocError(f"The image size must be at least 1 pixel; got {size}.")
    if views > 1:
        return _Views(make_framing(size, augment=augment), views)
    if augment == "none":
        return _CentreFrame(size, interpolation)
    from torchvision.transforms import v2  # two seconds, which answers need not wait for

    areas_and_ratios = {
        "crop": ((0.7, 1.0), (0.9, 1 / 0.9)),
        "simclr": ((0.2, 1.0), (3 / 4, 4 / 3)),
    }
    if augment not in areas_and_ratios:
        raise GeolocError(f"Unknown augment {augment!r}; choose none, crop or simclr.")
    framing: Callable[[Any], torch.Tensor] = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(size, *areas_and_ratios[augment], antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToPureTensor(),
        ]
    )
    return framing


@dataclass(frozen=True)
class _Views:
    """Several frames of one image."""

    frame: Callable[[Any], torch.Tensor]
    views: int

    def __call__(self, image: Any) -> torch.Tensor:
        return torch.stack([self.frame(image) for _ in range(self.views)])


def normalised(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Pixels less the mean by the deviation: uint8 (..., 3, H, W) to float32 of the same shape.

    ``mean`` and ``std`` are of red, green and blue values in 0..1.
    """
    values = pixels.to(torch.float32).mul_(1.0 / 255)
    for channel in range(3):  # tensors of the means would be copied to the device, and waited for
        values[..., channel, :, :].sub_(mean[channel]).div_(std[channel])
    return values


class _CentreFrame:
    """Resize the shorter side and cut out the centre, as torchvision's v2 does to the last bit.

    Torchvision itself takes two seconds to import, of torch's compiler.
    """

    def __init__(self, size: int, interpolation: str) -> None:
        self.size, self.interpolation = size, interpolation

    def __call__(self, image: Any) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(image)).unsqueeze(0).permute(0, 3, 1, 2)
        height, width = pixels.shape[2:]
        shorter, longer = min(height, width), max(height, width)
        if shorter != self.size:
            longer = int(self.size * longer / shorter)
            shape = (self.size, longer) if height <= width else (longer, self.size)
            pixels = _resized(pixels, shape, self.interpolation)
        height, width = pixels.shape[2:]
        top, left = (self._middle(side - self.size) for side in (height, width))
        return pixels[0, :, top : top + self.size, left : left + self.size]

    def _middle(self, n_left_over: int) -> int:
        """Half of it: to the even number as torchvision does, downwards as CLIP does."""
        return n_left_over // 2 if self.interpolation == "bicubic" else round(n_left_over / 2.0)


def _resized(pixels: torch.Tensor, shape: tuple[int, int], interpolation: str) -> torch.Tensor:
    """Antialiased; in whole numbers where the processor can, as torchvision chooses."""
    in_whole_numbers = torch.backends.cpu.get_cpu_capability() in (
        "AVX2",
        "AVX512",
    ) or platform.machine() in ("aarch64", "arm64")
    resized = torch.nn.functional.interpolate(
        pixels if in_whole_numbers else pixels.to(torch.float32),
        size=shape,
        mode=interpolation,
        align_corners=False,
        antialias=True,
    )
    return resized if in_whole_numbers else resized.round_().clamp_(0, 255).to(torch.uint8)
