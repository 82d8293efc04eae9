"""Folded bins make the claims that all bins make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import coordinates

from geocells import CellBuilder, fitting
from geocells.constructions import bin_codes, bins
from geocells.constructions import thin as thin_bins
from geocells.fitting import Images, Options


def counted(builder, coords, groups=None):
    """Options, grid, level of the deepest cells and bins, as `fit` has them."""
    options, images = Options.from_builder(builder), Images.from_input(coords, groups=groups)
    grid, deepest = fitting.make_grid(options, images.group_names, images.boxes)
    codes = grid.encode(images.coords.array, images.group_of_row)
    return options, grid, deepest, bin_codes(codes, grid.code_bits)


def thin(bins, options, grid):
    return thin_bins(
        bins,
        grid,
        min_images=options.min_images,
        extra_levels=options.extra_levels,
        has_windows=options.method == "bottom_up",
    )


@given(st.data())
def test_no_construction_can_tell_folded_bins_apart(data):
    coords = data.draw(coordinates(max_rows=400))
    method = data.draw(st.sampled_from(["top_down", "consolidated", "bottom_up"]))
    builder = CellBuilder(
        data.draw(st.integers(1, 40)),
        method=method,
        grid=data.draw(st.sampled_from(["latlon", "s2"])),
        min_cell_size=data.draw(st.sampled_from([0.01, 0.3, 5.0])),
        overlap=data.draw(st.sampled_from([1, 2, 4, 8])),
        competition=data.draw(st.sampled_from(["level", "all"])),
        rank_by="count",
    )
    groups = np.arange(len(coords)) % data.draw(st.integers(1, 3))
    options, grid, deepest, bins = counted(builder, coords, groups)
    thinned = thin(bins, options, grid)
    assert thinned.totals[-1] == bins.totals[-1]
    assert np.isin(thinned.codes, bins.codes).all()
    assert (thinned.codes[1:] > thinned.codes[:-1]).all()
    whole = fitting.construct(options, grid, deepest, bins, None)
    folded = fitting.construct(options, grid, deepest, thinned, None)
    for name in ("starts", "stops", "cells", "levels"):
        assert np.array_equal(getattr(folded, name), getattr(whole, name)), name
    laid, levels, left = fitting.flatten(options, grid, whole, bins)
    own_laid, own_levels, own_left = fitting.flatten(options, grid, folded, thinned)
    assert np.array_equal(own_laid.starts, laid.starts)
    assert np.array_equal(own_levels, levels)
    assert own_left == left


@pytest.mark.parametrize("method", ["top_down", "consolidated", "optimal"])
@pytest.mark.parametrize("grid", ["latlon", "s2", "healpix"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bucket_bits", [6, 10])
def test_cells_of_many_images_are_those_of_bins_that_count_every_code(
    method, grid, weighted, bucket_bits, monkeypatch
):
    """Only buckets with enough images are counted by all their bits; the others make no cell by themselves."""
    rng = np.random.default_rng(bucket_bits)
    coords = rng.normal(rng.uniform((-60, -170), (60, 170), (30, 1, 2)), 1.0, (30, 60, 2))
    coords = coords.reshape(-1, 2)
    weights = rng.integers(0, 4, len(coords)) if weighted else None
    groups = np.where(coords[:, 0] > 0, "north", "south")
    builder = CellBuilder(20, method=method, grid=grid, min_cell_size=1.0)
    exact = builder.fit(coords, groups=groups, sample_weight=weights)
    labels, cells = exact.labels_, exact.cells_
    monkeypatch.setattr(bins, "BUCKET_BITS", bucket_bits)
    monkeypatch.setattr(bins, "radix_sort", lambda *_: pytest.fail("sorted"))
    monkeypatch.setattr("geocells._jit.ROWS_WORTH_A_THREAD", 500)
    builder.fit(coords, groups=groups, sample_weight=weights)
    assert np.array_equal(builder.labels_, labels)
    assert builder.cells_ == cells


@given(st.data())
def test_the_bins_whose_moments_matter_are_the_same(data):
    coords = data.draw(coordinates(max_rows=400))
    overlap = data.draw(st.sampled_from([1, 2, 4]))
    builder = CellBuilder(data.draw(st.integers(1, 40)), overlap=overlap, min_cell_size=0.3)
    options, grid, deepest, bins = counted(builder, coords)
    asked = []

    class AskedError(Exception):
        pass

    def moments_of(owners, n_owners):
        asked.append((owners, n_owners))
        raise AskedError

    for own in (bins, thin(bins, options, grid)):
        with pytest.raises(AskedError):
            fitting.construct(options, grid, deepest, own, moments_of)
    (whole, n_whole), (folded, n_folded) = asked
    assert n_folded == n_whole
    assert np.array_equal(folded.starts, whole.starts)
    assert np.array_equal(folded.stops, whole.stops)
    assert np.array_equal(folded.cells, whole.cells)


def test_a_sparse_place_is_folded_and_a_dense_one_is_not():
    # 64 cells of a degree: 3 images in each of the western half, far from the 100 in one cell of the east.
    sparse = [(row + 0.5, column + 0.5) for row in range(8) for column in range(4)] * 3
    coords = np.array([*sparse, *[(6.5, 6.5)] * 100])
    box = (0.0, 0.0, 8.0, 8.0)
    nested = CellBuilder(50, method="consolidated", bounds=box, min_cell_size=1.0)
    options, grid, _, bins = counted(nested, coords)
    assert len(bins.codes) == 33
    # A quarter of the box with 48 images is one bin; the dense cell stays.
    assert thin(bins, options, grid).counts.tolist() == [48, 48, 100]
    windows = nested.set_params(method="bottom_up")
    options, grid, _, bins = counted(windows, coords)
    # With its neighbours, a block of two degrees holds 48 in the north and in the south, and 72 between.
    assert len(bins.codes) == 33
    assert sorted(thin(bins, options, grid).counts) == [3] * 16 + [12] * 4 + [100]
