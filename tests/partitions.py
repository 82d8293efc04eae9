"""Partitions for the tests, and when two of them are the same cells."""

import numpy as np

from geocells import CellBuilder, CellPartition


def consolidated(min_images: int, **options: object) -> CellBuilder:
    """Build by consolidation, whatever the default method is."""
    return CellBuilder(min_images, method="consolidated", **options)


def assert_same_cells(one: CellPartition, other: CellPartition) -> None:
    """Grid, ranges, groups and numbers of every cell agree to the last bit."""
    assert one.grid == other.grid
    for name in ("starts", "stops", "cells"):
        assert np.array_equal(getattr(one.ranges, name), getattr(other.ranges, name)), name
    for name in ("centroids", "locations", "counts", "levels"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert np.array_equal(ours, theirs), name
        assert ours.dtype == theirs.dtype, name
    assert (one.groups is None) == (other.groups is None)
    if one.groups is not None and other.groups is not None:
        assert one.groups.tolist() == other.groups.tolist()
        assert one.group_names.tolist() == other.group_names.tolist()
    assert one.outside == other.outside
