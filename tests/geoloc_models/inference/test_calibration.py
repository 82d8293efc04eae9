"""Calibration: radii hold as often as they say; what is kept is what was fitted."""

import json
import math

import numpy as np
import pytest

from geocells import decoding, sphere
from geoloc_models.errors import GeolocError
from geoloc_models.inference import calibration as module
from geoloc_models.inference.calibration import (
    CALIBRATION_FILE,
    Calibration,
    fit_calibration,
    load_calibration,
    save_calibration,
    scaled,
)

PLACES = np.array([(47.4, 8.5), (47.0, 7.4), (46.2, 6.1), (59.3, 18.1), (57.7, 12.0)])


def simulated(n, seed):
    """Photos of five towns and a classifier that is too sure of itself."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(PLACES), n)
    coords = PLACES[labels] + random.normal(0, 0.05, (n, 2))
    logits = random.normal(0, 1, (n, len(PLACES)))
    logits[np.arange(n), labels] += 2.0
    return decoding.softmax(3.0 * logits), coords, labels


def fitted_decoder():
    _, coords, labels = simulated(400, seed=9)
    return decoding.ExpectedUtility(PLACES).fit(coords, labels)


@pytest.mark.parametrize("method", ["mass", "spread", "fixed"])
def test_nine_photos_in_ten_lie_within_their_radius(method, monkeypatch):
    decoder = fitted_decoder()
    monkeypatch.setattr(module, "_ALL_MASS", 0.0 if method == "spread" else module._ALL_MASS)
    shares = []
    for repeat in range(10):
        probabilities, coords, labels = simulated(600, seed=repeat)
        how = {"decoder": decoder, "labels": labels}
        if method == "fixed":
            how = {"points": decoder.predict(probabilities)}
        calibration = fit_calibration(probabilities, coords, **how)
        assert calibration.method == method
        new, truth, _ = simulated(2000, seed=1000 + repeat)
        new = scaled(new, calibration.temperature)
        points = decoder.predict(new)
        radii_km = calibration.radii_km(points, new, decoder)
        shares.append((sphere.haversine(points, truth) <= radii_km).mean())
    # Calibration set and test set each add a binomial error, 0.012 and 0.007, to each repeat.
    assert abs(np.mean(shares) - 0.9) < 3 * np.hypot(0.012, 0.007) / np.sqrt(len(shares))


def test_of_the_answers_given_nine_in_ten_are_right():
    decoder = fitted_decoder()
    kept = []
    for repeat in range(20):
        probabilities, coords, labels = simulated(600, seed=repeat)
        calibration = fit_calibration(probabilities, coords, decoder=decoder, labels=labels)
        assert 0 < calibration.promises[25.0] < 1
        assert calibration.promises[1.0] == np.inf  # towns are wider
        new, truth, _ = simulated(5000, seed=1000 + repeat)
        new = scaled(new, calibration.temperature)
        points = decoder.predict(new)
        given = decoder.mass_within(new, points, [25.0])[:, 0] > calibration.promises[25.0]
        assert given.mean() > 0.2
        kept.append((sphere.haversine(points, truth) <= 25.0)[given].mean() >= 0.9)
    assert np.mean(kept) >= 0.9  # the promise may fail in one of ten draws


def test_the_temperature_undoes_a_factor_on_the_logits():
    probabilities, coords, labels = simulated(3000, seed=3)
    calibration = fit_calibration(probabilities, coords, decoder=fitted_decoder(), labels=labels)
    # The true logits are those of a normal with a shift of 2: softmax of 2 z. They came as 3 z.
    assert calibration.temperature == pytest.approx(1.5, rel=0.08)
    cooler = scaled(probabilities, calibration.temperature)
    np.testing.assert_allclose(cooler.sum(axis=1), 1.0, atol=1e-6)
    assert (cooler.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_without_labels_the_probabilities_stay():
    probabilities, coords, _ = simulated(50, seed=4)
    assert fit_calibration(probabilities, coords, decoder=fitted_decoder()).temperature == 1.0
    assert scaled(probabilities, 1.0) is probabilities


def test_where_truth_lies_beyond_all_mass_the_spread_is_taken():
    probabilities, coords, _ = simulated(60, seed=5)
    far = coords + np.array([20.0, 0.0])
    assert fit_calibration(probabilities, far, decoder=fitted_decoder()).method == "spread"


def test_without_probabilities_every_photo_has_one_radius():
    points = np.zeros((19, 2))
    coords = np.column_stack([np.arange(1.0, 20.0), np.zeros(19)])
    calibration = fit_calibration(None, coords, points=points, decoder_name="argmax")
    assert (calibration.method, calibration.decoder) == ("fixed", "argmax")
    # The 18th smallest of 19 errors, as (19 + 1) * 0.9 = 18.
    expected = sphere.haversine([[0.0, 0.0]], [[18.0, 0.0]])[0]
    assert calibration.radii_km(points[:2], None, None).tolist() == pytest.approx([expected] * 2)


def test_too_few_photos_have_no_radius_and_the_file_says_so(tmp_path):
    calibration = fit_calibration(None, PLACES, points=PLACES)
    assert calibration.parameter == np.inf
    save_calibration(calibration, tmp_path)
    assert load_calibration(tmp_path) == calibration
    assert np.isinf(calibration.radii_km(PLACES, None, None)).all()


def test_what_is_kept_is_what_was_fitted(tmp_path):
    promises = {1.0: np.inf, 25.0: 0.7, 750.0: -1.0}
    calibration = Calibration("expected_utility", "mass", 0.93, 120, 1.7, promises)
    save_calibration(calibration, tmp_path)
    assert load_calibration(tmp_path) == calibration
    path = tmp_path / CALIBRATION_FILE
    content = json.loads(path.read_text())
    del content["promises"]  # of an older release
    path.write_text(json.dumps(content))
    assert load_calibration(tmp_path).promises == {}
    assert load_calibration(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": 0.5}, "its level is 0.5"),
        ({"method": "guess"}, "Unknown method 'guess'"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"parameter": "much"}, "is incomplete or damaged:"),
        ({"promises": [1]}, "is incomplete or damaged:"),
        ({"promises": {"25": -2}}, "Promises are probabilities"),
        ({"method": "mass", "parameter": 1.8}, "at most 1"),
        ({"n_photos": math.inf}, "the number Infinity"),
    ],
)
def test_a_garbled_file_is_refused(tmp_path, changes, words):
    path = tmp_path / CALIBRATION_FILE
    save_calibration(Calibration("argmax", "fixed", 3.0, 10), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(GeolocError, match=words):
        load_calibration(tmp_path)


def test_what_cannot_be_calibrated_is_refused():
    probabilities, coords, labels = simulated(20, seed=6)
    with pytest.raises(GeolocError, match="with a true class; none of 20"):
        fit_calibration(
            probabilities, coords, decoder=fitted_decoder(), labels=np.full_like(labels, -1)
        )
    with pytest.raises(GeolocError, match="Pass the answered points"):
        fit_calibration(None, coords)
