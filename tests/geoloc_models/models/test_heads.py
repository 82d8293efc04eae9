"""The three-layer perceptron."""

import torch
from torch import nn

from geoloc_models.models.heads import MLPHead


def test_head_has_three_layers_and_gives_one_number_per_class():
    head = MLPHead(8, 5, hidden=16)
    widths = [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, nn.Linear)]
    assert widths == [(8, 16), (16, 16), (16, 5)]
    assert head(torch.zeros(3, 8)).shape == (3, 5)
    assert head(torch.zeros(0, 8)).shape == (0, 5)
