"""Coverage: what is counted, what chance allows, what is refused."""

import numpy as np
import pytest
from scipy import stats

from geocells.decoding import conformal_quantile
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation.coverage import chance_interval, coverage


def test_a_photo_at_its_radius_is_held_and_one_without_is_left_out():
    found = coverage([5.0, 5.0, 7.0, 1.0], [5.0, 4.9, np.inf, np.nan], promised=0.5)
    assert (found.n_photos, found.n_held, found.median_km) == (3, 2, 5.0)


def test_the_interval_is_the_binomial_one_worked_by_hand():
    # Of two photos held with probability 0.5 each: 0, 1, 2 with 1/4, 1/2, 1/4; 95 % need all three.
    found = coverage([1.0, 1.0], [2.0, 2.0], promised=0.5)
    assert (found.low, found.high, found.is_as_promised) == (0.0, 1.0, True)
    # Of 100 photos held with probability 0.9, more than 94 or fewer than 84 come once in 20 at most.
    found = coverage(np.ones(100), np.full(100, 2.0))
    assert found.n_held == 100
    assert not found.is_as_promised
    outside = stats.binom.cdf(100 * found.low - 1, 100, 0.9) + stats.binom.sf(
        100 * found.high, 100, 0.9
    )
    assert 0.01 < outside <= 0.05


def test_the_chance_of_both_draws_worked_by_hand():
    # One calibration photo and half promised: k = 1, Beta(1, 1), so all of 0..n are as likely.
    low, high = chance_interval(99, 0.5, n_calibration=1)
    assert (round(99 * low), round(99 * high)) == (2, 97)
    # Too few to calibrate on: the radius is infinite.
    assert chance_interval(50, 0.9, n_calibration=8) == (1.0, 1.0)
    assert chance_interval(50, 0.9, n_calibration=9)[0] < 0.8
    # With ever more of them the calibration adds nothing.
    assert chance_interval(200, 0.9, n_calibration=10**7) == chance_interval(200, 0.9)


def test_conformal_radii_are_within_the_chance_of_both_draws():
    random = np.random.default_rng(1)
    low, high = chance_interval(150, 0.9, n_calibration=120)
    held = []
    for _ in range(400):
        radius = conformal_quantile(random.random(120))
        held.append((random.random(150) <= radius).mean())
    inside = [low <= share <= high for share in held]
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)
    # The binomial interval alone is too narrow for them.
    alone = chance_interval(150, 0.9)
    assert np.mean([alone[0] <= share <= alone[1] for share in held]) < 0.92


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "needs photos; got 0 test"),
        ((5, 0.9, 0), "needs photos.*0 calibration"),
        ((5, 1.0), "between 0 and 1"),
    ],
)
def test_no_interval_without_photos_or_promise(arguments, words):
    with pytest.raises(GeolocError, match=words):
        chance_interval(*arguments)


def test_without_any_radius_there_is_none():
    assert coverage([1.0], [np.nan]) is None
    assert coverage([], []) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0], [1.0], 1.0), "between 0 and 1"),
        (([1.0, 2.0], [1.0], 0.9), "one radius"),
        (([-1.0], [1.0], 0.9), "at least 0 km"),
        (([np.nan], [1.0], 0.9), "at least 0 km"),
    ],
)
def test_unsound_numbers_are_refused(arguments, words):
    with pytest.raises(GeolocError, match=words):
        coverage(*arguments)
