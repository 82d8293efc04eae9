"""Loading photos: images a second beside plain Pillow in one process.

``python -m tests.benchmarks.loader`` prints the table. The photos are made up: 1600 x 1200 pixels,
JPEG of quality 85, smooth shapes with the noise of a sensor on them (about 0.3 MB each).
"""

from __future__ import annotations

import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import decode_jpeg
from torchvision.transforms import v2

from geoloc_models.photos.dataset import PhotoDataset, make_loader, make_transform
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.opening import open_photo

from .timing import Row, in_turns, median_ratio, table

N_PHOTOS = 200
N_DIFFERENT = 20
WIDTH, HEIGHT = 1600, 1200
SIZE = 224
PER_SHARD = 50
ROUNDS = 3
_DRAFT = "draft at 1/4 (min_side=224), transform"


def photo(seed: int) -> bytes:
    """A made-up photo: a smooth landscape of colours with the noise of a sensor."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = smooth + rng.normal(0, 6, smooth.shape).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def write_photos(folder: Path) -> tuple[list[str], list[str]]:
    """Write the photos twice: in a tree of folders, and in tar shards."""
    contents = [photo(seed) for seed in range(N_DIFFERENT)]
    in_tree, in_tars = [], []
    for number in range(N_PHOTOS):
        path = folder / f"{number % 16:02x}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents[number % N_DIFFERENT])
        in_tree.append(str(path.relative_to(folder)))
    for start in range(0, N_PHOTOS, PER_SHARD):
        shard = folder / "shards" / f"{start // PER_SHARD:05d}.tar"
        shard.parent.mkdir(exist_ok=True)
        with tarfile.open(shard, "w") as tar:
            for number in range(start, min(start + PER_SHARD, N_PHOTOS)):
                tar.add(folder / in_tree[number], f"{number:06d}.jpg")
                in_tars.append(f"shards/{shard.name}/{number:06d}.jpg")
    return in_tree, in_tars


def plain_pillow(folder: Path, paths: list[str]) -> None:
    """What a first script does: open, convert, resize, and nothing more."""
    for path in paths:
        with Image.open(folder / path) as image:
            np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def load_all(loader: object) -> None:
    """Go through one epoch."""
    n = 0
    for batch in loader:  # type: ignore[attr-defined]
        assert not batch["broken"]
        n += len(batch["image"])
    assert n == N_PHOTOS


def rows() -> list[Row]:
    """Wall time of the loader with and without drafts, worker processes and shards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_tree, in_tars = write_photos(folder)
        cases = {
            "files, full size": (in_tree, None, 0),
            "files, draft": (in_tree, SIZE, 0),
            "tar shards, draft": (in_tars, SIZE, 0),
            "files, full size, 2 workers": (in_tree, None, 2),
            "files, draft, 2 workers": (in_tree, SIZE, 2),
            "tar shards, draft, 2 workers": (in_tars, SIZE, 2),
        }
        loaders = {}
        for case, (paths, min_side, workers) in cases.items():
            dataset = PhotoDataset(
                FileImages(paths, folder, min_side=min_side),
                np.zeros((N_PHOTOS, 2)),
                np.zeros(N_PHOTOS),
                make_transform(SIZE),
            )
            loaders[case] = make_loader(
                dataset, batch_size=32, shuffle=True, seed=0, workers=workers
            )
        functions = {"Pillow": lambda: plain_pillow(folder, in_tree)}
        for case, loader in loaders.items():
            functions[case] = lambda loader=loader: load_all(loader)
        # The first round starts the workers, which stay.
        times = in_turns(functions, rounds=ROUNDS)
        loaders.clear()
    found = [Row("plain Pillow, images a second", "-", _speed(times["Pillow"]), unit="images/s")]
    for case in cases:
        ratio = 1 / median_ratio(times, case, "Pillow")
        detail = f"{_speed(times[case]):.0f} images/s"
        found.append(Row(case, "plain Pillow", ratio, detail=detail))
    return found


def decoders() -> list[Row]:
    """Processor time of ways to a tensor of one photo, in one process with one thread."""
    contents = [photo(seed) for seed in range(4)]
    buffers = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    transform = make_transform(SIZE)
    resize = v2.Resize(SIZE, antialias=True)

    def pillow(k: int, **options: float) -> None:
        with Image.open(io.BytesIO(contents[k])) as image:
            small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, **options)
            np.asarray(small)

    def draft(k: int, min_side: int | None) -> None:
        transform(open_photo(contents[k], min_side=min_side))

    ways: dict[str, Callable[[int], object]] = {
        "plain Pillow": pillow,
        "plain Pillow, reducing_gap=2": lambda k: pillow(k, reducing_gap=2.0),
        "torchvision decode_jpeg, resize": lambda k: resize(decode_jpeg(buffers[k])),
        "full size, transform": lambda k: draft(k, None),
        "draft at 1/2 (min_side=400), transform": lambda k: draft(k, 400),
        _DRAFT: lambda k: draft(k, SIZE),
        "draft at 1/8 (min_side=150), transform": lambda k: draft(k, 150),
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(10):
        for name, way in ways.items():
            start = time.process_time()
            for k in range(len(contents)):
                way(k)
            least[name] = min(least[name], (time.process_time() - start) / len(contents))
    found = [Row(name, "-", 1000 * least[name], unit="ms") for name in ways]
    ratio = least["plain Pillow"] / least[_DRAFT]
    return [*found, Row("images by the same processor time", "plain Pillow", ratio, at_least=2.0)]


def _speed(seconds: list[float]) -> float:
    return N_PHOTOS / statistics.median(seconds)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)  # what DataLoader gives each worker; the same for all
    print(f"{len(os.sched_getaffinity(0))} cores, one thread a process, {N_PHOTOS} photos")
    print(table(decoders()), flush=True)
    print("\n" + table(rows()), flush=True)


if __name__ == "__main__":
    main()
