"""Top-down and consolidated cells."""

from __future__ import annotations

import numpy as np

from geocells.claims import Claims
from geocells.constructions import _quadtree_kernels
from geocells.constructions.bins import Bins


def top_down(
    bins: Bins,
    root: int,
    leaf_level: int,
    deepest: int,
    *,
    min_images: int,
    max_images: int | None = None,
) -> Claims:
    """Split a root cell while a child would have enough images.

    Parameters
    ----------
    bins : Bins
        Occupied leaf codes and their images.
    root : int
        First leaf code of the root cell.
    leaf_level : int
        Level of the leaf codes: the root spans ``4**leaf_level`` of them.
    deepest : int
        Cells of this level are not split, ``deepest <= leaf_level``.
    min_images : int
        Split while any child holds at least this many images.
    max_images : int, optional
        Given, split while the cell holds more than this many images instead, and claim no leaf that holds fewer than
        ``min_images``: the adaptive partition of [2]_ and [3]_, which drop such leaves.

    Returns
    -------
    claims : Claims
        One range for every non-empty leaf, by code. Without ``max_images`` a leaf may hold fewer than ``min_images``.

    Notes
    -----
    O(n_cells * log n_bins); depth first, no recursion.

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, top-down cells.
    .. [2] Weyand, Kostrikov, Philbin (2016), PlaNet.
    .. [3] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos (ISN).
    """
    low, high = bins.slice_of(root, root + 4**leaf_level)
    starts, levels = _quadtree_kernels.top_down(
        bins.codes,
        bins.totals,
        low,
        high,
        np.uint64(root),
        leaf_level,
        deepest,
        min_images,
        -1 if max_images is None else max_images,
    )
    stops = starts + _spans(levels, leaf_level)
    if max_images is not None:
        held = bins.totals[np.searchsorted(bins.codes, stops)]
        enough = held - bins.totals[np.searchsorted(bins.codes, starts)] >= min_images
        starts, stops, levels = starts[enough], stops[enough], levels[enough]
    return Claims.one_range_a_cell(starts, stops, levels)


def consolidate(bins: Bins, root: int, leaf_level: int, deepest: int, *, min_images: int) -> Claims:
    """Cells of :func:`top_down`, those short of images handed up to their parent.

    A parent that is handed enough becomes a cell, with its children's cells as holes in it; otherwise it hands on. What
    reaches the root short stays unclaimed.

    Parameters
    ----------
    bins, root, leaf_level, deepest, min_images
        As in :func:`top_down`.

    Returns
    -------
    claims : Claims
        One range a cell, children before their parents: the first claim on a code wins. Every cell wins at least
        ``min_images`` images.

    Notes
    -----
    The result depends on the grid, ``min_images`` and ``deepest`` alone, so one upward walk gives it; cells without
    enough images are never entered. O(n_cells * deepest * log n_bins).

    References
    ----------
    .. [1] Sweden or Switzerland: GeoLocation on Noisy Datasets, consolidated cells.
    """
    low, high = bins.slice_of(root, root + 4**leaf_level)
    starts, levels = _quadtree_kernels.consolidate(
        bins.codes, bins.totals, low, high, np.uint64(root), leaf_level, deepest, min_images
    )
    return Claims.one_range_a_cell(starts, starts + _spans(levels, leaf_level), levels)


def _spans(levels: np.ndarray, leaf_level: int) -> np.ndarray:
    """Leaf codes in a cell of each level."""
    return np.uint64(1) << (2 * (leaf_level - levels)).astype(np.uint64)
