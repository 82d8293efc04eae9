"""Moments against NumPy and scikit-learn; what one reads once must not depend on how it was read."""

from __future__ import annotations

import mmap
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from geocells import jit, moments
from geocells.moments import Moments, feature_blocks, moments_by_label, moments_of_places
from geocells.sphere import EARTH_RADIUS_KM, to_unit_vectors


def naive_moments(
    feats: np.ndarray, labels: np.ndarray, n_labels: int, weights: np.ndarray | None = None
) -> Moments:
    weights = np.ones(len(feats), dtype=np.int64) if weights is None else weights
    out = Moments.empty(n_labels, feats.shape[1])
    for label in range(n_labels):
        own = np.repeat(np.arange(len(feats)), weights)
        own = feats[own[labels[own] == label]].astype(np.float64)
        if len(own):
            out.count[label] = len(own)
            out.mean[label] = own.mean(axis=0)
            out.m2[label] = ((own - own.mean(axis=0)) ** 2).sum()
    return out


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows, n_labels = draw(st.integers(1, 80)), draw(st.integers(1, 6))
    # One column, less than a lane, several lanes, more than one task.
    n_features = draw(st.sampled_from([1, 3, 8, 19, 130, 300]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    feats = (rng.normal(size=(n_rows, n_features)) + draw(st.sampled_from([0.0, 1000.0]))).astype(
        dtype
    )
    return feats, rng.integers(-1, n_labels, n_rows), n_labels


def assert_close(fast: Moments, slow: Moments) -> None:
    np.testing.assert_array_equal(fast.count, slow.count)
    # Some tens of additions, each right to 1e-16; an offset of 1000 costs three digits of the spread.
    np.testing.assert_allclose(fast.mean, slow.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fast.m2, slow.m2, rtol=1e-9, atol=1e-9)


@given(labelled(), st.none() | st.integers(0, 2**32 - 1))
def test_moments_equal_those_of_numpy(
    case: tuple[np.ndarray, np.ndarray, int], seed: int | None
) -> None:
    """A weight counts as so many equal rows."""
    weights = None
    if seed is not None:
        weights = np.random.default_rng(seed).integers(0, 4, len(case[0]))
    assert_close(moments_by_label(*case, weights), naive_moments(*case, weights))


@given(labelled(), st.integers(0, 2**32 - 1))
def test_merged_moments_are_those_of_all_rows(
    case: tuple[np.ndarray, np.ndarray, int], seed: int
) -> None:
    feats, labels, n_labels = case
    # As if every label had two parts.
    half = np.random.default_rng(seed).integers(0, 2, len(feats))
    parts = moments_by_label(feats, np.where(labels < 0, -1, 2 * labels + half), 2 * n_labels)
    assert_close(parts.merged(np.arange(2 * n_labels) // 2, n_labels), naive_moments(*case))


def test_groups_join_and_drop_when_merged() -> None:
    feats = np.array([[0.0], [2.0], [10.0], [50.0]])
    by_row = moments_by_label(feats, np.arange(4), 4)
    joined = by_row.merged(np.array([0, 0, 1, -1]), 2)
    assert joined.count.tolist() == [2, 1]
    assert joined.mean.tolist() == [[1.0], [10.0]]
    assert joined.m2.tolist() == [2.0, 0.0]


def test_a_slice_of_groups_keeps_count_mean_and_spread_together() -> None:
    feats = np.array([[0.0], [2.0], [10.0], [50.0], [53.0]])
    whole = moments_by_label(feats, np.array([0, 0, 1, 2, 2]), 3)
    part = whole[1:]
    assert part.count.tolist() == [1, 2]
    assert part.mean.tolist() == [[10.0], [51.5]]
    assert part.m2.tolist() == [0.0, 4.5]


def test_places_as_features_are_points_on_the_sphere_in_km() -> None:
    coords = np.array([[0.0, 0.0], [0.0, 90.0], [90.0, 0.0]])
    places = moments_of_places(coords, np.arange(3), 3)
    # A unit vector's zeros are 6e-17, times the earth's radius.
    np.testing.assert_allclose(places.mean, EARTH_RADIUS_KM * np.eye(3), atol=1e-11)


@given(labelled(), st.none() | st.integers(0, 2**32 - 1))
def test_moments_of_places_are_those_of_their_points(
    case: tuple[np.ndarray, np.ndarray, int], seed: int | None
) -> None:
    _, labels, n_labels = case
    rng = np.random.default_rng(seed)
    coords = rng.uniform((-90, -180), (90, 180), (len(labels), 2))
    weights = None if seed is None else rng.integers(0, 4, len(labels))
    points = to_unit_vectors(coords) * EARTH_RADIUS_KM
    for threads in (1, 2, 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(moments, "MANY_ROWS", 10)
            patch.setenv("GEOCELLS_NUM_THREADS", str(threads))
            ours = moments_of_places(coords, labels, n_labels, weights)
        naive = naive_moments(points, labels, n_labels, weights)
        np.testing.assert_array_equal(ours.count, naive.count)
        # Kilometres up to 6371, and their squares.
        np.testing.assert_allclose(ours.mean, naive.mean, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours.m2, naive.m2, rtol=1e-9, atol=1e-3)


@pytest.mark.parametrize("n_features", [3, 8])
def test_there_may_be_more_labels_than_features_or_rows(n_features: int) -> None:
    feats = np.arange(20.0 * n_features).reshape(20, n_features)
    labels = np.arange(20)[::-1] * 3
    ours = moments_by_label(feats, labels, 60)
    assert ours.count.tolist() == [1, 0, 0] * 20
    assert np.array_equal(ours.mean[::3], feats[::-1])


def test_no_labels_have_no_moments() -> None:
    none = moments_by_label(np.ones((4, 3)), np.full(4, -1, dtype=np.int64), 0)
    assert none.count.shape == none.m2.shape == (0,)
    assert none.mean.shape == (0, 3)


def test_wcss_is_the_inertia_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(300, 5)) + rng.integers(0, 4, 300)[:, None] * 5.0
    fitted = KMeans(n_clusters=4, n_init=1, random_state=0, algorithm="lloyd", tol=0.0).fit(feats)
    ours = moments_by_label(feats, fitted.labels_.astype(np.int64), 4)
    assert ours.m2.sum() == pytest.approx(fitted.inertia_, rel=1e-9)


def test_an_offset_of_1000_in_float32_costs_nothing_that_float32_held() -> None:
    spread = np.random.default_rng(0).normal(scale=0.01, size=(5000, 4))
    feats = (1000.0 + spread).astype(np.float32)
    ours = moments_by_label(feats, np.zeros(5000, dtype=np.int64), 1)
    exact = feats.astype(np.float64)
    assert ours.m2[0] == pytest.approx(((exact - exact.mean(axis=0)) ** 2).sum(), rel=1e-9)


def test_constant_features_have_no_spread_at_all() -> None:
    feats = np.full((100_000, 3), 0.1, dtype=np.float32)
    ours = moments_by_label(feats, np.arange(100_000) % 7, 7)
    assert ours.m2.tolist() == [0.0] * 7
    assert ours.merged(np.zeros(7, dtype=np.int64), 1).m2.tolist() == [0.0]


@pytest.mark.parametrize("n_features", [3, 300])
def test_threads_do_not_show_and_blocks_in_the_last_digits_alone(
    n_features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(400, n_features)).astype(np.float32)
    labels = rng.integers(-1, 50, 400)
    monkeypatch.setattr(moments, "MANY_ROWS", 10)
    whole = moments_by_label(feats, labels, 50)
    assert_close(whole, naive_moments(feats, labels, 50))
    nearly = partial(np.allclose, rtol=1e-12, atol=1e-12)
    for block_bytes, same in ((moments.BLOCK_BYTES, np.array_equal), (560 * n_features, nearly)):
        monkeypatch.setattr(moments, "BLOCK_BYTES", block_bytes)
        for threads in ("1", "2", "3", "5"):
            monkeypatch.setenv("GEOCELLS_NUM_THREADS", threads)
            assert jit.n_threads() == int(threads)
            other = moments_by_label(feats, labels, 50)
            assert np.array_equal(whole.count, other.count)
            assert same(whole.mean, other.mean)
            assert same(whole.m2, other.m2)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_map_gives_what_the_array_gives(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    feats, labels = rng.normal(size=(400, 10)).astype(np.float32), rng.integers(0, 5, 400)
    np.save(tmp_path / "feats.npy", feats)
    mapped = np.load(tmp_path / "feats.npy", mmap_mode=mode)
    if mode != "r":
        mapped[3] = feats[3] = 7.0
    from_map = moments_by_label(mapped, labels, 5)
    from_memory = moments_by_label(feats, labels, 5)
    assert np.array_equal(from_map.m2, from_memory.m2)
    # Releasing pages must not lose what was written.
    assert np.array_equal(np.asarray(mapped), feats)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e155])
@pytest.mark.parametrize("label", [0, -1])
@pytest.mark.parametrize(("n_features", "column"), [(3, 0), (3, 2), (201, 0), (201, 200)])
@pytest.mark.parametrize("row", [0, 17])
def test_an_unsound_feature_is_named_wherever_it_stands(
    value: float, label: int, n_features: int, column: int, row: int
) -> None:
    feats = np.ones((40, n_features))
    feats[row, column] = value
    labels = np.zeros(40, dtype=np.int64)
    labels[row] = label
    with pytest.raises(ValueError, match=rf"finite.*row {row} is"):
        moments_by_label(feats, labels, 1)


@pytest.mark.parametrize("n_features", [3, 8, 300])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_the_first_of_several_unsound_rows_is_named(
    n_features: int, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOCELLS_NUM_THREADS", threads)
    monkeypatch.setattr(moments, "MANY_ROWS", 10)
    feats = np.ones((40, n_features))
    # Threads share out the labels: neither the first label nor the first column decides.
    feats[5, -1] = feats[20, 0] = feats[30, 0] = np.nan
    labels = np.ones(40, dtype=np.int64)
    labels[20], labels[30] = 0, 2
    with pytest.raises(ValueError, match="row 5 is"):
        moments_by_label(feats, labels, 3)


@pytest.mark.parametrize("n_features", [3, 8])
def test_an_unsound_row_without_weight_is_named_by_its_place_among_all_blocks(
    n_features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "BLOCK_BYTES", 8 * n_features * 7)
    feats, weights = np.ones((40, n_features)), np.ones(40, dtype=np.int64)
    feats[17, 1], weights[17] = np.inf, 0
    with pytest.raises(ValueError, match="row 17 is"):
        moments_by_label(feats, np.zeros(40, dtype=np.int64), 1, weights)


def test_blocks_have_so_many_rows_as_their_bytes_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    feats = np.arange(60.0).reshape(20, 3)
    monkeypatch.setattr(moments, "BLOCK_BYTES", 8 * 3 * 7)
    blocks = [(start, stop) for start, stop, _ in feature_blocks(feats)]
    assert blocks == [(0, 7), (7, 14), (14, 20)]
    monkeypatch.setattr(moments, "BLOCK_BYTES", 1)
    assert len(list(feature_blocks(feats))) == 20


@pytest.mark.parametrize(("mode", "n_times"), [("r", 4), ("r+", 4), ("c", 0)])
def test_pages_of_a_file_are_handed_back_but_never_those_of_a_private_map(
    tmp_path: Path, mode: str, n_times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noted(mmap.mmap):
        advice: ClassVar[list[int]] = []

        def madvise(self, *advice: int) -> None:
            self.advice.extend(advice)

    Noted.advice.clear()
    np.save(tmp_path / "feats.npy", np.ones((4, 3)))
    mapped = np.load(tmp_path / "feats.npy", mmap_mode=mode)
    with (tmp_path / "feats.npy").open("rb") as file:
        mapped._mmap = Noted(file.fileno(), 0, access=mmap.ACCESS_READ)
    monkeypatch.setattr(moments, "BLOCK_BYTES", 1)  # a row a block
    moments_by_label(mapped, np.zeros(4, dtype=np.int64), 1)
    assert Noted.advice == [mmap.MADV_DONTNEED] * n_times
