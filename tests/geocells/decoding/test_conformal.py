from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import conformal_quantile as naive_quantile
from scipy import stats

from geocells import decoding, sphere
from geocells.decoding import ConformalMass, ConformalRadius, ExpectedUtility, conformal_quantile
from geocells.decoding.conformal import conformal_rank


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(1, 9))
def test_the_quantile_is_the_finite_sample_one(scores, tenths):
    assert conformal_quantile(scores, tenths / 10) == naive_quantile(scores, tenths)


def test_too_few_scores_promise_nothing_finite():
    assert conformal_quantile(np.arange(8.0), 0.1) == np.inf
    assert conformal_quantile(np.arange(9.0), 0.1) == 8.0
    assert conformal_quantile([], 0.1) == np.inf


def test_infinite_scores_are_kept_in_their_place():
    scores = np.r_[np.arange(18.0), np.inf, np.inf]
    assert conformal_quantile(scores, 0.2) == 16.0
    assert conformal_quantile(scores, 0.05) == np.inf


def coverage_interval(n_tests: int, n_calibration: int, alpha: float) -> tuple[float, float]:
    """Central 99.9 % of the share covered: beta-binomial, as calibration set and test set are both drawn."""
    rank = int(np.ceil((n_calibration + 1) * (1 - alpha)))
    law = stats.betabinom(n_tests, rank, n_calibration + 1 - rank)
    return law.ppf(0.0005) / n_tests, law.ppf(0.9995) / n_tests


@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize("informative", [True, False])
def test_the_radius_covers_as_often_as_it_says(alpha, informative):
    rng = np.random.default_rng(7)
    spreads = 10 ** rng.uniform(0, 3, size=8000)
    # Errors that the spread tells something of, or nothing at all: coverage holds all the same.
    errors = rng.exponential(spreads if informative else 100.0, size=8000)
    radius = ConformalRadius(alpha).fit(errors[:3000], spreads[:3000])
    covered = (errors[3000:] <= radius.predict(spreads[3000:])).mean()
    low, high = coverage_interval(5000, 3000, alpha)
    assert low <= covered <= high


def test_without_spreads_every_photo_has_the_same_radius():
    radius = ConformalRadius(0.1).fit(np.arange(1.0, 20.0))
    assert radius.predict(3).tolist() == [18.0] * 3
    assert radius.predict(np.zeros(2)).tolist() == [18.0] * 2


def test_a_wider_spread_gives_a_wider_radius_and_none_is_zero():
    radius = ConformalRadius(0.1, offset_km=2.0).fit(np.full(20, 10.0), np.full(20, 3.0))
    assert radius.quantile_ == 2.0
    assert radius.predict([3.0, 8.0, 0.0]).tolist() == [10.0, 20.0, 4.0]


def simulated(n_rows: int, sharpness: float, seed: int):
    """A world of clusters, and a classifier too sure or not sure enough of the cell that the photo is in."""
    rng = np.random.default_rng(seed)
    n_cells = 30
    centres = np.column_stack([rng.uniform(-60, 60, n_cells), rng.uniform(-180, 180, n_cells)])
    labels = np.arange(n_cells).repeat(40)
    coords = centres[labels] + rng.normal(0, 0.7, size=(len(labels), 2))
    coords[:, 1] = (coords[:, 1] + 180) % 360 - 180
    logits = rng.normal(0, 1.5, size=(n_rows, n_cells))
    truth = (rng.random((n_rows, 1)) > np.cumsum(decoding.softmax(logits), axis=1)).sum(axis=1)
    places = centres[truth] + rng.normal(0, 0.7, size=(n_rows, 2))
    places[:, 1] = (places[:, 1] + 180) % 360 - 180
    return coords, labels, decoding.softmax(sharpness * logits), places


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_the_mass_covers_as_often_as_it_says_whatever_the_model_claims(sharpness):
    coords, labels, rows, places = simulated(1200, sharpness, seed=3)
    decoder = ExpectedUtility(resolution_km=10).fit(coords, labels)
    points = decoder.predict(rows)
    conformal = ConformalMass(decoder, alpha=0.2).fit(rows[:400], points[:400], places[:400])
    radii = conformal.predict(rows[400:], points[400:])
    covered = (sphere.haversine(points[400:], places[400:]) <= radii).mean()
    low, high = coverage_interval(800, 400, 0.2)
    # Beyond the next image only, so a little more than asked for at most: 40 images a cell.
    assert low <= covered <= high + 0.02
    # A model too sure of itself needs more mass than 80 %, one not sure enough less.
    assert (conformal.mass_ > 0.8) == (sharpness > 1.0) or sharpness == 1.0
    assert len(np.unique(radii.round(3))) > 100


def test_masses_too_few_to_calibrate_give_infinite_radii():
    coords, labels, rows, places = simulated(8, 1.0, seed=3)
    decoder = ExpectedUtility(resolution_km=10).fit(coords, labels)
    points = decoder.predict(rows)
    conformal = ConformalMass(decoder, alpha=0.1).fit(rows, points, places)
    assert conformal.mass_ == np.inf
    assert conformal.predict(rows, points).tolist() == [np.inf] * 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_quantile([1.0], 0.0), "alpha must lie between 0 and 1"),
        (lambda: conformal_quantile([1.0, np.nan]), "1 of 2 rows do not \\(first: row 1, nan"),
        (lambda: conformal_quantile([[1.0]]), "shape \\(n,\\)"),
        (
            lambda: ConformalRadius().fit([-1.0]),
            "distances_km must hold numbers of at least 0; .*row 0, -1",
        ),
        (lambda: ConformalRadius().fit([1.0], [1.0, 2.0]), "each of the 1 distances; got 2"),
        (
            lambda: ConformalRadius().fit([1.0], [np.inf]),
            "spreads_km must hold finite numbers of at least 0; .*row 0, inf",
        ),
        (lambda: ConformalRadius(offset_km=0).fit([1.0], [1.0]), "offset_km must be"),
        (lambda: ConformalRadius().predict([1.0]), "not calibrated"),
        (
            lambda: ConformalMass(ExpectedUtility().fit([(0.0, 0.0)], [0])).predict(
                [[1.0]], [(0, 0)]
            ),
            "not calibrated",
        ),
        (
            lambda: ConformalMass(ExpectedUtility().fit([(0.0, 0.0)], [0])).fit(
                [[1.0]], [(0, 0)], [(0, 0), (1, 1)]
            ),
            "each of the 1 points; got 2",
        ),
    ],
)
def test_unsound_calibration_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(n=st.integers(0, 400), tenths=st.integers(1, 9))
def test_the_rank_is_worked_out_in_whole_numbers(n, tenths):
    # ceil((n + 1) (10 - tenths) / 10) without a rounding error.
    assert conformal_rank(n, tenths / 10) == -(-(n + 1) * (10 - tenths) // 10)


def test_the_rank_is_at_least_the_first():
    assert conformal_rank(0, 1 - 1e-10) == 1
    assert conformal_quantile([1.0, 2.0, 3.0], 1 - 1e-10) == 1.0


def test_a_rank_of_no_set_is_refused():
    with pytest.raises(ValueError, match="at least 0; got -1"):
        conformal_rank(-1)
