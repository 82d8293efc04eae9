from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_decoding import expected_calibration_error as naive_error
from naive_decoding import negative_log_likelihood

from geocells import decoding
from geocells.decoding import expected_calibration_error, reliability, temperature_scaling


def drawn(n_rows: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: the logits are right as they are."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(n_rows, n_classes))
    sums = np.cumsum(decoding.softmax(logits), axis=1)
    labels = (rng.random((n_rows, 1)) > sums).sum(axis=1)
    return logits, np.minimum(labels, n_classes - 1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 5.0]))
def test_no_temperature_near_by_is_likelier(seed, factor):
    logits, labels = drawn(40, 4, seed)
    logits = logits * factor
    temperature = temperature_scaling(logits, labels)
    at = [
        negative_log_likelihood(logits.tolist(), labels.tolist(), temperature * change)
        for change in (1.0, 0.99, 1.01)
    ]
    assert at[0] <= min(at[1:]) + 1e-12 or temperature in (0.01, 100.0)


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor):
    logits, labels = drawn(20_000, 5, 0)
    # 20 000 rows tell the temperature to about 1 %.
    assert temperature_scaling(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_the_temperature_takes_away_the_calibration_error():
    logits, labels = drawn(5000, 5, 1)
    sure = decoding.softmax(3 * logits)
    cooled = decoding.softmax(3 * logits, temperature_scaling(3 * logits, labels))
    assert expected_calibration_error(sure, labels) > 0.1
    assert expected_calibration_error(cooled, labels) < 0.03


def test_a_constant_added_to_a_row_changes_nothing():
    logits, labels = drawn(100, 3, 2)
    shifted = logits + np.random.default_rng(0).normal(0, 50, size=(100, 1))
    assert temperature_scaling(shifted, labels) == pytest.approx(
        temperature_scaling(logits, labels), rel=1e-6
    )


def test_the_ends_of_the_scale_are_kept():
    logits = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert temperature_scaling(logits, [1, 0]) == 0.01
    assert temperature_scaling(logits, [0, 1]) == 100.0
    assert temperature_scaling(np.zeros((2, 2)), [0, 1]) == 100.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_error_is_the_mean_gap_over_the_bins(seed, n_bins):
    rng = np.random.default_rng(seed)
    confidences = np.concatenate([rng.random(30), rng.integers(0, n_bins + 1, 5) / n_bins])
    right = rng.random(35) < confidences
    expected = naive_error(confidences.tolist(), right.tolist(), n_bins)
    assert expected_calibration_error(confidences, right, n_bins) == pytest.approx(expected)


def test_a_table_by_hand():
    table = reliability([0.9, 0.8, 0.5, 0.2], [True, False, True, False], n_bins=2)
    assert table["count"].tolist() == [2, 2]
    assert table["confidence"].tolist() == pytest.approx([0.35, 0.85])
    assert table["accuracy"].tolist() == [0.5, 0.5]
    # Wilson's interval of 1 of 2, from its closed form.
    assert table.loc[0, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(
        [0.0945, 0.9055], abs=1e-4
    )


def test_the_likeliest_class_is_the_answer():
    rows = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]
    table = reliability(rows, [0, 1], n_bins=5)
    assert table["count"].tolist() == [0, 0, 1, 1, 0]
    assert table["accuracy"].dropna().tolist() == [0.0, 1.0]
    assert expected_calibration_error(rows, [0, 1], 5) == pytest.approx((0.3 + 0.6) / 2)


def test_no_rows_make_an_empty_table():
    table = reliability(np.empty((0, 3)), np.empty(0, dtype=np.int64), 4)
    assert table["count"].sum() == 0
    assert table["accuracy"].isna().all()
    assert np.isnan(expected_calibration_error([], []))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperature_scaling(np.empty((0, 2)), []), "at least one row"),
        (lambda: temperature_scaling([[0.0, np.inf]], [0]), "logits must be finite"),
        (lambda: temperature_scaling([[0.0, 1.0]], [2]), "run from 0 to 1; 1 of 1 rows do not"),
        (lambda: temperature_scaling([[0.0, 1.0]], [-1]), "run from 0 to 1"),
        (lambda: reliability([1.5], [True]), "numbers from 0 to 1; .*row 0, 1.5"),
        (lambda: reliability([0.5], [2]), "one boolean for each"),
        (lambda: reliability([0.5], [True, False]), "each of the 1 answers"),
        (lambda: reliability([0.5], [True], 0), "n_bins must be at least 1"),
    ],
)
def test_unsound_rows_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
