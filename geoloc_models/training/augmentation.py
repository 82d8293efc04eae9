"""SimCLR's colours and blurs, of whole batches on their device: each photo by numbers of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

N_NUMBERS = 8  # a photo
_STRENGTH = 0.8  # of brightness, contrast and saturation
_LARGEST_TURN = 0.2  # of the hue, as a share of the colour circle
_LUMA = (0.299, 0.587, 0.114)


def numbers_of_rows(rows: Iterable[int], n_views: int, seeds: tuple[int, int]) -> Tensor:
    """Draw what varies photos, by (seed, epoch) and the row alone: (B, n_views, 8) float32 in [0, 1)."""
    drawn = [np.random.default_rng([*seeds, row, 3]).random((n_views, N_NUMBERS)) for row in rows]
    return torch.from_numpy(np.array(drawn, dtype=np.float32))


def vary_colours(pixels: Tensor, numbers: Tensor) -> Tensor:
    """Vary photos as SimCLR does: four of five in colour, one of five to grey, every other one blurred.

    Parameters
    ----------
    pixels : Tensor
        (B, 3, H, W) uint8, red, green and blue.
    numbers : Tensor
        (B, 8) float32, uniform in [0, 1), on the same device.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8.

    Notes
    -----
    Brightness, contrast (about the photo's mean grey) and saturation are multiplied by 0.2 to 1.8, and the
    hue is turned about the grey axis by up to a fifth of the circle: together one 3 x 3 matrix and an offset
    a photo [2]_, cut off at 0 and 255 once. The blur is a Gaussian of 0.1 to 2 pixels, a tenth of the side
    wide. A few launches a batch, none of which waits for the device.

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi, Hinton (2020), A simple framework for contrastive learning of
       visual representations (SimCLR), appendix A.
    .. [2] Karras et al. (2020), Training generative adversarial networks with limited data, appendix B.
    """
    n, _, height, width = pixels.shape
    matrix, about_grey = _colour_matrices(numbers[:, :6])
    values = pixels.flatten(2).float()
    grey = sum(share * values[:, k].mean(dim=1) for k, share in enumerate(_LUMA))
    values = torch.baddbmm((about_grey * grey)[:, None, None], matrix, values)
    sigma = (0.1 + 1.9 * numbers[:, 7]).masked_fill(numbers[:, 6] >= 0.5, 1e-3)
    half = max(3, min(height, width) // 10 // 2 * 2 + 1) // 2
    offsets = torch.arange(-half, half + 1, device=pixels.device)
    kernel = torch.softmax(-0.5 * (offsets / sigma[:, None]) ** 2, dim=1).repeat_interleave(3, 0)
    planes = functional.pad(values.reshape(1, 3 * n, height, width), [half] * 4, mode="reflect")
    for shape in ((3 * n, 1, -1, 1), (3 * n, 1, 1, -1)):
        planes = functional.conv2d(planes, kernel.reshape(shape), groups=3 * n)
    return planes.reshape(pixels.shape).round_().clamp_(0, 255).to(torch.uint8)


def _colour_matrices(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) of red, green and blue, and (B,) the share of the mean grey that is added."""
    changes = (2 * numbers[:, 1:5] - 1) * (numbers[:, :1] < 0.8)
    brightness, contrast, saturation = (1 + _STRENGTH * changes[:, :3]).unbind(1)
    saturation = saturation.masked_fill(numbers[:, 5] < 0.2, 0.0)[:, None, None]
    turn = 2 * math.pi * _LARGEST_TURN * changes[:, 3]
    cos, sin = turn.cos()[:, None], turn.sin()[:, None] / math.sqrt(3)
    first = torch.cat([cos + (1 - cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin], dim=1)
    hue = torch.stack([first.roll(k, dims=1) for k in range(3)], dim=1)  # a circulant matrix
    luma = torch.cat([torch.full_like(cos, share) for share in _LUMA], dim=1)[:, None]
    saturated = saturation * hue + (1 - saturation) * luma  # a hue's rows sum to 1: grey stays
    return saturated * (brightness * contrast)[:, None, None], brightness * (1 - contrast)
