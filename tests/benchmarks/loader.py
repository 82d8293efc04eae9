"""Loading photos: images a second beside plain Pillow in one process.

The photos are made up: 1600 x 1200 pixels, JPEG of quality 85, smooth shapes
with the noise of a sensor on them (about 0.3 MB each).
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.io import decode_jpeg
from torchvision.transforms import v2

from geoloc_models.photos.dataset import PhotoDataset, make_loader
from geoloc_models.photos.framing import make_framing
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.opening import open_photo
from tests.benchmarks.timing import Row, in_turns

N_PHOTOS = 200
N_DIFFERENT = 20
WIDTH, HEIGHT = 1600, 1200
SIZE = 224
PER_SHARD = 50
ROUNDS = 3
PILLOW = "plain Pillow"
DRAFT = "draft at 1/4 (min_side=224), transform"


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
    in_tree = [f"{number % 16:02x}/{number:06d}.jpg" for number in range(N_PHOTOS)]
    in_tars = [f"{n // PER_SHARD:05d}.tar/{n:06d}.jpg" for n in range(N_PHOTOS)]
    for number, path in enumerate(in_tree):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(contents[number % N_DIFFERENT])
        tar, member = in_tars[number].split("/")
        with tarfile.open(folder / tar, "a") as shard:
            shard.add(folder / path, member)
    return in_tree, in_tars


def plain_pillow(image: Image.Image, **options: float) -> None:
    """What a first script does: convert, resize, and nothing more."""
    np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, **options))


def load_all(loader: DataLoader) -> None:
    """Go through one epoch."""
    n = 0
    for batch in loader:
        assert not batch["broken"]
        n += len(batch["image"])
    assert n == N_PHOTOS


def rows() -> list[Row]:
    """Wall time of the loader with and without drafts, worker processes and shards; one thread a process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_tree, in_tars = write_photos(folder)

        def loader_of(paths: list[str], min_side: int | None, workers: int) -> DataLoader:
            images = FileImages(paths, folder, min_side=min_side)
            coords, countries = np.zeros((N_PHOTOS, 2)), np.zeros(N_PHOTOS)
            dataset = PhotoDataset(images, coords, countries, make_framing(SIZE))
            return make_loader(dataset, batch_size=32, workers=workers)

        def pillow_alone() -> None:
            for path in in_tree:
                with Image.open(folder / path) as image:
                    plain_pillow(image)

        cases = {
            f"{kind}{', 2 workers' if workers else ''}": loader_of(paths, min_side, workers)
            for workers in (0, 2)
            for kind, paths, min_side in (
                ("files, full size", in_tree, None),
                ("files, draft", in_tree, SIZE),
                ("tar shards, draft", in_tars, SIZE),
            )
        }
        # The first round starts the workers, which stay.
        functions = {case: lambda loader=loader: load_all(loader) for case, loader in cases.items()}
        times = in_turns({PILLOW: pillow_alone, **functions}, rounds=ROUNDS)
        names = list(cases)
        del cases, functions
    speed = {name: N_PHOTOS / times.median(name) for name in times}
    return [
        Row(f"{PILLOW}, images a second", "-", speed[PILLOW], unit="images/s"),
        *(
            Row(name, PILLOW, 1 / times.ratio(name, PILLOW), detail=f"{speed[name]:.0f} images/s")
            for name in names
        ),
    ]


def decoders() -> list[Row]:
    """Processor time of ways to a tensor of one photo, in one process with one thread."""
    torch.set_num_threads(1)
    contents = [photo(seed) for seed in range(4)]
    transform = make_framing(SIZE)
    resize = v2.Resize(SIZE, antialias=True)

    def pillow(content: bytes, **options: float) -> None:
        with Image.open(io.BytesIO(content)) as image:
            plain_pillow(image, **options)

    def torchvision(content: bytes) -> None:
        resize(decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8)))

    def draft(content: bytes, min_side: int | None) -> None:
        transform(open_photo(content, min_side=min_side))

    ways: dict[str, Callable[[bytes], None]] = {
        PILLOW: pillow,
        f"{PILLOW}, reducing_gap=2": lambda content: pillow(content, reducing_gap=2.0),
        "torchvision decode_jpeg, resize": torchvision,
        "full size, transform": lambda content: draft(content, None),
        "draft at 1/2 (min_side=400), transform": lambda content: draft(content, 400),
        DRAFT: lambda content: draft(content, SIZE),
        "draft at 1/8 (min_side=150), transform": lambda content: draft(content, 150),
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(10):
        for name, way in ways.items():
            start = time.process_time()
            for content in contents:
                way(content)
            least[name] = min(least[name], (time.process_time() - start) / len(contents))
    measured = [Row(name, "-", 1000 * least[name], unit="ms") for name in ways]
    ratio = least[PILLOW] / least[DRAFT]
    return [*measured, Row("images by the same processor time", PILLOW, ratio, at_least=2.0)]
