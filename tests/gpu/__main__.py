"""How busy training keeps a graphics card: ``make gpu`` prints one table (``--help`` for sizes).

Each encoder: the bare step on images that lie on the card, eager and compiled; what the loader alone gives; ``embed``
and ``fit_task`` over JPEG files, the latter counted from its first batch to its last, with nvidia-smi's word on how
busy the card was.
Then heads and retrieval on cached features. Without a card it measures the CPU.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from PIL import Image

from geocells import CellBuilder
from geoloc_models.best_device import auto_workers, autocast, best_device, resolve_precision
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.features.cache import FeatureCache, FeatureCard
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.features.embedding import embed
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import CachedFeatures, LocationEncoder, build_encoder
from geoloc_models.models.tasks import CellTask, RetrievalTask
from geoloc_models.photos.dataset import PhotoDataset, make_loader
from geoloc_models.photos.images import FileImages
from geoloc_models.training import fit
from geoloc_models.training.module import TaskModule

N_FILES = 500  # each is read many times over


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Parameters
    ----------
    encoders : tuple
        Names of encoders.
    photos : int
        JPEGs of 640 x 480 pixels to train on; a tenth as many validate.
    batch_size : int
        Images a step.
    epochs : int
        Of fine-tuning.
    steps : int
        Of the bare loops.
    rows : int
        Cached features of 768 numbers, in 2 000 cells.
    head_epochs : int
        On these; retrieval takes a third.
    """

    encoders: tuple[str, ...] = ("vit_b_16", "resnet50")
    photos: int = 20_000
    batch_size: int = 256
    epochs: int = 3
    steps: int = 50
    rows: int = 100_000
    head_epochs: int = 30


class _Timed(TaskModule):
    """Notes when the first batch begins and the last one has ended."""

    began = ended = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        type(self).began = self.began or time.perf_counter()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()  # brings the losses here, and so waits for the card
        type(self).ended = time.perf_counter()


def _synchronized() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _rate_of(step: Callable[[], object], n_steps: int, n_images: int) -> float:
    for _ in range(max(3, n_steps // 5)):
        step()
    began = _synchronized()
    for _ in range(n_steps):
        step()
    return n_steps * n_images / (_synchronized() - began)


def bare_step(encoder: str, sizes: Sizes, *, is_compiled: bool) -> float:
    """Images a second of a step alone: 100 classes, bf16 where there is a card, fused Adam."""
    device = best_device()
    precision = resolve_precision("auto", device)
    image_encoder = build_encoder(encoder)
    side = image_encoder.preprocessing.image_size
    network = torch.nn.Sequential(image_encoder, torch.nn.Linear(image_encoder.dim, 100)).to(device)
    network.to(memory_format=torch.channels_last)
    if is_compiled:
        image_encoder.compile()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5, fused=True)
    pixels = torch.randint(256, (sizes.batch_size, 3, side, side), dtype=torch.uint8, device=device)
    target = torch.randint(100, (sizes.batch_size,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(precision, device):
            logits = network(pixels)
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    return _rate_of(step, sizes.steps, sizes.batch_size)


def _photos(folder: Path, n: int, side: int) -> tuple[FileImages, np.ndarray]:
    rng = np.random.default_rng(0)
    for number in range(min(n, N_FILES)):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((640, 480))) + rng.normal(0, 6, (480, 640, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number}.jpg", quality=88
        )
    names = [f"{row % N_FILES}.jpg" for row in range(n)]
    coords = np.column_stack([rng.uniform(46, 48, n), rng.uniform(6, 10, n)])
    return FileImages(names, folder, min_side=side), coords


@contextmanager
def _busy() -> Iterator[list[float]]:
    """Percent of the time that the card is busy, as nvidia-smi sees it every 200 ms."""
    busy: list[float] = []
    if not torch.cuda.is_available():
        yield busy
        return
    words = "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits -lms 200"
    with subprocess.Popen(words.split(), stdout=subprocess.PIPE, text=True) as watcher:
        yield busy
        watcher.terminate()
        out, _ = watcher.communicate()
    busy += [float(line) for line in out.split()]


def on_photos(encoder: str, sizes: Sizes) -> tuple[float, float, float, float]:
    """Images a second of the loader alone, of embed and of fit_task, and the card's mean busy share in fit_task."""
    torch._dynamo.reset()
    image_encoder = build_encoder(encoder)
    preprocessing = image_encoder.preprocessing
    n = sizes.photos + sizes.photos // 10
    with tempfile.TemporaryDirectory() as name:
        images, coords = _photos(Path(name), n, preprocessing.image_size)
        cells = CellBuilder(max(2, n // 100), method="top_down").fit(coords).cells_
        parts = [
            PhotoDataset(
                images,
                coords,
                np.zeros(n),
                preprocessing.transform(),
                cell_labels=cells.assign(coords),
                rows=rows,
            )
            for rows in (range(sizes.photos), range(sizes.photos, n))
        ]
        began, n_read = 0.0, 0
        for batch in make_loader(parts[0], batch_size=sizes.batch_size):
            n_read += len(batch["image"]) if began else 0
            began = began or time.perf_counter()
        loader = n_read / (time.perf_counter() - began)
        began = time.perf_counter()
        embed(images, list(map(str, range(n))), image_encoder, Path(name) / "f.npy", progress=False)
        embedding = n / (time.perf_counter() - began)
        options = TrainingOptions(
            encoder=encoder,
            batch_size=sizes.batch_size,
            epochs=sizes.epochs,
            compile=torch.cuda.is_available(),
        )
        _Timed.began = 0.0
        task = CellTask(image_encoder, cells, hidden=256)
        fit.TaskModule = _Timed
        with _busy() as busy:
            fit.fit_task(task, *parts, options, Path(name) / "run", progress=False)
        fit.TaskModule = TaskModule
    seconds = _Timed.ended - _Timed.began
    training = sizes.photos * sizes.epochs / seconds
    return loader, embedding, training, float(np.mean(busy or [np.nan]))


def on_features(task_name: str, sizes: Sizes) -> float:
    """Seconds of fit_task on cached features: a head for cells, or retrieval with M = 1024."""
    n, rng = sizes.rows, np.random.default_rng(0)
    coords = np.column_stack([rng.uniform(40, 60, n), rng.uniform(0, 30, n)])
    keys = [str(row) for row in range(n)]
    card = FeatureCard("tiny", "", {"image_size": 64}, 768, "float32", n, "")
    with tempfile.TemporaryDirectory() as name:
        with FeatureWriter(Path(name) / "f.npy", keys, card) as writer:
            writer.write(np.arange(n), rng.normal(size=(n, 768)).astype(np.float32))
        cache = FeatureCache.open(Path(name) / "f.npy")
        cells = (
            CellBuilder(max(1, n // 2500), method="top_down", min_cell_size=1e-3).fit(coords).cells_
        )
        labels = cells.assign(coords)
        parts = [
            FeatureDataset(cache, keys, coords, np.zeros(n), cell_labels=labels, rows=rows)
            for rows in (range(n // 10, n), range(n // 10))
        ]
        is_retrieval = task_name == "retrieval"
        options = TrainingOptions(
            encoder="tiny", epochs=sizes.head_epochs // (3 if is_retrieval else 1), patience=30
        ).resolve(card, n)
        encoder = CachedFeatures(768, "tiny")
        if is_retrieval:
            places = coords[n // 10 :]
            countries = np.full(len(places), "CH")
            task: Any = RetrievalTask(
                encoder, LocationEncoder(), places, countries, n_false=1024, hidden=512
            )
        else:
            task = CellTask(encoder, cells, hidden=512, dropout=0.5)
        began = time.perf_counter()
        fit.fit_task(task, *parts, options, Path(name) / "run", progress=False)
        return time.perf_counter() - began


def table(sizes: Sizes) -> str:
    """The table of one machine."""
    device = best_device()
    card = torch.cuda.get_device_name() if device.type == "cuda" else f"no card: {device}"
    lines = [
        f"{card}, torch {torch.__version__}, {auto_workers()} workers",
        f"{'images a second':12} {'bare':>8} {'compiled':>9} {'loader':>8} {'embed':>8} "
        f"{'training':>9} {'of limit':>9} {'busy':>6}",
    ]
    for encoder in sizes.encoders:
        bare = bare_step(encoder, sizes, is_compiled=False)
        compiled = bare_step(encoder, sizes, is_compiled=True) if device.type == "cuda" else bare
        loader, embedding, training, busy = on_photos(encoder, sizes)
        share = 100 * training / min(compiled, loader)
        lines.append(
            f"{encoder:15} {bare:8.0f} {compiled:9.0f} {loader:8.0f} {embedding:8.0f} "
            f"{training:9.0f} {share:8.0f}% {busy:5.0f}%"
        )
    for task_name in ("cells", "retrieval"):
        seconds = on_features(task_name, sizes)
        lines.append(f"{task_name} on {sizes.rows} cached features: {seconds:.1f} s")
    return "\n".join(lines)


def main(*, sizes: Sizes = Sizes()) -> None:  # frozen
    """Measure training on this machine's card.

    Parameters
    ----------
    sizes : Sizes
        What is measured.
    """
    print(table(sizes))


if __name__ == "__main__":
    sys.exit(cyclopts.run(main))
