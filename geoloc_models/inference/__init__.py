"""A bundle in, answers out: probabilities, predictions, calibration, maps, export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.inference.bundle import Bundle, load_bundle, save_bundle
    from geoloc_models.inference.calibration import (
        Calibration,
        fit_calibration,
        load_calibration,
        save_calibration,
    )
    from geoloc_models.inference.calibration_report import (
        CalibrationReport,
        calibration_lines,
        judge_calibration,
        read_calibration_report,
        write_calibration_report,
    )
    from geoloc_models.inference.class_locations import ClassLocations, predict_proba
    from geoloc_models.inference.decoders import (
        DECODER_TITLES,
        JudgedDecoders,
        decode_every_way,
        judge_decoders,
    )
    from geoloc_models.inference.export import export_onnx
    from geoloc_models.inference.map import MapPage
    from geoloc_models.inference.model import Model, load_model
    from geoloc_models.inference.network import NetworkOutputs, answer_outputs, run_network
    from geoloc_models.inference.place_names import NearestPlace, nearest_places
    from geoloc_models.inference.predictions import DecodedOutputs, PhotoPredictions

_MODULES = {
    "Bundle": "bundle",
    "Calibration": "calibration",
    "CalibrationReport": "calibration_report",
    "ClassLocations": "class_locations",
    "DECODER_TITLES": "decoders",
    "DecodedOutputs": "predictions",
    "JudgedDecoders": "decoders",
    "MapPage": "map",
    "Model": "model",
    "NearestPlace": "place_names",
    "NetworkOutputs": "network",
    "PhotoPredictions": "predictions",
    "answer_outputs": "network",
    "calibration_lines": "calibration_report",
    "decode_every_way": "decoders",
    "export_onnx": "export",
    "fit_calibration": "calibration",
    "judge_calibration": "calibration_report",
    "judge_decoders": "decoders",
    "load_bundle": "bundle",
    "load_calibration": "calibration",
    "load_model": "model",
    "nearest_places": "place_names",
    "predict_proba": "class_locations",
    "read_calibration_report": "calibration_report",
    "run_network": "network",
    "save_bundle": "bundle",
    "save_calibration": "calibration",
    "write_calibration_report": "calibration_report",
}
__all__ = [
    "DECODER_TITLES",
    "Bundle",
    "Calibration",
    "CalibrationReport",
    "ClassLocations",
    "DecodedOutputs",
    "JudgedDecoders",
    "MapPage",
    "Model",
    "NearestPlace",
    "NetworkOutputs",
    "PhotoPredictions",
    "answer_outputs",
    "calibration_lines",
    "decode_every_way",
    "export_onnx",
    "fit_calibration",
    "judge_calibration",
    "judge_decoders",
    "load_bundle",
    "load_calibration",
    "load_model",
    "nearest_places",
    "predict_proba",
    "read_calibration_report",
    "run_network",
    "save_bundle",
    "save_calibration",
    "write_calibration_report",
]


def __getattr__(name: str) -> Any:
    # Each name is imported when first used: most need torch.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
