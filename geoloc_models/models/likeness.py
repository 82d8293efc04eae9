"""Vectors of photos that are alike where the photos were taken near each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from geocells import sphere

_EPOCHS = 8
_FEWEST_STEPS, _MOST_STEPS = 64, 1500
_BATCH = 256
_LEAST_GALLERY, _MOST_GALLERY = 1024, 4096
_TEMPERATURE = 0.05
_DROPOUT = 0.3
_RATE = 0.06  # of the mean size of the entries, a step
_SAME_SPOT_KM = 0.2
LEAST_MASS = 0.01  # so that no photo far from all others decides alone

Vectors = npt.NDArray[np.float32]


def learn_projection(
    features: npt.NDArray[np.floating[Any]],
    coords: npt.NDArray[np.float64],
    n_components: int,
    radii_km: tuple[float, ...],
    device: torch.device | None = None,
) -> tuple[Vectors, Vectors]:
    """Learn a linear projection under which photos taken near each other are alike.

    Parameters
    ----------
    features : ndarray
        (n, D) floating point.
    coords : ndarray
        (n, 2) latitude and longitude in degrees.
    n_components : int
        Numbers of a vector, E.
    radii_km : tuple of float
        What near means.
    device : torch.device, optional
        Where to learn; by default the CPU.

    Returns
    -------
    tuple of ndarray
        Mean (D,) and projection (D, E): the vector of features x is ``(x - mean) @ projection``.

    Notes
    -----
    Starts from :func:`principal_components`. Photo i of a batch picks photo j of a gallery with
    probability ``p_ij ~ exp(cos(z_i, z_j) / 0.05)``, those within 200 m of it left out, since near
    duplicates teach nothing; the loss is the mean of ``-log (sum of p_ij with j within r km)`` over
    batch and radii, as in neighbourhood components analysis [1]_. Adam, 8 epochs in batches of
    256, 64 to 1 500 steps; a gallery is half of the photos, from 1 024 to 4 096 of them, drawn for
    each step. The same photos give the same projection.

    References
    ----------
    .. [1] Goldberger, Roweis, Hinton, Salakhutdinov (2004), Neighbourhood Components Analysis, NIPS.
    """
    features = features.astype(np.float32, copy=False)
    centre, projection = principal_components(features, n_components)
    n = len(features)
    centred = torch.from_numpy(features - centre)
    scale = float(centred.norm(dim=1).mean()) or 1.0
    centred = (centred / scale).to(device)
    units = torch.from_numpy(sphere.to_unit_vectors(coords)).to(device)
    weight = torch.nn.Parameter(torch.from_numpy(projection * np.float32(scale)).to(device))
    optimizer = torch.optim.Adam([weight], lr=_RATE * float(weight.detach().abs().mean()))
    chords = [2 * np.sin(min(km / sphere.EARTH_RADIUS_KM, np.pi) / 2) for km in radii_km]
    generator = torch.Generator().manual_seed(0)
    steps = min(max(_EPOCHS * n // _BATCH, _FEWEST_STEPS), _MOST_STEPS)
    n_gallery = min(max(n // 2, _LEAST_GALLERY), _MOST_GALLERY)
    for _ in range(steps):
        gallery = torch.randperm(n, generator=generator)[:n_gallery]
        batch = torch.randperm(len(gallery), generator=generator)[:_BATCH].to(device)
        is_kept = torch.rand(len(gallery), features.shape[1], generator=generator) > _DROPOUT
        gallery = gallery.to(device)
        inputs = centred[gallery] * is_kept.to(device)
        vectors = functional.normalize(inputs @ weight, dim=1)
        places = units[gallery]
        squared_chord = (2 - 2 * places[batch] @ places.T).float()
        likeness = (vectors[batch] @ vectors.T) / _TEMPERATURE
        optimizer.zero_grad()
        torch.autograd.backward(_loss(likeness, squared_chord, batch, chords))
        optimizer.step()
    learned: Vectors = (weight.detach() / scale).cpu().numpy()
    return centre, learned


def _loss(likeness: Tensor, squared_chord: Tensor, batch: Tensor, chords: list[float]) -> Tensor:
    spot = 2 * np.sin(_SAME_SPOT_KM / sphere.EARTH_RADIUS_KM / 2)
    is_same = squared_chord <= spot**2
    is_same[torch.arange(len(batch), device=batch.device), batch] = True
    p = likeness.masked_fill(is_same, -1e9).softmax(dim=1)
    masses = torch.stack([(p * (squared_chord <= chord**2)).sum(dim=1) for chord in chords])
    return -torch.log(masses + LEAST_MASS).mean()


def principal_components(
    features: npt.NDArray[np.float32], n_components: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean (D,) of (n, D) features, and (D, E) that takes their difference to it to E components.

    Notes
    -----
    Component j is divided by the root of ``v_j + v_(E/2)``, v the variances by falling size:
    the first ones then vary alike, and the last ones, which are noise, less. O(n D^2 + D^3).
    """
    centre = features.mean(axis=0, dtype=np.float64)
    centred = features - centre.astype(np.float32)
    variances, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(features))
    variances, axes = variances[::-1][:n_components], axes[:, ::-1][:, :n_components]
    floor = max(variances[len(variances) // 2], 1e-6 * variances[0], 1e-30)
    scales = 1.0 / np.sqrt(np.maximum(variances, 0.0) + floor)
    return centre.astype(np.float32), (axes * scales).astype(np.float32)
