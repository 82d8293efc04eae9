"""scikit-learn's contract: its own checks, and those that no coordinates can pass, written again on coordinates.

A check is expected to fail only with the message of its reason; a failure of any other kind is a failure here.
"""

from __future__ import annotations

import copy
import functools
import inspect
import os
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest

import geopandas as gpd
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone, is_clusterer
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted

from geocells import CellBuilder, ClusteredCells, load_cells, sphere

# ------------------------------------------------------------------------------ scikit-learn's own


@dataclass(frozen=True)
class Reason:
    """Why a check cannot pass, and the words by which the failure shows it."""

    text: str
    words: str

    def __add__(self, more: str) -> Reason:
        return Reason(f"{self.text}; {more}", self.words)


SHAPE = Reason(
    "coords are (n, 2), latitude and longitude; the check passes another number of columns",
    "one (latitude, longitude) pair a row, shape (n, 2)",
)
GLOBE = Reason(
    "the check passes two columns whose values lie beyond the globe", "Latitude must lie in"
)
FEATS = Reason(
    "the place of y is that of feats, (n, n_features); the check passes one class a row",
    "feats must hold one feature vector a row",
)
FEATS_HIDDEN = Reason(FEATS.text, "raises error if 'sample_weight' parameter is of type")
Y_NAME = Reason(
    "the place of y is that of feats, by that name; the check passes y= (and 30 columns)",
    "unexpected keyword argument 'y'",
)

EXPECTED: dict[str, Reason] = {
    "check_all_zero_sample_weights_error": SHAPE + "20 columns",
    "check_array_api_input": SHAPE + "10 columns (run where SCIPY_ARRAY_API is set)",
    "check_dict_unchanged": SHAPE + "3 columns",
    "check_dont_overwrite_parameters": SHAPE + "3 columns",
    "check_dtype_object": SHAPE + "10 columns",
    "check_estimators_dtypes": SHAPE + "5 columns",
    "check_estimators_fit_returns_self": FEATS,
    "check_estimators_nan_inf": SHAPE + "3 columns",
    "check_estimators_overwrite_params": FEATS,
    "check_estimators_pickle": SHAPE + "3 columns",
    "check_f_contiguous_array_estimator": SHAPE + "3 columns",
    "check_fit2d_1sample": SHAPE + "10 columns",
    "check_fit2d_predict1d": SHAPE + "3 columns",
    "check_fit_check_is_fitted": GLOBE,
    "check_fit_idempotent": GLOBE,
    "check_fit_score_takes_y": SHAPE + "3 columns; and the second argument is feats, not y",
    "check_methods_sample_order_invariance": SHAPE + "3 columns",
    "check_methods_subset_invariance": SHAPE + "3 columns",
    "check_n_features_in": GLOBE,
    "check_n_features_in_after_fitting": SHAPE + "4 columns",
    "check_pipeline_consistency": SHAPE + "3 columns",
    "check_positive_only_tag_during_fit": SHAPE + "4 columns",
    "check_readonly_memmap_input": FEATS,
    "check_sample_weight_equivalence_on_dense_data": Y_NAME,
    "check_sample_weights_list": SHAPE + "3 columns",
    "check_sample_weights_not_an_array": FEATS,
    "check_sample_weights_not_overwritten": FEATS,
    "check_sample_weights_pandas_series": FEATS_HIDDEN,
    "check_sample_weights_shape": FEATS,
}


Builder = CellBuilder | ClusteredCells


def checks() -> list[tuple[Builder, functools.partial[Any]]]:
    """Every check that scikit-learn has for the builders."""
    with warnings.catch_warnings():
        # One of them says that they keep the contract without BaseEstimator, as they may.
        warnings.simplefilter("ignore")
        return [
            pair
            for builder in (CellBuilder(), ClusteredCells())
            for pair in estimator_checks_generator(builder)
        ]


def name_of(check: Any) -> str:
    """Return the name of a check, or the text of its estimator."""
    check = inspect.unwrap(check)
    if isinstance(check, functools.partial):
        return name_of(check.func)
    return getattr(check, "__name__", repr(check))


def words_of(error: BaseException | None) -> str:
    """Return the messages of an error and of those that it was raised from."""
    return f"{error}\n{words_of(error.__cause__ or error.__context__)}" if error else ""


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("estimator", "check"), checks(), ids=name_of)
def test_check_of_scikit_learn(estimator: Builder, check: functools.partial[Any]) -> None:
    reason = EXPECTED.get(name_of(check))
    if reason is None:
        check(estimator)
        return
    with pytest.raises(Exception) as failure:  # noqa: PT011
        check(estimator)
    if isinstance(failure.value, SkipTest):
        raise failure.value
    assert reason.words in words_of(failure.value)
    pytest.xfail(reason.text)


@pytest.mark.skipif(
    not hasattr(estimator_checks, "check_all_zero_sample_weights_error"),
    reason="This scikit-learn lacks checks that later ones have.",
)
def test_every_expected_failure_is_a_check_and_is_written_again_below() -> None:
    assert set(EXPECTED) <= {name_of(check) for _, check in checks()}
    rewritten = {name.replace("test_", "check_", 1) for name in globals()}
    assert set(EXPECTED) <= rewritten


# ------------------------------------------------------------------------- the same, on coordinates

Coords = NDArray[np.float64]

WEIGHTED = [
    CellBuilder(5),
    CellBuilder(5, overlap=4, competition="all", grid="s2"),
    CellBuilder(5, method="consolidated", leftover="cell"),
    CellBuilder(5, method="top_down", max_images=20, leftover="noise"),
]
BUILDERS = [*WEIGHTED, ClusteredCells(KMeans(4, n_init=1, random_state=0), min_images=5)]
ANYWHERE = np.random.default_rng(2).uniform((-90, -180), (90, 180), (200, 2))


@pytest.fixture(params=BUILDERS, ids=repr)
def builder(request: pytest.FixtureRequest) -> Builder:
    return clone(request.param)


@pytest.fixture(params=WEIGHTED, ids=repr)
def weighted_builder(request: pytest.FixtureRequest) -> CellBuilder:
    """A builder that takes sample_weight."""
    return clone(request.param)


@pytest.fixture
def coords() -> Coords:
    """120 photos around four towns on both sides of the equator and of Greenwich."""
    rng = np.random.default_rng(0)
    towns = np.array([(47.4, 8.5), (-33.9, 18.4), (-12.0, -77.0), (40.7, -74.0)])
    return np.repeat(towns, 30, axis=0) + rng.normal(0, 0.3, (120, 2))


@pytest.fixture
def feats(coords: Coords) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(len(coords), 3)).astype(np.float32)


def outcome(builder: Builder) -> dict[str, Any]:
    """What a fit leaves behind, in plain values."""
    return {
        "labels": builder.labels_.tolist(),
        "centroids": builder.centroids_.tolist(),
        "counts": builder.counts_.tolist(),
        "anywhere": builder.predict(ANYWHERE).tolist(),
    }


class NotAnArray:
    """Data that is no array but becomes one, and that numpy's functions must not touch before."""

    def __init__(self, data: Any) -> None:
        self.data = np.asarray(data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.data if dtype is None else self.data.astype(dtype)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"Don't want to call {func.__name__}!")


def memory_mapped(array: Any, path: Path) -> Any:
    np.save(path, array)
    mapped = np.load(path, mmap_mode="r")
    assert not mapped.flags.writeable
    return mapped


def test_fit_score_takes_y(builder, coords, feats):
    for function in (builder.fit, builder.fit_predict):
        function(coords, feats)
        function(coords, None)
        second = list(inspect.signature(function).parameters.values())[1]
        assert second.name == "feats"
        assert second.default is None
    assert not hasattr(builder, "score")


def test_estimators_overwrite_params(builder, coords, feats):
    before = {name: joblib.hash(value) for name, value in builder.get_params().items()}
    builder.fit(coords, feats)
    assert {name: joblib.hash(value) for name, value in builder.get_params().items()} == before


def test_dont_overwrite_parameters(builder, coords, feats):
    before = dict(vars(builder))
    builder.fit(coords, feats)
    public = {name for name in vars(builder) if not name.startswith("_") and name[-1] != "_"}
    assert public == set(before)
    assert all(vars(builder)[name] is value for name, value in before.items())


def test_estimators_fit_returns_self(builder, coords, feats):
    assert builder.fit(coords, feats) is builder
    assert builder.fit(coords) is builder


def test_readonly_memmap_input(builder, coords, feats, tmp_path):
    plain = outcome(builder.fit(coords, feats))
    mapped = memory_mapped(coords, tmp_path / "coords.npy")
    assert builder.fit(mapped, memory_mapped(feats, tmp_path / "feats.npy")) is builder
    assert outcome(builder) == plain
    assert np.array_equal(builder.predict(mapped), builder.predict(coords))


def test_readonly_memmap_sample_weights(weighted_builder, coords, tmp_path):
    weights = np.arange(len(coords)) % 3 + 1
    plain = outcome(weighted_builder.fit(coords, sample_weight=weights))
    mapped = memory_mapped(weights, tmp_path / "weights.npy")
    assert outcome(weighted_builder.fit(coords, sample_weight=mapped)) == plain


def test_n_features_in_after_fitting(builder, coords):
    builder.fit(coords)
    assert builder.n_features_in_ == coords.shape[1]
    with pytest.raises(ValueError, match=r"1 feature\(s\) .* while a minimum of 2 is required"):
        builder.predict(coords[:, [1]])
    with pytest.raises(ValueError, match=r"shape \(n, 2\); got shape \(120, 4\)"):
        builder.predict(np.hstack([coords, coords]))


def test_n_features_in(builder, coords):
    assert not hasattr(builder, "n_features_in_")
    assert builder.fit(coords).n_features_in_ == 2


def test_positive_only_tag_during_fit(builder, coords):
    assert not get_tags(builder).input_tags.positive_only
    assert (coords < 0).any(axis=0).all()
    builder.fit(coords)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8"])
def test_estimators_dtypes(builder, coords, dtype):
    typed = coords.astype(dtype)
    labels = builder.fit(typed).predict(typed)
    assert labels.dtype == builder.labels_.dtype == np.int64
    assert np.array_equal(labels, builder.fit(typed.astype(np.float64)).predict(typed))


def test_sample_weights_pandas_series(weighted_builder, coords, feats):
    weights = pd.Series(np.arange(len(coords)) % 3 + 1, index=np.arange(len(coords))[::-1])
    by_series = outcome(
        weighted_builder.fit(pd.DataFrame(coords), pd.DataFrame(feats), sample_weight=weights)
    )
    assert (
        outcome(weighted_builder.fit(coords, feats, sample_weight=weights.to_numpy())) == by_series
    )


def test_sample_weights_not_an_array(weighted_builder, coords, feats):
    weights = np.full(len(coords), 2)
    plain = outcome(weighted_builder.fit(coords, feats, sample_weight=weights))
    weighted_builder.fit(NotAnArray(coords), NotAnArray(feats), sample_weight=NotAnArray(weights))
    assert outcome(weighted_builder) == plain


def test_sample_weights_list(weighted_builder, coords):
    by_list = outcome(weighted_builder.fit(coords, sample_weight=[3] * len(coords)))
    assert outcome(weighted_builder.fit(coords, sample_weight=np.full(len(coords), 3.0))) == by_list


def test_all_zero_sample_weights_error(weighted_builder, coords):
    with pytest.raises(ValueError, match=r"(.*weight.*zero.*)|(.*zero.*weight.*)"):
        weighted_builder.fit(coords, sample_weight=np.zeros(len(coords)))


def test_sample_weights_shape(weighted_builder, coords):
    n_rows = len(coords)
    weighted_builder.fit(coords, sample_weight=np.ones(n_rows))
    for shape in (2 * n_rows, (n_rows, 2)):
        with pytest.raises(ValueError, match="sample_weight must have one number a row"):
            weighted_builder.fit(coords, sample_weight=np.ones(shape))


def test_sample_weights_not_overwritten(weighted_builder, coords, feats):
    given = np.ones(len(coords))
    given[0] = 10.0
    passed = given.copy()
    weighted_builder.fit(coords, feats, sample_weight=passed)
    assert np.array_equal(passed, given)


def test_sample_weight_equivalence_on_dense_data(weighted_builder, coords, feats):
    rng = np.random.default_rng(42)
    weights = rng.integers(0, 5, len(coords))
    order = rng.permutation(len(coords))
    repeated = clone(weighted_builder).fit(
        np.repeat(coords, weights, axis=0), np.repeat(feats, weights, 0)
    )
    weighted_builder.fit(coords[order], feats[order], sample_weight=weights[order])
    assert np.array_equal(weighted_builder.predict(coords), repeated.predict(coords))
    assert np.array_equal(weighted_builder.centroids_, repeated.centroids_)
    labels = weighted_builder.labels_[np.argsort(order)]
    assert np.array_equal(np.repeat(labels, weights), repeated.labels_)


def test_dtype_object(builder, coords):
    plain = outcome(builder.fit(coords))
    objects = coords.astype(object)
    assert outcome(builder.fit(objects)) == plain
    assert np.array_equal(builder.predict(objects), builder.predict(coords))
    objects[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        builder.fit(objects)


def test_pipeline_consistency(builder, coords, feats):
    alone = clone(builder).fit(coords, feats)
    pipeline = make_pipeline(builder).fit(coords, feats)
    assert outcome(pipeline[-1]) == outcome(alone)
    assert np.array_equal(pipeline.predict(coords), alone.predict(coords))
    assert np.array_equal(pipeline.fit_predict(coords, feats), alone.labels_)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_estimators_nan_inf(builder, coords, value):
    unsound = coords.copy()
    unsound[0, 0] = value
    with pytest.raises(ValueError, match=r"NaN or infinity \(first: row 0"):
        builder.fit(unsound)
    builder.fit(coords)
    with pytest.raises(ValueError, match=r"NaN or infinity \(first: row 0"):
        builder.predict(unsound)


def test_estimators_pickle(builder, coords, feats, tmp_path):
    """Cells are stored as a file of data; a fitted builder can still be copied, and sent to a worker process."""
    builder.fit(coords, feats)
    expected = builder.predict(ANYWHERE)
    saved = load_cells(builder.cells_.save(tmp_path / "cells.parquet"))
    assert np.array_equal(saved.assign(ANYWHERE), expected)
    for copied in (copy.deepcopy(builder), pickle.loads(pickle.dumps(builder))):
        assert outcome(copied) == outcome(builder)
        assert np.array_equal(copied.predict(ANYWHERE), expected)
        assert joblib.hash(copied.get_params()) == joblib.hash(builder.get_params())


def test_f_contiguous_array_estimator(builder, coords, feats):
    plain = outcome(builder.fit(coords, feats))
    by_columns = np.asfortranarray(coords)
    assert outcome(builder.fit(by_columns, np.asfortranarray(feats))) == plain
    assert np.array_equal(builder.predict(by_columns), builder.predict(coords))


def test_methods_sample_order_invariance(builder, coords, feats):
    builder.fit(coords, feats)
    order = np.random.default_rng(0).permutation(len(coords))
    assert np.array_equal(builder.predict(coords)[order], builder.predict(coords[order]))
    assert np.array_equal(builder.assign(coords)[order], builder.assign(coords[order]))


def test_methods_subset_invariance(builder, coords, feats):
    builder.fit(coords, feats)
    one_by_one = [builder.predict(row[None])[0] for row in coords]
    assert builder.predict(coords).tolist() == one_by_one


def test_fit2d_1sample(builder, coords, feats):
    assert builder.fit(coords[:1], feats[:1]).labels_.tolist() == [0]
    assert builder.predict(coords).tolist() == [0] * len(coords)


def test_array_api_input(builder, coords, feats):
    """Arrays of numpy give the same cells while scikit-learn dispatches by the array API."""
    if not os.environ.get("SCIPY_ARRAY_API"):
        pytest.skip("SCIPY_ARRAY_API is not set: scikit-learn refuses to dispatch.")
    plain = outcome(builder.fit(coords, feats))
    with config_context(array_api_dispatch=True):
        assert outcome(builder.fit(coords, feats)) == plain


def test_dict_unchanged(builder, coords, feats):
    builder.fit(coords, feats)
    before = dict(vars(builder))
    labels = builder.labels_.copy()
    builder.predict(coords)
    builder.assign(coords)
    assert vars(builder).keys() == before.keys()
    assert all(vars(builder)[name] is value for name, value in before.items())
    assert np.array_equal(builder.labels_, labels)


def test_fit_idempotent(builder, coords, feats):
    first = outcome(builder.fit(coords, feats))
    assert outcome(builder.fit(coords, feats)) == first
    # Nothing of a fit to other data stays behind.
    builder.fit(coords[:40])
    assert outcome(builder.fit(coords, feats)) == first


def test_fit_check_is_fitted(builder, coords):
    with pytest.raises(NotFittedError):
        check_is_fitted(builder)
    for method in (builder.predict, builder.assign):
        with pytest.raises(NotFittedError, match="no cells yet: call fit"):
            method(coords)
    builder.fit(coords)
    check_is_fitted(builder)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(builder))


def test_fit2d_predict1d(builder, coords):
    builder.fit(coords)
    with pytest.raises(ValueError, match="Reshape your data"):
        builder.predict(coords[0])


# ------------------- checks that pass on the wrong shape alone, or belong to heirs of ClusterMixin


def test_complex_coordinates_are_refused(builder, coords):
    with pytest.raises(ValueError, match="Complex data not supported"):
        builder.fit(coords + 1j * coords)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csr_array])
def test_sparse_coordinates_are_refused_with_the_remedy(builder, coords, kind):
    assert not get_tags(builder).input_tags.sparse
    with pytest.raises(TypeError, match=r"sparse matrix.*use coords\.toarray\(\)"):
        builder.fit(kind(coords))
    builder.fit(coords)
    with pytest.raises(TypeError, match="sparse matrix"):
        builder.predict(kind(coords))


def test_no_rows_are_refused_by_fit_and_answered_by_predict(builder, coords):
    with pytest.raises(ValueError, match=r"0 samples, shape \(0, 2\)"):
        builder.fit(np.empty((0, 2)))
    assert builder.fit(coords).predict(np.empty((0, 2))).shape == (0,)


def test_towns_are_found_as_clusters(builder, coords, tmp_path):
    assert is_clusterer(builder)
    towns = np.repeat(np.arange(4), 30)
    if isinstance(builder, CellBuilder):
        builder.set_params(min_cell_size=2.0)
    labels = builder.fit(coords).labels_
    # scikit-learn's check of clusterers asks for 0.4 on three blobs.
    assert adjusted_rand_score(labels, towns) > 0.4
    assert np.array_equal(builder.fit_predict(coords.tolist()), labels)
    mapped = memory_mapped(coords, tmp_path / "coords.npy")
    assert np.array_equal(builder.fit_predict(mapped), labels)
    assert np.array_equal(np.unique(labels[labels >= 0]), np.arange(builder.n_cells_))
    assert labels.min() >= -1


# --------------------------------------------------------------------------- tables in, tables out


@pytest.fixture
def names(coords: Coords) -> pd.Index:
    order = np.random.default_rng(3).permutation(len(coords))
    return pd.Index([f"photo {row}" for row in order], name="photo")


def tables(coords: Coords, names: pd.Index) -> dict[str, Any]:
    points = gpd.GeoSeries(gpd.points_from_xy(coords[:, 1], coords[:, 0]), names, crs=4326)
    return {
        "DataFrame": pd.DataFrame(coords, names, ["latitude", "longitude"]),
        "columns in another order": pd.DataFrame(
            {"lng": coords[:, 1], "title": "a photo", "lat": coords[:, 0]}, names
        ),
        "GeoSeries": points,
        "GeoDataFrame": gpd.GeoDataFrame({"title": "a photo"}, geometry=points, index=names),
    }


@pytest.mark.parametrize(
    "kind", ["DataFrame", "columns in another order", "GeoSeries", "GeoDataFrame"]
)
def test_tables_come_back_with_their_own_index(builder, coords, feats, names, kind):
    table = tables(coords, names)[kind]
    labels = clone(builder).fit(coords, feats).labels_
    found = builder.fit_predict(table, pd.DataFrame(feats, names))
    for series in (found, builder.predict(table), builder.assign(table)):
        assert isinstance(series, pd.Series)
        assert series.index.equals(names)
        assert series.index.name == "photo"
        assert series.name == "cell"
        assert series.dtype == np.int64
    assert found.tolist() == labels.tolist()
    # Fitted attributes are arrays, whatever came in.
    assert type(builder.labels_) is np.ndarray


def test_points_in_metres_have_the_cells_of_degrees(coords, names):
    points = tables(coords, names)["GeoSeries"]
    there_and_back = points.to_crs("EPSG:3857")
    # Bounds away from the data: a rounding of the projection must not move its box.
    builder = CellBuilder(5, bounds=(-60, -120, 60, 60))
    labels = builder.fit_predict(points)
    assert builder.fit_predict(there_and_back).equals(labels)


def test_repeated_and_layered_labels_of_rows_stay(coords):
    twice = pd.Index(np.arange(len(coords)) // 2)
    layered = pd.MultiIndex.from_arrays([np.arange(len(coords)) % 4, twice])
    for index in (twice, layered):
        table = pd.DataFrame(coords, index, ["lat", "lon"])
        assert CellBuilder(5).fit_predict(table).index.equals(index)


def test_lists_and_arrays_come_back_as_arrays(builder, coords):
    for plain in (coords, coords.tolist()):
        assert type(builder.fit_predict(plain)) is np.ndarray
        assert type(builder.predict(plain)) is np.ndarray


# ------------------------------------------------------------------------------- choosing min_images


def median_error(builder: CellBuilder, held_out: Any, feats: Any = None) -> float:
    guesses = builder.centroids_[np.asarray(builder.predict(held_out))]
    return -float(np.median(sphere.haversine(guesses, np.asarray(held_out))))


@pytest.mark.parametrize("as_table", [False, True])
def test_grid_search_hands_features_over_as_y(coords, feats, as_table):
    seen = []

    def scoring(builder: CellBuilder, held_out: Any, held_out_feats: Any) -> float:
        seen.append(np.asarray(held_out_feats))
        assert isinstance(held_out, pd.DataFrame) == as_table
        return median_error(builder, held_out)

    table = pd.DataFrame(coords, columns=["latitude", "longitude"]) if as_table else coords
    folds = KFold(3, shuffle=True, random_state=0)
    grid = {"min_images": [5, 60], "overlap": [1, 2]}
    search = GridSearchCV(CellBuilder(), grid, scoring=scoring, cv=folds, error_score="raise")
    search.fit(table, feats)
    assert search.best_params_["min_images"] == 5
    assert np.array_equal(seen[0], feats[next(iter(folds.split(coords)))[1]])
    best = CellBuilder(**search.best_params_).fit(coords, feats)
    assert outcome(search.best_estimator_) == outcome(best)
    assert np.array_equal(search.predict(coords), best.labels_)


def test_distance_alone_prefers_small_cells(coords):
    """Why there is no default score: smaller cells are nearer, however little a classifier can learn of them."""
    scores = [
        cross_val_score(CellBuilder(n), coords, scoring=median_error, cv=KFold(3, shuffle=True,
        random_state=0)).mean()
        for n in (2, 10, 80)
    ]  # fmt: skip
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.filterwarnings("ignore:The scoring .* does not support sample_weight:UserWarning")
def test_sample_weights_reach_the_builders_of_a_grid_search(coords):
    weights = np.ones(len(coords), dtype=int)
    weights[:30] = 10
    search = GridSearchCV(CellBuilder(), {"min_images": [5]}, scoring=median_error, cv=KFold(2))
    search.fit(coords, sample_weight=weights)
    assert search.best_estimator_.counts_.sum() == weights.sum()


def test_a_search_without_scoring_is_refused(coords):
    search = GridSearchCV(CellBuilder(), {"min_images": [5, 60]}, cv=3)
    with pytest.raises(TypeError, match="If no scoring is specified"):
        search.fit(coords)
