"""Coverage: what is counted, what chance allows, what is refused."""

import numpy as np
import pytest
from scipy import stats

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Coverage, coverage


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


def test_radii_that_keep_their_promise_are_nearly_always_within():
    random = np.random.default_rng(0)
    within = [coverage(random.random(300), np.full(300, 0.9)).is_as_promised for _ in range(400)]
    # At least 95 %, less three standard errors of 400 trials.
    assert np.mean(within) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)


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


def test_a_record_survives_its_dictionary():
    found = Coverage(10, 9, 0.9, 0.7, 1.0, 3.5)
    assert Coverage(**found.to_dict()) == found
    assert found.held == 0.9
