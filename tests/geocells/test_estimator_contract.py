"""scikit-learn's contract: its own checks, and those that no coordinates can pass, written again on coordinates."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import shapely
from numpy.typing import NDArray
from sklearn.base import clone, is_clusterer
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from geocells import CellBuilder, ClusteredCells, RegionCells, load_cells, sphere

# ------------------------------------------------------------------------------ scikit-learn's own


Builder = CellBuilder | ClusteredCells | RegionCells

# Checks whose data are no coordinates, or no features beside them, by the test below that holds the same on such.
HELD_BY = {
    "test_the_same_data_in_another_guise_have_the_same_cells": (
        "array_api_input dtype_object f_contiguous_array_estimator readonly_memmap_input "
        "sample_weights_list sample_weights_not_an_array sample_weights_pandas_series"
    ),
    "test_numbers_of_any_type_have_the_cells_of_float64": "estimators_dtypes",
    "test_features_stand_in_the_place_of_y": "fit_score_takes_y positive_only_tag_during_fit",
    "test_a_fit_leaves_parameters_and_data_alone": (
        "dont_overwrite_parameters estimators_overwrite_params sample_weights_not_overwritten"
    ),
    "test_a_fit_starts_afresh_and_returns_itself": "estimators_fit_returns_self fit_idempotent",
    "test_an_answer_needs_a_fit": "fit_check_is_fitted n_features_in",
    "test_answering_changes_nothing": "dict_unchanged",
    "test_rows_are_answered_one_by_one": (
        "methods_sample_order_invariance methods_subset_invariance"
    ),
    "test_one_image_is_one_cell": "fit2d_1sample",
    "test_a_pipeline_answers_alike": "pipeline_consistency",
    "test_copies_and_files_answer_alike": "estimators_pickle",
    "test_weights_stand_for_repeated_rows": "sample_weight_equivalence_on_dense_data",
    "test_unsound_rows_are_refused": (
        "estimators_nan_inf fit2d_predict1d n_features_in_after_fitting"
    ),
    "test_unsound_weights_are_refused": "all_zero_sample_weights_error sample_weights_shape",
}
EXPECTED = {
    f"check_{name}": f"its data are no coordinates with features; {test} holds the same"
    for test, names in HELD_BY.items()
    for name in names.split()
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@parametrize_with_checks(
    [CellBuilder(), ClusteredCells()], expected_failed_checks=lambda _: EXPECTED
)
def test_check_of_scikit_learn(estimator: Builder, check: Callable[[Builder], None]) -> None:
    check(estimator)


def test_every_expected_failure_is_written_again_below() -> None:
    assert set(HELD_BY) <= set(globals())


# ------------------------------------------------------------------------- the same, on coordinates

Coords = NDArray[np.float64]

WEIGHTED = [
    CellBuilder(5),
    CellBuilder(5, overlap=4, competition="all", grid="s2"),
    CellBuilder(5, method="consolidated", leftover="cell"),
    CellBuilder(5, method="top_down", max_images=20, leftover="noise"),
]
BANDS = gpd.GeoDataFrame(
    geometry=shapely.box(-180.0, [-90, -20, 0, 44], 180.0, [-20, 0, 44, 90]), crs=4326
)
BUILDERS = [
    *WEIGHTED,
    ClusteredCells(KMeans(4, n_init=1, random_state=0), min_images=5),
    RegionCells(BANDS, 5, max_images=20),
]
ANYWHERE = np.random.default_rng(2).uniform((-90, -180), (90, 180), (200, 2))


@pytest.fixture(params=BUILDERS, ids=lambda builder: " ".join(repr(builder).split())[:60])
def builder(request: pytest.FixtureRequest) -> Builder:
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
    path = path.with_suffix(".npy")
    np.save(path, array)
    mapped = np.load(path, mmap_mode="r")
    assert not mapped.flags.writeable
    return mapped


GUISES: dict[str, Callable[[Any, Path], Any]] = {
    "read-only memory map": memory_mapped,
    "column-major": lambda array, _: np.asfortranarray(array),
    "list": lambda array, _: array.tolist(),
    "DataFrame": lambda array, _: (pd.DataFrame if array.ndim == 2 else pd.Series)(
        array, index=np.arange(len(array))[::-1]
    ),
    "not an array": lambda array, _: NotAnArray(array),
}


@pytest.mark.parametrize("guise", [*GUISES, "object"])
def test_the_same_data_in_another_guise_have_the_same_cells(
    builder, coords, feats, tmp_path, guise
):
    data = {"coords": coords, "feats": feats}
    if isinstance(builder, CellBuilder):
        data["sample_weight"] = np.arange(len(coords)) % 3 + 1
    plain = outcome(builder.fit(**data))
    (tmp_path / "maps").mkdir()
    if guise == "object":
        disguised = data | {"coords": coords.astype(object)}
    else:
        disguised = {
            name: GUISES[guise](array, tmp_path / "maps" / name) for name, array in data.items()
        }
    assert outcome(builder.fit(**disguised)) == plain
    assert np.array_equal(builder.predict(disguised["coords"]), builder.predict(coords))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8"])
def test_numbers_of_any_type_have_the_cells_of_float64(builder, coords, dtype):
    typed = coords.astype(dtype)
    labels = builder.fit(typed).predict(typed)
    assert labels.dtype == builder.labels_.dtype == np.int64
    assert np.array_equal(labels, builder.fit(typed.astype(np.float64)).predict(typed))


def test_features_stand_in_the_place_of_y(builder, coords, feats):
    for function in (builder.fit, builder.fit_predict):
        function(coords, feats)
        function(coords, None)
        second = list(inspect.signature(function).parameters.values())[1]
        assert (second.name, second.default) == ("feats", None)
    assert not hasattr(builder, "score")
    # Negative numbers are welcome, and said to be.
    assert not get_tags(builder).input_tags.positive_only
    assert (coords < 0).any(axis=0).all()


def test_a_fit_leaves_parameters_and_data_alone(builder, coords, feats):
    given = {"coords": coords, "feats": feats}
    if isinstance(builder, CellBuilder):
        given["sample_weight"] = np.append(10.0, np.ones(len(coords) - 1))
    before = dict(vars(builder))
    hashes = joblib.hash(builder.get_params()), joblib.hash(given)
    builder.fit(**given)
    assert (joblib.hash(builder.get_params()), joblib.hash(given)) == hashes
    public = {name for name in vars(builder) if not name.startswith("_") and name[-1] != "_"}
    assert public == set(before)
    assert all(vars(builder)[name] is value for name, value in before.items())


def test_a_fit_starts_afresh_and_returns_itself(builder, coords, feats):
    assert builder.fit(coords, feats) is builder
    first = outcome(builder)
    assert outcome(builder.fit(coords, feats)) == first
    # Nothing of a fit to other data stays behind.
    assert builder.fit(coords[:40]) is builder
    assert outcome(builder.fit(coords, feats)) == first


def test_an_answer_needs_a_fit(builder, coords):
    assert not hasattr(builder, "n_features_in_")
    for call in (
        check_is_fitted,
        lambda each: each.predict(coords),
        lambda each: each.assign(coords),
    ):
        with pytest.raises(NotFittedError):
            call(builder)
    assert builder.fit(coords).n_features_in_ == 2
    check_is_fitted(builder)
    with pytest.raises(NotFittedError, match="no cells yet: call fit"):
        clone(builder).predict(coords)


def test_answering_changes_nothing(builder, coords, feats):
    builder.fit(coords, feats)
    before, labels = dict(vars(builder)), builder.labels_.copy()
    builder.predict(coords)
    builder.assign(coords)
    assert vars(builder).keys() == before.keys()
    assert all(vars(builder)[name] is value for name, value in before.items())
    assert np.array_equal(builder.labels_, labels)


def test_rows_are_answered_one_by_one(builder, coords, feats):
    builder.fit(coords, feats)
    labels = builder.predict(coords)
    assert labels.tolist() == [builder.predict(row[None])[0] for row in coords]
    order = np.random.default_rng(0).permutation(len(coords))
    assert np.array_equal(labels[order], builder.predict(coords[order]))
    assert builder.predict(coords[:0]).shape == (0,)


def test_one_image_is_one_cell(builder, coords, feats):
    assert builder.fit(coords[:1], feats[:1]).labels_.tolist() == [0]
    assert builder.predict(coords).tolist() == [0] * len(coords)


def test_a_pipeline_answers_alike(builder, coords, feats):
    alone = clone(builder).fit(coords, feats)
    pipeline = make_pipeline(builder).fit(coords, feats)
    assert outcome(pipeline[-1]) == outcome(alone)
    assert np.array_equal(pipeline.predict(coords), alone.predict(coords))
    assert np.array_equal(pipeline.fit_predict(coords, feats), alone.labels_)


def test_copies_and_files_answer_alike(builder, coords, feats, tmp_path):
    """Cells are stored as a file of data; a fitted builder can still be copied, and sent to a worker process."""
    builder.fit(coords, feats)
    saved = load_cells(builder.cells_.save(tmp_path / "cells.parquet"))
    assert np.array_equal(saved.assign(ANYWHERE), builder.predict(ANYWHERE))
    for copied in (copy.deepcopy(builder), pickle.loads(pickle.dumps(builder))):
        assert outcome(copied) == outcome(builder)
        assert joblib.hash(copied.get_params()) == joblib.hash(builder.get_params())


@pytest.mark.parametrize("builder", WEIGHTED, ids=repr, indirect=True)
def test_weights_stand_for_repeated_rows(builder, coords, feats):
    rng = np.random.default_rng(42)
    weights = rng.integers(0, 5, len(coords))
    order = rng.permutation(len(coords))
    repeated = clone(builder).fit(np.repeat(coords, weights, axis=0), np.repeat(feats, weights, 0))
    builder.fit(coords[order], feats[order], sample_weight=weights[order])
    assert np.array_equal(builder.predict(coords), repeated.predict(coords))
    assert np.array_equal(builder.centroids_, repeated.centroids_)
    labels = builder.labels_[np.argsort(order)]
    assert np.array_equal(np.repeat(labels, weights), repeated.labels_)


def with_first(value: Any) -> Callable[[Coords], Any]:
    def changed(coords: Coords) -> Any:
        changed_coords = coords.astype(object if isinstance(value, dict) else np.float64)
        changed_coords[0, 0] = value
        return changed_coords

    return changed


NAN = r"NaN or infinity \(first: row 0"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (with_first(np.nan), ValueError, NAN),
        (with_first(np.inf), ValueError, NAN),
        (with_first(-np.inf), ValueError, NAN),
        (with_first({"foo": "bar"}), TypeError, r"argument must be .* string.* number"),
        (lambda coords: coords[0], ValueError, "Reshape your data"),
        (
            lambda coords: coords[:, [1]],
            ValueError,
            r"1 feature\(s\) .* a minimum of 2 is required",
        ),
        (
            lambda coords: np.hstack([coords] * 2),
            ValueError,
            r"shape \(n, 2\); got shape \(120, 4\)",
        ),
        (lambda coords: coords + 1j * coords, ValueError, "Complex data not supported"),
        (scipy.sparse.csr_matrix, TypeError, r"sparse matrix.*use coords\.toarray\(\)"),
        (scipy.sparse.csr_array, TypeError, r"sparse matrix.*use coords\.toarray\(\)"),
    ],
)
def test_unsound_rows_are_refused(builder, coords, change, error, message):
    with pytest.raises(error, match=message):
        builder.fit(change(coords))
    builder.fit(coords)
    with pytest.raises(error, match=message):
        builder.predict(change(coords))
    assert not get_tags(builder).input_tags.sparse
    with pytest.raises(ValueError, match=r"0 samples, shape \(0, 2\)"):
        builder.fit(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(120), r"(.*weight.*zero.*)|(.*zero.*weight.*)"),
        (np.ones(240), "sample_weight must have one number per row"),
        (np.ones((120, 2)), "sample_weight must have one number per row"),
    ],
)
def test_unsound_weights_are_refused(coords, weights, message):
    with pytest.raises(ValueError, match=message):
        CellBuilder(5).fit(coords, sample_weight=weights)


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


def test_tables_come_back_with_their_own_index(builder, coords, feats):
    order = np.random.default_rng(3).permutation(len(coords))
    names = pd.Index([f"photo {row}" for row in order], name="photo")
    table = pd.DataFrame(coords, names, ["latitude", "longitude"])
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


@pytest.mark.parametrize("as_table", [False, True])
def test_grid_search_hands_features_over_as_y(coords, feats, as_table):
    seen = []

    def scoring(builder: CellBuilder, held_out: Any, held_out_feats: Any) -> float:
        seen.append(np.asarray(held_out_feats))
        assert isinstance(held_out, pd.DataFrame) == as_table
        guesses = builder.centroids_[np.asarray(builder.predict(held_out))]
        return -float(np.median(sphere.haversine(guesses, np.asarray(held_out))))

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
