"""Results as files."""

import json

import numpy as np

from geoloc_models.evaluation import (
    Predictions,
    evaluate,
    read_predictions,
    write_predictions,
    write_results,
)

GUESSES = Predictions(
    coords=np.array([[1.0, 2.0], [3.0, 4.0]]),
    countries=np.array(["A", "B"], dtype=object),
    probabilities=np.array([[0.75, 0.25], [0.1, 0.9]], dtype=np.float32),
    rows=np.array([5, 3]),
)


def test_predictions_survive_their_file(tmp_path):
    write_predictions(tmp_path / "predictions.parquet", GUESSES)
    loaded = read_predictions(tmp_path / "predictions.parquet")
    np.testing.assert_array_equal(loaded.coords, GUESSES.coords)
    assert loaded.countries.tolist() == ["A", "B"]
    assert loaded.rows.tolist() == [5, 3]


def test_results_name_the_number_of_test_images_and_every_model(tmp_path):
    figures = evaluate(GUESSES, GUESSES.coords, ["A", "A"], n_bootstrap=5)
    reference = {"majority_country": 50.0, "centre_median_km": 1.0}
    write_results(tmp_path / "results.json", {"country": figures}, reference)
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["n_test"] == 2
    assert content["reference"] == reference
    assert content["models"]["country"] == figures.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
