"""ONNX: what onnxruntime computes is what torch computes; what the numbers mean is beside it."""

import json
import sys

import numpy as np
import pytest
import torch
from geoloc_models_bundles import save_small_bundle
from geoloc_models_small import outputs_of, small_table

from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.inference import export
from geoloc_models.inference.calibration import Calibration, save_calibration
from geoloc_models.inference.export import TOLERANCE, export_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def run(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [own.name for own in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": images}), strict=True))


@pytest.fixture(scope="module", params=["cells", "retrieval"])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    save_small_bundle(request.param, small_table(), folder / "bundle")
    save_calibration(
        Calibration("argmax", "fixed", np.inf, 5, promises={25.0: np.inf}), folder / "bundle"
    )
    model = load_model(folder / "bundle")
    export_onnx(model.task, folder / "model.onnx", folder=model.folder)
    return model, folder


@pytest.mark.parametrize("n_images", [1, 5])
def test_any_batch_gives_what_torch_gives(exported, n_images):
    model, folder = exported
    size = model.image_size
    images = torch.randn(n_images, 3, size, size)
    found = run(folder / "model.onnx", images.numpy())
    expected = outputs_of(model.task, images)
    assert ("features" in found) == model.task.stores_images
    for name, values in expected.items():
        if name == "features" and not model.task.stores_images:
            continue
        np.testing.assert_allclose(found[name], values, atol=TOLERANCE)
    assert found["probabilities"].shape == (n_images, model.classes.n_classes)
    if model.task.name == "retrieval":
        own = model.task.gallery.probabilities(
            expected["embedding"], temperature=float(model.task.temperature.detach())
        )
        np.testing.assert_allclose(found["probabilities"], own, atol=TOLERANCE)


def test_the_card_says_what_the_numbers_mean(exported):
    model, folder = exported
    card = json.loads((folder / "model.json").read_text())
    assert card["format"] == "geoloc-onnx"
    assert card["input"]["shape"] == ["batch", 3, model.image_size, model.image_size]
    assert card["input"]["mean"] == list(model.task.encoder.preprocessing.mean)
    assert card["outputs"]["probabilities"] == ["batch", model.classes.n_classes]
    assert card["largest_difference"] <= TOLERANCE
    classes = card["classes"]
    np.testing.assert_array_equal(classes["latitude"], model.classes.coords[:, 0])
    np.testing.assert_array_equal(classes["longitude"], model.classes.coords[:, 1])
    assert classes["country"] == model.classes.countries.tolist()
    assert card["calibration"]["parameter"] is None
    assert card["calibration"]["promises"] == {"25": None}
    assert {path.name for path in folder.iterdir()} == {"bundle", "model.onnx", "model.json"}


@pytest.mark.parametrize("kind", ["hierarchy", "offset", "nearest", "country"])
def test_every_kind_has_its_meaning(kind, tmp_path):
    model = load_model(save_small_bundle(kind, small_table(), tmp_path / kind))
    meaning = export._meaning(model.task, model.folder)
    assert json.dumps(meaning, allow_nan=False)
    assert ("classes" in meaning) == (kind != "nearest")
    assert ("parents" in meaning) == (kind == "hierarchy")
    assert ("boxes" in meaning) == (kind == "offset")


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    model = load_model(save_small_bundle("country", small_table(), tmp_path / "bundle"))
    monkeypatch.setattr(export, "_export", lambda *_: None)
    monkeypatch.setattr(export, "_run", lambda *_: [np.zeros((3, 2), dtype=np.float32)])
    with pytest.raises(GeolocError, match="differ from torch's by"):
        export_onnx(model.task, tmp_path / "model.onnx", folder=model.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def test_what_cannot_be_exported_is_told_in_one_sentence(tmp_path, monkeypatch):
    model = load_model(save_small_bundle("country", small_table(), tmp_path / "bundle"))
    with pytest.raises(GeolocError, match=r"should end in \.onnx"):
        export_onnx(model.task, tmp_path / "model.pb", folder=model.folder)

    def fail(*_, **__):
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(GeolocError, match=r"cannot be exported to ONNX \(no such operator\)"):
        export_onnx(model.task, tmp_path / "model.onnx", folder=model.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(GeolocError, match=r"pip install '\.\[onnx\]'"):
        export_onnx(model.task, tmp_path / "model.onnx", folder=model.folder)
