"""Slow, obvious twin of the bottom-up construction, from the definitions alone.

Images lie on the leaves of a square of ``2**leaf_level`` leaves a side; every window is looked at anew for each winner.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from naive import morton


def wcss(feats: np.ndarray) -> float:
    """Within-group sum of squares."""
    return float(((feats - feats.mean(axis=0)) ** 2).sum())


def nine_digits(value: float) -> float:
    """Round to 30 bits of mantissa, half up."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    (rounded,) = struct.unpack("<d", struct.pack("<q", (bits + (1 << 21)) & ~((1 << 22) - 1)))
    return float(rounded)


@dataclass(frozen=True)
class Window:
    """A square of leaves that won these images."""

    level: int
    row: int
    column: int
    side: int
    images: tuple[int, ...]


def bottom_up(
    places: Sequence[tuple[int, int]],
    feats: np.ndarray,
    leaf_level: int,
    deepest: int,
    *,
    min_images: int,
    overlap: int,
    competition: str,
    rank_by: str,
) -> list[Window]:
    """Windows in the order in which they won."""
    unassigned = set(range(len(places)))
    winners: list[Window] = []
    turns = [[level] for level in range(deepest, -1, -1)]
    if competition == "all":
        turns = [[level for turn in turns for level in turn]]
    for levels in turns:
        while True:
            candidates = []
            for level in levels:
                side = 2 ** (leaf_level - level)
                step = side // overlap
                for row in range(0, 2**leaf_level - side + 1, step):
                    for column in range(0, 2**leaf_level - side + 1, step):
                        images = tuple(
                            image
                            for image in sorted(unassigned)
                            if row <= places[image][0] < row + side
                            and column <= places[image][1] < column + side
                        )
                        if len(images) >= min_images:
                            value = {
                                "count": -float(len(images)),
                                "wcss": nine_digits(wcss(feats[list(images)])),
                                "mean_wcss": nine_digits(wcss(feats[list(images)]) / len(images)),
                            }[rank_by]
                            window = Window(level, row, column, side, images)
                            candidates.append((value, -level, morton(row, column), window))
            if not candidates:
                break
            best = min(candidates, key=lambda candidate: candidate[:3])[3]
            winners.append(best)
            unassigned -= set(best.images)
    return winners
