"""Heads turn an embedding into the numbers a task predicts."""

from __future__ import annotations

from torch import Tensor, nn


class MLPHead(nn.Module):
    """The paper's three-layer perceptron.

    Parameters
    ----------
    dim_in : int
        Length of an embedding.
    n_out : int
        Numbers to predict: classes, say.
    hidden : int, default 256
        Width of the two hidden layers.
    dropout : float, default 0.0
        Share of hidden numbers set to zero in training.

    Examples
    --------
    >>> import torch
    >>> MLPHead(8, 3)(torch.zeros(2, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, dim_in: int, n_out: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim_in, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_out),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Predict from embeddings.

        Parameters
        ----------
        embedding : Tensor
            (B, D) float. B batch, D embedding.

        Returns
        -------
        Tensor
            (B, K) float. K is ``n_out``.
        """
        out: Tensor = self.layers(embedding)
        return out


class FeatureHead(nn.Module):
    """Standardised embedding, one hidden layer: a head for embeddings of any scale.

    Parameters
    ----------
    dim_in : int
        Length of an embedding.
    n_out : int
        Numbers to predict: classes, say.
    hidden : int
        Width of the hidden layer.
    dropout : float, default 0.0
        Share of embedding and hidden numbers set to zero in training.

    Notes
    -----
    Each number of the embedding is brought to mean 0 and deviation 1 of the batch in training, and
    of what was trained on afterwards.

    Examples
    --------
    >>> import torch
    >>> FeatureHead(8, 3, 16)(torch.zeros(2, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, dim_in: int, n_out: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(dim_in, affine=False)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(dim_in, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_out),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Predict from embeddings.

        Parameters
        ----------
        embedding : Tensor
            (B, D) float. B batch, D embedding.

        Returns
        -------
        Tensor
            (B, K) float. K is ``n_out``.
        """
        is_alone = self.training and len(embedding) == 1  # one row has no deviation
        self.standardize.train(self.training and not is_alone)
        out: Tensor = self.layers(self.standardize(embedding))
        return out
