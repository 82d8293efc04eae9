"""An epoch of the cell classifier on cached features, against its matrix products alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from geocells import CellBuilder
from geoloc_models.features import FeatureCache, FeatureDataset
from geoloc_models.features.cache import FeatureCard
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import CachedFeatures
from geoloc_models.models.tasks import CellTask
from geoloc_models.training.fit import fit_task
from tests.benchmarks.real_density import gallery
from tests.benchmarks.timing import Row, seconds

N_ROWS, DIM, HIDDEN, BATCH = 100_000, 768, 256, 1024


def products(features: torch.Tensor, n_cells: int) -> None:
    """Compute the products of one epoch: forwards, gradients of weights, gradients of inputs."""
    shapes = [(DIM, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, n_cells)]
    weights = [torch.randn(shape) for shape in shapes]
    gradients = [torch.randn(BATCH, shape[1]) for shape in shapes]
    for begin in range(0, N_ROWS, BATCH):
        values = features[begin : begin + BATCH]
        n = len(values)
        for number, weight in enumerate(weights):
            above = values @ weight
            _ = values.T @ gradients[number][:n]
            if number:
                _ = gradients[number][:n] @ weight.T
            values = above


def rows() -> list[Row]:
    """Measure both in turns; the best of three, since other work on the machine only adds."""
    coords = gallery()
    earth = ["earth"] * len(coords)
    builder = CellBuilder(28, method="consolidated").fit(coords, groups=earth)
    cells, labels = builder.cells_, builder.labels_
    features = np.random.default_rng(0).normal(size=(N_ROWS, DIM)).astype(np.float32)
    keys = [str(row) for row in range(N_ROWS)]
    epochs, alone = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        card = FeatureCard("tiny", "0", {"image_size": 32}, DIM, "float32", 1, "")
        with FeatureWriter(path, keys, card) as writer:
            writer.write(np.arange(N_ROWS), features)
        cache = FeatureCache.open(path)
        country = np.zeros(N_ROWS, dtype=np.int64)
        train, small = (
            FeatureDataset(cache, keys, coords, country, cell_labels=labels, rows=np.arange(n))
            for n in (N_ROWS, 256)
        )
        options = TrainingOptions(
            encoder="tiny", image_size=64, batch_size=BATCH, epochs=2, train_encoder="none"
        )
        for repetition in range(3):
            task = CellTask(CachedFeatures(DIM, "tiny"), cells, hidden=HIDDEN)
            run_dir = Path(folder) / str(repetition)
            record = fit_task(task, train, small, options, run_dir, progress=False)
            epochs.append(record.seconds / options.epochs)
            alone.append(seconds(lambda: products(torch.from_numpy(features), cells.n_cells)))
    return [
        Row(
            f"epoch of the cell classifier, {cells.n_cells} cells, {N_ROWS // 1000} K x {DIM} cached features",
            f"its matrix products alone ({min(alone):.2f} s)",
            min(epochs) / min(alone),
            at_most=3.0,
            detail=f"{min(epochs):.2f} s",
        )
    ]
