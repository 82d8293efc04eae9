"""A trained network as ONNX, for programs without torch, and what its numbers mean as JSON."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geoloc_models.errors import GeolocError
from geoloc_models.files import replacing, write_record
from geoloc_models.inference.calibration import load_calibration
from geoloc_models.models.tasks import HierarchyTask, OffsetTask, PlaceTask, RetrievalTask

logger = logging.getLogger(__name__)

FORMAT, VERSION = "geoloc-onnx", 1
TOLERANCE = 1e-4
"""Largest difference between the outputs of torch and of onnxruntime that passes the check."""

_MISSING = (
    "Export needs onnx, onnxscript and onnxruntime; run pip install '.[onnx]' in the source folder"
)


class _Network(nn.Module):
    """What goes into the file: a task's network, its outputs in a fixed order."""

    gallery: Tensor | None

    def __init__(self, task: PlaceTask) -> None:
        super().__init__()
        self.task = task
        self.temperature = 1.0
        self.register_buffer("gallery", None)
        if isinstance(task, RetrievalTask):
            self.temperature = float(task.temperature.detach())
            self.gallery = torch.from_numpy(task.gallery.vectors)

    def named(self, image: Tensor) -> dict[str, Tensor]:
        features = self.task.encoder(image)
        outputs = self.task.outputs(features)
        if self.task.stores_images:  # and compares new ones with these
            outputs["features"] = features.float()
        if self.gallery is not None:
            similarity = outputs["embedding"] @ self.gallery.T
            outputs["probabilities"] = torch.softmax(similarity / self.temperature, dim=1)
        return outputs

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(image).values())


def export_onnx(task: PlaceTask, path: str | Path, *, folder: str | Path) -> dict[str, Any]:
    """Write encoder and head as ONNX, and a JSON that explains its inputs and outputs.

    Parameters
    ----------
    task : PlaceTask
        Trained; it is left in evaluation mode, on the CPU.
    path : path
        The file, ``model.onnx``. ``model.json`` comes beside it.
    folder : path
        The bundle that the task was loaded from.

    Returns
    -------
    dict
        The content of the JSON: ``input`` (size and scale of the images), ``outputs`` (name and
        shape of each), ``classes`` (latitude, longitude and country of each column of
        ``probabilities``), ``calibration`` where the bundle has one, and ``largest_difference``
        between torch and onnxruntime on random images.

    Raises
    ------
    GeolocError
        If a package is missing, the network cannot be exported, or onnxruntime computes something
        else than torch by more than 1e-4. Nothing is written then.

    Notes
    -----
    Input ``image``: float32 (batch, 3, size, size), any batch. Of retrieval, the gallery is in the
    file: its ``probabilities`` are over the gallery's places. Nearest images give ``features``
    only; the search among the training images stays outside. A hierarchy gives the probabilities
    of each level; their product over a cell's ancestors decides.

    Examples
    --------
    >>> from geoloc_models.inference import export_onnx
    >>> from geoloc_models.inference.bundle import load_bundle
    >>> task = load_bundle("runs/mine/bundle").task
    >>> card = export_onnx(task, "model.onnx", folder="runs/mine/bundle")
    >>> sorted(card["outputs"])
    ['probabilities']
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter needs it, and says so late)
    except ImportError as error:
        raise GeolocError(_MISSING) from error
    target = Path(path)
    if target.suffix.lower() != ".onnx":
        raise GeolocError(f"{target} should end in .onnx.")
    network = _Network(task.eval().cpu()).eval()
    preprocessing = task.encoder.preprocessing
    size = preprocessing.image_size
    example = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = {name: values.numpy() for name, values in network.named(example).items()}
    with replacing(target) as partial:
        _export(network, example[:2], partial, list(expected))
        exported = _run(onnxruntime, partial, example.numpy())
        difference = max(
            float(np.abs(ours - theirs).max())
            for ours, theirs in zip(expected.values(), exported, strict=True)
        )
        if not difference <= TOLERANCE:
            raise GeolocError(
                f"onnxruntime computes numbers that differ from torch's by {difference:.2g}, more "
                f"than {TOLERANCE:g}; the export is not kept."
            )
        card = {
            "task": task.name,
            "encoder": task.encoder.name,
            "input": {
                "name": "image",
                "shape": ["batch", 3, size, size],
                "scale": "(value / 255 - mean) / std, red, green, blue; the shorter side resized "
                "to the size and the middle cut out",
                **preprocessing.to_dict(),
            },
            "outputs": {name: ["batch", *values.shape[1:]] for name, values in expected.items()},
            **_meaning(task, Path(folder)),
            "largest_difference": difference,
        }
        write_record(target.with_suffix(".json"), FORMAT, VERSION, card)
    return card


def _export(network: nn.Module, example: Tensor, path: Path, names: list[str]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, about itself
            torch.onnx.export(
                network,
                (example,),
                str(path),
                input_names=["image"],
                output_names=names,
                dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except ImportError as error:
        raise GeolocError(_MISSING) from error
    except Exception as error:  # the exporter raises errors of many kinds
        logger.debug("export failed", exc_info=True)
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise GeolocError(f"The network cannot be exported to ONNX ({reason}).") from error


def _run(onnxruntime: Any, path: Path, images: npt.NDArray[np.float32]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": images}))


def _meaning(task: PlaceTask, folder: Path) -> dict[str, Any]:
    """What the columns of the outputs stand for, as JSON knows it."""
    meaning: dict[str, Any] = {}
    classes = task.classes
    if classes is not None and task.name != "nearest":
        meaning["classes"] = {
            "kind": classes.kind,
            "latitude": classes.coords[:, 0].tolist(),
            "longitude": classes.coords[:, 1].tolist(),
            "country": [str(name) for name in classes.countries],
        }
    if isinstance(task, HierarchyTask):
        meaning["parents"] = [
            None if parents is None else np.asarray(parents).tolist()
            for parents in task.hierarchy.parents_
        ]
    if isinstance(task, OffsetTask):
        meaning["boxes"] = {
            "columns": ["south", "west", "height", "width"],
            "rows": task.country_boxes.boxes.tolist(),
        }
    calibration = load_calibration(folder)
    if calibration is not None:
        meaning["calibration"] = calibration.to_dict()
    return meaning
