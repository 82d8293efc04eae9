"""Slow, obvious twin of the choice of optimal cells: every choice is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np


def owners(chosen: Sequence[bool], parents: Sequence[int]) -> list[int]:
    """Nearest chosen node at or above each node, or else the root."""
    result = []
    for start in range(len(parents)):
        node = start
        while not chosen[node] and parents[node] >= 0:
            node = parents[node]
        result.append(node)
    return result


def choices(
    parents: Sequence[int], own_counts: Sequence[int], min_images: int
) -> Iterator[tuple[list[bool], list[int]]]:
    """Every choice in which each chosen node gets enough, with the owner of each node's own images.

    The root, the last node, is chosen where what is left is enough.
    """
    root = len(parents) - 1
    for others in product([False, True], repeat=root):
        owner = owners([*others, True], parents)
        held = [0] * len(parents)
        for node, own in zip(owner, own_counts, strict=True):
            held[node] += own
        chosen = [*others, held[root] >= min_images]
        if all(held[node] >= min_images for node, is_cell in enumerate(chosen) if is_cell):
            yield chosen, owner


def least_price(
    levels: Sequence[int],
    parents: Sequence[int],
    own_counts: Sequence[int],
    prices: np.ndarray,
    min_images: int,
) -> float:
    """Least sum of ``prices[node, level of its owner]`` over all choices."""
    return min(
        sum(prices[node, levels[own]] for node, own in enumerate(owner))
        for _, owner in choices(parents, own_counts, min_images)
    )
