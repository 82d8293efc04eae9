"""Every JSON record of a model or a cache: another format or version, or a lost value, is refused alike."""

import json
import shutil

import pytest
from geoloc_models_bundles import save_small_bundle
from geoloc_models_small import small_table

from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import FeatureCache, FeatureCard
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.inference.bundle import load_bundle
from geoloc_models.inference.calibration import Calibration, load_calibration, save_calibration
from geoloc_models.inference.calibration_report import (
    CalibrationReport,
    read_calibration_report,
    write_calibration_report,
)
from geoloc_models.inference.model_card import ModelCard, load_model_card, save_model_card

READERS = {
    "card.json": load_bundle,
    "calibration.json": load_calibration,
    "calibration_report.json": lambda folder: read_calibration_report(
        folder / "calibration_report.json"
    ),
    "features.json": lambda folder: FeatureCache.open(folder / "features.npy"),
    "model_card.json": load_model_card,
}
MAY_LACK = {"format", "version", "promises", "abstaining", "weights"}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Folder with one of each."""
    folder = save_small_bundle("country", small_table(), tmp_path_factory.mktemp("records") / "all")
    save_calibration(Calibration("argmax", "fixed", 3.0, 10), folder)
    report = CalibrationReport(1, "argmax", "fixed", 5, 1.0, None, None, None)
    write_calibration_report(folder / "calibration_report.json", report)
    save_model_card(ModelCard("2026-11-28", {"CH": 40}, 7, {"25": 45.8}), folder)
    card = FeatureCard("tiny", "0123", {"image_size": 32}, 3, "float32", 1, "")
    FeatureWriter(folder / "features.npy", ["a"], card).close()
    return folder


@pytest.mark.parametrize("name", READERS)
def test_a_record_that_is_no_whole_one_of_its_format_is_refused(name, records, tmp_path):
    folder, read = shutil.copytree(records, tmp_path / "copy"), READERS[name]
    read(folder)
    text = (folder / name).read_text()
    content = json.loads(text)
    damages = [
        (text[:20], "cannot be read as JSON"),
        ("[]", "not a file of the format geoloc-"),
        (json.dumps({**content, "format": "x"}), "not a file of the format geoloc-"),
        (json.dumps({**content, "version": 99}), "of version 99; this release reads version"),
    ]
    for lost in content.keys() - MAY_LACK:
        rest = {key: value for key, value in content.items() if key != lost}
        damages.append((json.dumps(rest), f"{name} is incomplete or damaged: .*{lost}"))
    for damaged, words in damages:
        (folder / name).write_text(damaged)
        with pytest.raises(GeolocError, match=words):
            read(folder)
