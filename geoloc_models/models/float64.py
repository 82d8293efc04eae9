"""Modules whose double-precision numbers stay in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Float64Buffers(nn.Module):
    """A module whose own float64 buffers keep their precision when the module is cast.

    ``module.half()``, ``.to(torch.bfloat16)`` and a trainer's "bf16-true" cast whatever floats a
    module holds. Coordinates in bfloat16 are a degree off, and frequencies of thousands of cycles
    mean nothing; so those follow the module to its device and no further. Where a device has no
    float64 (Apple's), they stay on the CPU.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = {
            name: buffer
            for name, buffer in self._buffers.items()
            if buffer is not None and buffer.dtype == torch.float64
        }
        for name, buffer in exact.items():
            self._buffers[name] = torch.empty(0, device=buffer.device)
        applied: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            moved = self._buffers[name]
            device = buffer.device if moved is None else moved.device
            self._buffers[name] = buffer.to("cpu" if device.type == "mps" else device)
        return applied


class Float64Table(Float64Buffers):
    """Exact numbers that a task reads on its device, and that are no weights.

    Parameters
    ----------
    values : ndarray
        float64, of any shape.
    """

    values: Tensor

    def __init__(self, values: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("values", torch.from_numpy(values), persistent=False)
