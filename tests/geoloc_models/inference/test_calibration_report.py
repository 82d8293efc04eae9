"""CalibrationReport: a model's promises held against test photos; the record survives its file."""

import json

import numpy as np
import pytest
import torch
from geoloc_models_bundles import save_small_bundle
from geoloc_models_small import outputs_of, small_table

from geocells import decoding, sphere
from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.evaluation.coverage import chance_interval
from geoloc_models.inference.calibration_report import (
    CalibrationReport,
    judge_calibration,
    read_calibration_report,
    write_calibration_report,
)
from geoloc_models.inference.decoders import DECODER_TITLES, decode_every_way, judge_decoders
from geoloc_models.models.tasks import TASKS


@pytest.fixture
def calibrated(tmp_path):
    """Cell model, calibrated on photos whose probabilities know the true cell rather well."""
    table = small_table(200, seed=1)
    model = load_model(save_small_bundle("cells", table, tmp_path / "cells"))
    model.store_images(table.coords, table.countries)
    model.calibrate(outputs(model, table, seed=2), table.coords, table.countries)
    return model


def outputs(model, table, *, seed):
    """What an honest network might give: the truth likelier, then three times too sure."""
    random = np.random.default_rng(seed)
    labels = model.classes.labels_of(table.coords, table.countries)
    logits = random.normal(0, 1, (len(labels), model.classes.n_classes))
    logits[np.arange(len(labels)), labels] += 1.0
    return {"probabilities": decoding.softmax(3.0 * logits).astype(np.float32)}


def test_what_is_judged_is_what_the_model_answers(calibrated):
    table = small_table(400, seed=7)
    arrays = outputs(calibrated, table, seed=8)
    found = judge_calibration(calibrated, arrays, table.coords, table.countries)
    decoded = calibrated.decode(arrays)
    errors_km = sphere.haversine(decoded.coords, table.coords)
    assert found.n_photos == 400
    assert found.coverage.n_held == (errors_km <= decoded.radius_90_km).sum()
    # 200 photos calibrate and 400 test: the share varies by a deviation of 2.6 points.
    assert abs(found.coverage.held - 0.9) < 3.5 * 0.026
    right = sum(round(own.accuracy * own.n_photos) for own in found.within_25_km)
    assert right == (errors_km <= 25.0).sum()
    assert sum(own.n_photos for own in found.classes) == 400


def test_abstaining_is_judged_on_the_answers_that_are_given(calibrated):
    table = small_table(400, seed=7)
    arrays = outputs(calibrated, table, seed=8)
    found = judge_calibration(calibrated, arrays, table.coords, table.countries).abstaining
    decoded = calibrated.decode(arrays, promise_km=25)
    right = sphere.haversine(decoded.coords, table.coords) <= 25.0
    assert found.held[3] == pytest.approx(right.mean())
    surest = np.argsort(-decoded.probability_within_25_km)[:100]
    assert found.held[0] == pytest.approx(right[surest].mean(), abs=0.02)  # but for ties
    assert found.promised == decoded.promised.mean()
    assert found.promised_held == (right[decoded.promised].mean() if found.promised else None)
    assert 0 < found.risk_area <= 1 - right.mean() + 0.05


def test_the_temperature_lowers_the_calibration_error(calibrated):
    table = small_table(2000, seed=9)
    arrays = outputs(calibrated, table, seed=10)
    found = judge_calibration(calibrated, arrays, table.coords, table.countries)
    assert found.temperature > 1.5
    assert found.error_calibrated < found.error_as_trained / 2
    half, most = found.regions
    assert (half.level, most.level) == (0.5, 0.9)
    # A region holds its level at least, to three standard errors, where probabilities are true.
    assert most.held > 0.9 - 3 * np.sqrt(0.09 / 2000) - 0.02
    assert half.median_classes <= most.median_classes


def test_photos_of_unknown_countries_have_no_class_but_a_distance(calibrated):
    table = small_table(20, seed=3)
    countries = table.countries.copy()
    countries[:5] = "XX"
    assert (calibrated.classes.labels_of(table.coords, countries)[:5] == -1).all()
    found = judge_calibration(
        calibrated, outputs(calibrated, table, seed=4), table.coords, countries
    )
    assert found.n_photos == 20
    assert sum(own.n_photos for own in found.classes) == 15


def test_large_numbers_are_sampled_alike_at_each_call(calibrated):
    part = calibrated.sample(50_000)
    assert len(part) == 10_000
    assert (np.diff(part) > 0).all()
    np.testing.assert_array_equal(part, calibrated.sample(50_000))
    np.testing.assert_array_equal(calibrated.sample(3), [0, 1, 2])


def test_a_record_survives_its_file(calibrated, tmp_path):
    table = small_table(30, seed=5)
    found = judge_calibration(
        calibrated, outputs(calibrated, table, seed=6), table.coords, table.countries
    )
    write_calibration_report(tmp_path / "calibration_report.json", found)
    assert read_calibration_report(tmp_path / "calibration_report.json") == found
    assert found.chance == chance_interval(30, 0.9, n_calibration=found.n_calibration)


@pytest.mark.parametrize("changes", [{"regions": [{"level": 0.5}]}, {"mood": 1}])
def test_a_garbled_file_is_refused(tmp_path, changes):
    path = tmp_path / "calibration_report.json"
    report = CalibrationReport(1, "argmax", "fixed", 5, 1.0, None, None, None)
    write_calibration_report(path, report)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(GeolocError, match="is incomplete or damaged:"):
        read_calibration_report(path)


def test_what_does_not_fit_is_refused(calibrated, tmp_path):
    table = small_table(10)
    arrays = outputs(calibrated, table, seed=1)
    with pytest.raises(GeolocError, match="10 photos; got 3"):
        judge_calibration(calibrated, arrays, table.coords[:3], table.countries[:3])
    with pytest.raises(GeolocError, match="0 photos"):
        judge_calibration(calibrated, {}, table.coords, table.countries)
    plain = load_model(save_small_bundle("cells", table, tmp_path / "plain"))
    with pytest.raises(GeolocError, match="not calibrated"):
        judge_calibration(plain, arrays, table.coords, table.countries)


def test_every_decoder_answers_for_every_photo(calibrated):
    table = small_table(12, seed=3)
    arrays = outputs(calibrated, table, seed=4)
    rows = np.arange(100, 112)
    answers = decode_every_way(calibrated, arrays, rows)
    assert list(answers) == [name for name in DECODER_TITLES if name != "own"]
    likeliest = arrays["probabilities"].argmax(axis=1)
    cells = calibrated.classes.cells
    np.testing.assert_array_equal(answers["mean"].coords, cells.centroids[likeliest])
    np.testing.assert_array_equal(answers["mode"].coords, cells.modes[likeliest])
    np.testing.assert_array_equal(answers["utility_all"].coords, calibrated.decode(arrays).coords)
    for own in answers.values():
        assert own.rows.tolist() == rows.tolist()
        assert set(own.countries) <= {"SE", "CH"}


def test_single_radii_are_expected_to_win_their_own(calibrated):
    table = small_table(60, seed=3)
    arrays = outputs(calibrated, table, seed=4)
    probabilities = calibrated.decode(arrays).probabilities
    answers = decode_every_way(calibrated, arrays, np.arange(60))
    decoder = calibrated.classes.decoder
    for radius in (1, 25, 200, 750):
        own, every = (
            decoder.mass_within(probabilities, answers[name].coords, [radius])[:, 0]
            for name in (f"utility_{radius}", "utility_all")
        )
        assert (own >= every - 1e-9).all()


@pytest.mark.parametrize("kind", sorted(set(TASKS) - {"cells"}))
def test_other_models_begin_with_their_own_answer(kind, tmp_path):
    table = small_table()
    model = load_model(save_small_bundle(kind, table, tmp_path / kind))
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 32, 32)))
    answers = decode_every_way(model, outputs_of(model.task, images.float()), np.arange(4))
    first = next(iter(answers))
    assert first == ("mean" if kind in ("hierarchy", "refined") else "own")
    if kind in ("country", "offset"):
        assert list(answers) == ["own"]  # nobody knows where their classes' photos are
    else:
        assert "utility_all" in answers


def test_decoders_are_judged_against_the_first():
    coords, countries = (
        np.array([[47.0, 8.0], [59.0, 18.0], [0.0, 0.0]]),
        np.array(["CH", "SE", ""]),
    )
    rows = np.array([1, 0])
    right = Predictions(coords[rows], countries[rows].astype(object), None, rows)
    wrong = Predictions(coords[rows][::-1], countries[rows][::-1].astype(object), None, rows)
    judged = judge_decoders({"mean": wrong, "utility_all": right}, coords, countries)
    assert judged.against == "mean"
    assert list(judged.evaluations) == ["mean", "utility_all"]
    assert judged.evaluations["utility_all"].country.value == 100.0
    assert judged.evaluations["mean"].country.value == 0.0
    assert list(judged.differences) == ["utility_all"]
    assert judged.differences["utility_all"]["country"].value == 100.0
