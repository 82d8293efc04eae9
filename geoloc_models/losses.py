"""Losses and scores of a batch, as pure functions with float32 results."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy, in float32 whatever the precision of the logits.

    Parameters
    ----------
    logits : Tensor
        (B, C) float of any precision. B batch, C classes.
    target : Tensor
        (B,) int64, the true class of each row.

    Returns
    -------
    Tensor
        float32 scalar.

    Notes
    -----
    ``-mean_i log softmax(logits_i)[target_i]``; O(B C).
    """
    return functional.cross_entropy(logits.float(), target)


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Share of rows whose highest logit is the true class: (B, C), (B,) to a float32 scalar."""
    return (logits.argmax(dim=1) == target).float().mean()
