"""Losses and scores of a batch, as pure functions with float32 results."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from geocells import sphere
from geoloc_models.models.float64 import Float64Buffers


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean cross entropy, in float32 whatever the precision of the logits.

    Parameters
    ----------
    logits : Tensor
        (B, C) float of any precision. B batch, C classes.
    target : Tensor
        (B,) int64, the true class of each row; rows of class -1 do not count.
    class_weights : Tensor, optional
        (C,) float, what a row of each class counts; see :func:`balanced_class_weights`.
    label_smoothing : float, default 0.0
        Share of the truth that is spread over all classes alike.

    Returns
    -------
    Tensor
        float32 scalar.

    Notes
    -----
    ``-sum_i w_i log softmax(logits_i)[target_i] / sum_i w_i``, with ``w_i`` the weight of row i's
    class; O(B C). 0 where no row counts. Rows are not picked out by class: that would wait for the
    device.
    """
    weights = None if class_weights is None else class_weights.to(logits.device).float()
    total = functional.cross_entropy(
        logits.float(),
        target,
        weight=weights,
        ignore_index=-1,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    counts = (target >= 0).float()
    if weights is not None:
        counts = counts * weights[target.clamp(min=0)]
    return total / counts.sum().clamp(min=1e-30)


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Share of rows whose highest logit is the true class: (B, C), (B,) to a float32 scalar.

    Rows of class -1 do not count; 0 where none does.
    """
    right = (logits.argmax(dim=1) == target).sum()
    return right.float() / (target >= 0).sum().clamp(min=1)


def balanced_class_weights(counts: Tensor) -> Tensor:
    """Weights under which every class counts the same, however many images it has.

    Parameters
    ----------
    counts : Tensor
        (C,) training images of each class.

    Returns
    -------
    Tensor
        (C,) float32, ``n / (C counts)`` over the C classes that have images; 0 for the others.
        Weighted by ``counts`` their mean is 1.
    """
    images = counts.double()
    some = images > 0
    weights = images.sum() / (some.sum() * images.clamp(min=1.0))
    return torch.where(some, weights, 0.0).float()


def offset_loss(
    logits: Tensor,
    offset: Tensor,
    country: Tensor,
    true_offset: Tensor,
    *,
    alpha: float,
) -> Tensor:
    """Country and offset within the country, in one number.

    Parameters
    ----------
    logits : Tensor
        (B, K) float. B batch, K countries.
    offset : Tensor
        (B, 2) float, predicted place inside the country's box: latitude and longitude from the
        lower left corner, divided by the box's height and width.
    country : Tensor
        (B,) int64, true country; rows of country -1 do not count.
    true_offset : Tensor
        (B, 2) float in [0, 1], true place inside the true country's box.
    alpha : float
        Share of the country: 1 is the country alone, 0 the offset alone.

    Returns
    -------
    Tensor
        float32 scalar.

    Notes
    -----
    ``alpha CE(country) + (1 - alpha) MSE(offset)``, the mean squared error over rows and both
    coordinates.
    """
    known = country >= 0
    squared = (offset.float() - true_offset.float()).square().mean(dim=1)
    mean = squared.masked_fill(~known, 0.0).sum() / known.sum().clamp(min=1)
    return alpha * cross_entropy(logits, country) + (1.0 - alpha) * mean


def haversine_km(a: Tensor, b: Tensor) -> Tensor:
    """Great-circle distances from every place of one set to every place of another.

    Parameters
    ----------
    a, b : Tensor
        (B, 2) and (M, 2), latitude and longitude in degrees.

    Returns
    -------
    Tensor
        (B, M) float64, kilometres: :func:`geocells.sphere.haversine_matrix` on the coordinates'
        device.
    """
    phi_a, lambda_a = torch.deg2rad(a.double())[:, None, :].unbind(dim=-1)
    phi_b, lambda_b = torch.deg2rad(b.double()).unbind(dim=-1)
    root = (
        torch.sin((phi_b - phi_a) / 2.0) ** 2
        + torch.cos(phi_a) * torch.cos(phi_b) * torch.sin((lambda_b - lambda_a) / 2.0) ** 2
    )
    return 2.0 * sphere.EARTH_RADIUS_KM * torch.asin(torch.sqrt(root.clamp(0.0, 1.0)))


def smoothed_targets(distance_km: Tensor, *, tau_km: float) -> Tensor:
    """Spread the true class over the cells near the photo.

    Parameters
    ----------
    distance_km : Tensor
        (B, C) distance of each photo to the point of each cell, as :func:`haversine_km` gives.
        B batch, C cells. An infinite distance leaves a cell out.
    tau_km : float
        A cell this much farther than another gets 1/e of its share.

    Returns
    -------
    Tensor
        (B, C) float32, rows that sum to 1: targets of :func:`soft_cross_entropy`.

    Notes
    -----
    ``y_k ~ exp(-(d_k - d_true) / tau)`` [1]_. The distance to the true cell is a factor common to
    the row, which the sum to 1 takes out again; so it need not be known.

    References
    ----------
    .. [1] Haas, Skreta, Alberti, Finn (2024), PIGEON: Predicting image geolocations, section 3.2.
    """
    return torch.softmax(-distance_km.double() / tau_km, dim=1).float()


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy against shares instead of one true class.

    Parameters
    ----------
    logits : Tensor
        (B, C) float of any precision. B batch, C classes.
    targets : Tensor
        (B, C) float, rows that sum to 1; rows of zeros do not count.

    Returns
    -------
    Tensor
        float32 scalar, ``-mean_i sum_k y_ik log softmax(logits_i)[k]``.
    """
    total = functional.cross_entropy(logits.float(), targets.float(), reduction="sum")
    return total / (targets > 0).any(dim=1).sum().clamp(min=1)


def nt_xent(
    image: Tensor,
    location: Tensor,
    false_locations: Tensor,
    *,
    temperature: float | Tensor = 0.07,
    weights: Tensor | None = None,
) -> Tensor:
    """Contrast each image's own location with false ones.

    Parameters
    ----------
    image : Tensor
        (B, D) float of any precision, or (B, V, D): V augmented views of each image. B batch,
        D embedding.
    location : Tensor
        (B, D), embedding of each image's own location.
    false_locations : Tensor
        (M, D), false locations that all images share.
    temperature : float or Tensor, default 0.07
        Divides the similarities; a scalar tensor is learned.
    weights : Tensor, optional
        (B, M) float, what each false location counts, of :func:`false_weights`; 0 leaves it out. By
        default all count 1.

    Returns
    -------
    Tensor
        float32 scalar (float64 for float64 embeddings): the mean over images and views.

    Notes
    -----
    ``-log(e^{s_ii / t} / (e^{s_ii / t} + sum_k w_ik e^{s_ik / t}))`` with cosine similarities ``s``
    [1]_, as ``softplus(logsumexp_k(s_ik / t + log w_ik) - s_ii / t)``, which cannot overflow. An image
    without any false location left has loss 0. O(B V M D).

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi, Hinton (2020), A simple framework for contrastive learning of
       visual representations (SimCLR), section 2.1.
    """
    image, location = _unit_rows(image), _unit_rows(location)
    false_locations = _unit_rows(false_locations)
    views = image if image.ndim == 3 else image[:, None]  # (B, V, D)
    with torch.autocast(device_type=image.device.type, enabled=False):  # it would halve these
        true = torch.einsum("bvd,bpd->bvp", views, location[:, None]) / temperature
        false = torch.einsum("bvd,md->bvm", views, false_locations) / temperature
    if weights is not None:
        false = false + weights.to(false.dtype).log()[:, None]
        false = false.clamp(min=torch.finfo(false.dtype).min)  # in place of -inf
    if false.shape[2] == 0:
        return true.sum() * 0.0
    return functional.softplus(torch.logsumexp(false, dim=2, keepdim=True) - true).mean()


def false_weights(coords: Tensor, false_coords: Tensor, *, mask_km: float) -> Tensor:
    """What each false location counts: 1, or 0 where it is too near to be called false.

    Parameters
    ----------
    coords : Tensor
        (B, 2), latitude and longitude of the images in degrees.
    false_coords : Tensor
        (M, 2), of the false locations.
    mask_km : float
        Nearer than this is too near.

    Returns
    -------
    Tensor
        (B, M) float32, the ``weights`` of :func:`nt_xent`.
    """
    return (haversine_km(coords, false_coords) >= mask_km).float()


def vanilla_loss(image: Tensor, location: Tensor) -> Tensor:
    """Draw each image to its own location without contrast: the ablation of :func:`nt_xent`.

    Parameters
    ----------
    image : Tensor
        (B, D) float of any precision, or (B, V, D) for V views. B batch, D embedding.
    location : Tensor
        (B, D), embedding of each image's own location.

    Returns
    -------
    Tensor
        float32 scalar (float64 for float64 embeddings), the mean of ``1 - cos``.

    Notes
    -----
    Nothing keeps locations apart: where the location encoder is trained too, all embeddings may
    fall into one. Detach ``location`` to train the image encoder alone.
    """
    if image.ndim == 3:
        location = location[:, None].expand_as(image)
    return 1.0 - (_unit_rows(image) * _unit_rows(location)).sum(dim=-1).mean()


class LocationQueue(Float64Buffers):
    """The coordinates of previous batches, first in, first out: false locations for the next.

    Parameters
    ----------
    size : int
        Coordinates in the queue; it is always full.
    coords : Tensor
        (n, 2), training coordinates, latitude and longitude in degrees: the queue starts with a
        draw of these, so that the first batches are contrasted with real places too.
    seed : int, default 0
        Seed of the draw: without repetition where ``n`` suffices.

    Notes
    -----
    The queue and its place in it are buffers: saved with the task, so that a run that is resumed
    goes on with the same false locations. Coordinates are stored in float64, not embeddings: the
    location encoder is cheap, and a stored embedding would be an older encoder's.

    Examples
    --------
    >>> queue = LocationQueue(2, torch.tensor([[59.3, 18.0], [47.0, 8.0]]))
    >>> queue.push(torch.tensor([[46.2, 6.1]], dtype=torch.float64))
    >>> (queue.coords == torch.tensor([46.2, 6.1], dtype=torch.float64)).all(dim=1).sum().item()
    1
    """

    coords: Tensor
    place: Tensor

    def __init__(self, size: int, coords: Tensor, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        n_rounds = -(-size // len(coords))
        drawn = torch.cat(
            [torch.randperm(len(coords), generator=generator) for _ in range(n_rounds)]
        )[:size]
        self.register_buffer("coords", coords.detach()[drawn.to(coords.device)].double())
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, coords: Tensor) -> None:
        """Put a batch in, (B, 2) in degrees, in place of the B oldest; of more than fit, the last.

        Call it after the batch's loss: the queue holds *previous* batches.
        """
        size = len(self.coords)
        start = self.place + max(len(coords) - size, 0)
        latest = coords.detach()[-size:].to(self.coords.device, torch.float64)
        rows = (start + torch.arange(len(latest), device=self.coords.device)) % size
        self.coords[rows] = latest
        self.place.copy_((self.place + len(coords)) % size)


def _unit_rows(embeddings: Tensor) -> Tensor:
    """Embeddings of length 1, float32 or float64; a zero stays zero."""
    values = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    return functional.normalize(values, dim=-1)
