"""Losses against a few lines of NumPy."""

import numpy as np
import torch

from geoloc_models.losses import accuracy, cross_entropy


def test_cross_entropy_agrees_with_numpy():
    random = np.random.default_rng(0)
    logits = random.normal(size=(6, 4))
    target = random.integers(4, size=6)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -log_softmax[np.arange(6), target].mean()
    loss = cross_entropy(torch.tensor(logits), torch.tensor(target))
    # float32: seven digits.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)


def test_loss_is_float32_for_half_precision_logits():
    logits = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert cross_entropy(logits, torch.tensor([0, 1])).dtype == torch.float32


def test_accuracy_counts_the_highest_logit():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1, 1])).item() == 0.75
