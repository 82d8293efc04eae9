"""Weights of encoders: read without running code from the file, renamed, and fitted exactly."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError, MissingWeightsError

logger = logging.getLogger(__name__)

WEIGHTS_QUESTION = (
    "Choose: a file of weights; the encoder efficientnet_lite0, whose weights come in a package; or train "
    "with weights none: random numbers, which need very many photos."
)
"""What to do where there are no pretrained weights."""

_WRAPPERS = ("module.", "encoder.", "backbone.")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` or ``.pth`` file without running code from it."""
    path = Path(path)
    if not path.is_file():
        raise MissingWeightsError(
            f"There is no weights file {path}; give the path of a .pth or .safetensors state "
            'dict, "imagenet", or nothing to start from random numbers.'
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
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


def load_weights(
    backbone: nn.Module,
    path: str | Path,
    *,
    name: str,
    classifier: str,
    rename: Callable[[str], str] | None = None,
) -> None:
    """Load a file into a backbone; all its names and shapes must be there.

    Parameters
    ----------
    backbone : torch.nn.Module
        Without its classifier.
    path : str or Path
        ``.safetensors`` or ``.pth``.
    name : str
        Of the encoder, for messages.
    classifier : str
        Attribute that the classifier had: its tensors are left out, as are those of ``head``.
    rename : callable, optional
        Gives the backbone's name of a tensor in the file.

    Raises
    ------
    GeolocError
        If the file is no state dict, or one of another architecture.
    MissingWeightsError
        If there is no such file.
    """
    wanted = backbone.state_dict()
    state = strip_wrappers(read_state_dict(path), wanted.keys(), classifier, rename)
    missing = sorted(wanted.keys() - state.keys())
    unexpected = sorted(state.keys() - wanted.keys())
    misshapen = sorted(
        name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape
    )
    if missing or unexpected or misshapen:
        example = (missing + unexpected + misshapen)[0]
        raise GeolocError(
            f"The weights in {path} do not fit the encoder {name}: {len(missing)} tensors are "
            f"missing, {len(unexpected)} unknown, {len(misshapen)} of another shape (first: "
            f"{example}). Are they of another architecture?"
        )
    backbone.load_state_dict(state)
    logger.info("loaded %d tensors into %s from %s", len(state), name, path)


def strip_wrappers(
    state: Mapping[str, Tensor],
    wanted: Collection[str],
    classifier: str,
    rename: Callable[[str], str] | None = None,
) -> dict[str, Tensor]:
    """Drop the classifier's tensors and the prefixes that wrappers add.

    Prefixes are taken off, one by one, until the backbone wants the name or none is left: a vision
    transformer's own parts are called ``encoder.``, too.
    """
    stripped = {}
    for key, tensor in state.items():
        outer, name = key, key
        while True:
            name = rename(outer) if rename is not None else outer
            prefix = next((prefix for prefix in _WRAPPERS if outer.startswith(prefix)), None)
            if name in wanted or prefix is None:
                break
            outer = outer.removeprefix(prefix)
        if name in wanted or not name.startswith((f"{classifier}.", "head.")):
            stripped[name] = tensor
    return stripped


def downloaded_weights(url: str, *, name: str) -> Path:
    """Where torch keeps a file of pretrained weights, downloading it if need be.

    Raises
    ------
    MissingWeightsError
        The file is neither in torch's cache nor to be had; the message says which file belongs
        where.
    """
    file_name = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / file_name
    if path.is_file():
        return path
    hash_prefix = file_name.rsplit("-", 1)[-1].split(".")[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=hash_prefix, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError) as error:
        raise MissingWeightsError(
            f"The ImageNet weights of {name} are not on this machine and could not be "
            f"downloaded ({error}). Put the file {file_name} (from {url}) into {folder}, or "
            f"choose otherwise. {WEIGHTS_QUESTION}"
        ) from error
    return path
