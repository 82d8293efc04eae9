"""What a fit is given of the images, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geocells._types import ArrayLike, IntArray, ObjectArray
from geocells.validation import (
    Coordinates,
    check_coords,
    check_feats,
    check_groups,
    check_sample_weight,
    number_groups,
)


@dataclass(frozen=True)
class Images:
    """Images, a row each.

    Attributes
    ----------
    coords : Coordinates
    feats : (n, n_features) array or None
        A memory map stays one; values are checked when read.
    weights : (n,) int64 or None
        Images that each row stands for.
    group_of_row : (n,) int64 or None
        Number of each row's group.
    group_names : (n_groups,) object or None
        In order.
    """

    coords: Coordinates
    feats: Any = None
    weights: IntArray | None = None
    group_of_row: IntArray | None = None
    group_names: ObjectArray | None = None

    @classmethod
    def of(
        cls,
        coords: ArrayLike,
        feats: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Images:
        """Check what the caller gave.

        Raises
        ------
        TypeError, ValueError
            When a row is unsound; the message names the first such row and the remedy.
        """
        checked = check_coords(coords)
        features = check_feats(feats, len(checked))
        weights = check_sample_weight(sample_weight, len(checked))
        if groups is None:
            return cls(checked, features, weights)
        return cls(checked, features, weights, *number_groups(check_groups(groups, len(checked))))
