"""What the device can do: which one there is, what it computes in, how much fits into it."""

from __future__ import annotations

import os

import torch

from geoloc_models.errors import GeolocError

_NUMBERS = {"16": torch.float16, "bf16": torch.bfloat16}


def best_device() -> torch.device:
    """The accelerator, where there is one, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def auto_workers() -> int:
    """Processes that load images: one a core, 16 at most, beside a graphics card; else none."""
    if best_device().type != "cuda":
        return 0
    affinity = getattr(os, "sched_getaffinity", None)
    return min(16, (os.cpu_count() or 1) if affinity is None else len(affinity(0)))


def resolve_precision(precision: str, device: torch.device) -> str:
    """Name the precision that ``auto`` stands for on a device: 32, 16 or bf16.

    A CPU computes in 32: on one without bf16 instructions, bf16 took 6 to 26 times as long.
    """
    if precision == "auto":
        if device.type != "cuda":
            return "32"
        return "bf16" if torch.cuda.is_bf16_supported() else "16"
    if precision != "32" and precision not in _NUMBERS:
        raise GeolocError(f"Unknown precision {precision!r}; choose auto, 32, 16 or bf16.")
    return precision


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Context in which matrix products and convolutions run in a resolved precision."""
    return torch.autocast(device.type, _NUMBERS.get(precision), enabled=precision != "32")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and speaks_of_little_memory(str(error))
    )


def speaks_of_little_memory(message: str) -> bool:
    """Whether an error's message is that of a device with too little memory."""
    return any(
        words in message.lower() for words in ("outofmemory", "out of memory", "not enough memory")
    )


def free_memory(device: torch.device) -> None:
    """Give back what the device's allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
