"""A short digest of an encoder, so that features of two encoders are never mixed."""

from __future__ import annotations

import hashlib
import json

import torch

from geoloc_models.models.encoders.image import ImageEncoder


def fingerprint(encoder: ImageEncoder) -> str:
    """Digest of an encoder's name, weights and preprocessing.

    Parameters
    ----------
    encoder : ImageEncoder
        On any device, in any memory format.

    Returns
    -------
    str
        16 hexadecimal digits: the same for the same values, on every machine.

    Notes
    -----
    BLAKE2b over the name, the preprocessing and every tensor of the state dict by its name, dtype,
    shape and bytes; counts of batches, which do not reach a feature, are left out. About a second
    per gigabyte.

    Examples
    --------
    >>> from geoloc_models.models.encoders import build_encoder
    >>> encoder = build_encoder("tiny")
    >>> fingerprint(encoder) == fingerprint(encoder), len(fingerprint(encoder))
    (True, 16)
    """
    digest = hashlib.blake2b(digest_size=8)
    about = {"name": encoder.name, "preprocessing": encoder.preprocessing.to_dict()}
    digest.update(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
