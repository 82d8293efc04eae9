"""The choice of optimal cells against all choices, and against the consolidated cells."""

from __future__ import annotations

import naive_optimal
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import coordinates, min_images

from geocells import CellBuilder, LatLonGrid
from geocells.constructions import Bins, heat_maps
from geocells.constructions.optimal import cheapest

LEAF_LEVEL = 4


@given(st.data(), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_no_choice_is_cheaper(data: st.DataObject, least: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = data.draw(st.lists(st.integers(0, 4**LEAF_LEVEL - 1), min_size=1, max_size=8))
    codes = np.unique(codes).astype(np.uint64)
    bins = Bins.from_counts(codes, rng.integers(1, 2 * least + 1, len(codes)))
    maps = heat_maps(bins, LEAF_LEVEL, LEAF_LEVEL, overlap=1, min_images=least)
    assume(0 < len(maps.node_level) <= 11)
    # Whole numbers, so that choices of the same price tie.
    prices = rng.integers(0, 10, (len(maps.node_level), LEAF_LEVEL + 1)).astype(float)
    chosen = cheapest(maps.node_level, maps.node_children, maps.own_counts, prices, least)
    tree = maps.node_parent.tolist(), maps.own_counts.tolist()
    owner_of_choice = {tuple(each): own for each, own in naive_optimal.choices(*tree, least)}
    owner = owner_of_choice[tuple(chosen.tolist())]
    price = sum(prices[node, maps.node_level[own]] for node, own in enumerate(owner))
    assert price == naive_optimal.least_price(maps.node_level, *tree, prices, least)


def wcss(feats: np.ndarray, labels: np.ndarray) -> float:
    """Within-cell sum of squares, leftover images as a group of their own."""
    groups = [feats[labels == label] for label in np.unique(labels)]
    return sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups)


@given(coordinates(), min_images, st.integers(0, 2**32 - 1))
def test_cells_are_at_least_as_alike_as_consolidated_ones(
    coords: np.ndarray, least: int, seed: int
) -> None:
    feats = np.random.default_rng(seed).normal(size=(len(coords), 3))
    shared = {"min_images": least, "min_cell_size": 1.0, "leftover": "noise"}
    ours = CellBuilder(method="optimal", **shared).fit(coords, feats)
    consolidated = CellBuilder(method="consolidated", **shared).fit(coords)
    # Squares are compared by nine digits.
    assert wcss(feats, ours.labels_) <= wcss(feats, consolidated.labels_) * (1 + 1e-8)
    assert ours.n_cells_ == 1 or ours.counts_.min() >= least


@pytest.mark.parametrize("by", ["features", "coordinates"])
def test_images_like_their_neighbours_are_not_handed_up_past_them(by: str) -> None:
    # A town of 10 has enough; its neighbours, 9, would be handed to the root, with 9 of the other end of the map.
    coords = np.repeat([[0.5, 0.5], [0.5, 1.5], [7.5, 7.5]], [10, 9, 9], axis=0)
    looks = np.repeat([0.0, 0.1, 5.0], [10, 9, 9])[:, None] if by == "features" else None
    shared = {"grid": LatLonGrid(0.0, 0.0, 8.0, 8.0, max_level=3), "leftover": "noise"}
    greedy = CellBuilder(10, method="consolidated", **shared).fit(coords)
    assert np.unique(greedy.labels_[10:]).size == 1
    labels = CellBuilder(10, method="optimal", **shared).fit(coords, looks).labels_
    assert labels.tolist() == [0] * 19 + [-1] * 9
