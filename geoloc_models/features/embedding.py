"""Run an encoder over all images once, and keep the features."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from geoloc_models.best_device import (
    autocast,
    best_device,
    free_memory,
    is_out_of_memory,
    resolve_precision,
)
from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import FeatureCache, FeatureCard, FeatureFiles, read_card
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.features.embed_options import EmbedOptions
from geoloc_models.features.shards import Shards
from geoloc_models.photos.dataset import BrokenImages, PhotoDataset, make_loader
from geoloc_models.photos.images import ImageSource

if TYPE_CHECKING:
    from geoloc_models.models.encoders import ImageEncoder

_FLUSH_SECONDS = 1.0
_CPU_BATCH = 16  # at 224 x 224 pixels; larger ones leave the processor's cache and are slower
_LARGEST_BATCH = 512
_PROBED_IMAGES = 8
_SHARE_OF_MEMORY = 0.5


@contextmanager
def _lost_workers_in_words() -> Iterator[None]:
    """Say in words that a process that decodes images was killed.

    torch raises that from a signal handler, wherever this process is at the time; or the pipe to
    the process breaks first.
    """
    try:
        yield
    except (RuntimeError, EOFError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise GeolocError(
            "A process that decodes images was ended from outside, perhaps because memory ran "
            "out; run the same command with fewer workers to continue."
        ) from error


@dataclass(frozen=True)
class EmbeddingRecord:
    """What :func:`embed` did.

    Parameters
    ----------
    cache : FeatureCache
        All features, those of earlier runs included; of a shard that waits for others, its own.
    broken : BrokenImages
        All images of the cache that could not be read.
    n_embedded : int
        Images that this run embedded.
    seconds : float
        Time that took.
    batch_size : int
        Images per step on the device, at the end.
    missing_shards : tuple of int
        Shards that are still to be finished by other processes.

    Examples
    --------
    >>> from geoloc_models.features import embed
    >>> from geoloc_models.models import build_encoder
    >>> from geoloc_models.photos import FileImages
    >>> images = FileImages(["photos/0.jpg", "photos/1.jpg"])
    >>> record = embed(images, ["0", "1"], build_encoder("tiny"), "two.npy", progress=False)
    >>> record.n_embedded, len(record.broken), record.cache.dim
    (2, 0, 128)
    """

    cache: FeatureCache
    broken: BrokenImages
    n_embedded: int
    seconds: float
    batch_size: int
    missing_shards: tuple[int, ...] = ()

    @property
    def images_per_second(self) -> float:
        """Rate of this run."""
        return self.n_embedded / self.seconds if self.seconds > 0 else 0.0


@_lost_workers_in_words()
def embed(
    images: ImageSource,
    keys: Sequence[Any] | np.ndarray,
    encoder: ImageEncoder,
    path: str | Path,
    options: EmbedOptions | None = None,
    *,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> EmbeddingRecord:
    """Run an encoder over all images once and keep the features in a file.

    Parameters
    ----------
    images : ImageSource
        One per row (n).
    keys : sequence (n,)
        Of :func:`geoloc_models.features.cache.row_keys`.
    encoder : ImageEncoder
        Its ``preprocessing`` says how the images are framed and scaled. It is left in evaluation
        mode on the device, in channels-last order.
    path : str or Path
        ``NAME.npy``, the cache.
    options : EmbedOptions, optional
        Batches, precision, numbers on disk, and what becomes of an earlier run.
    device : torch.device or str, optional
        Default: the accelerator, where there is one.
    progress : bool, default True
        Show the bar.

    Returns
    -------
    EmbeddingRecord

    Raises
    ------
    GeolocError
        If the cache there is of another encoder, of other photos, or damaged; if another process
        writes it; if one image is too much for the device; if a feature is not finite.

    Notes
    -----
    Rows are flushed and marked as done about once a second: after a kill, the next call computes
    those that are not marked. A row's feature depends on its batch by rounding alone.

    Shard i of k computes rows ``n * (i - 1) // k`` to ``n * i // k - 1`` into a cache of its own,
    ``NAME.shard-i-of-k.npy``; the one that finishes last merges all, for which the features take
    up to twice the room.

    Examples
    --------
    >>> from geoloc_models.features import embed
    >>> from geoloc_models.models import build_encoder
    >>> from geoloc_models.photos import FileImages
    >>> images = FileImages(["photos/0.jpg", "photos/1.jpg"])
    >>> cache = embed(images, ["0", "1"], build_encoder("tiny"), "both.npy", progress=False).cache
    >>> cache.gather(cache.rows_of(["1"])).shape
    (1, 128)
    """
    options = options or EmbedOptions()
    if len(images) != len(keys):
        raise GeolocError(
            f"Every image needs a key; got {len(images)} images and {len(keys)} keys."
        )
    number, n_shards = options.shard_and_count
    if n_shards > max(len(images), 1):
        raise GeolocError(f"{len(images)} images cannot be divided into {n_shards} shards.")
    files = FeatureFiles(Path(path))
    shard = files if n_shards == 1 else files.shard(number, n_shards)
    if options.precision == "auto" and options.resume:  # goes on as the cache was begun
        begun = [read_card(each) for each in (shard, files) if each.card.is_file()]
        precision: Any = begun[0].precision if begun else "auto"
        options = replace(options, precision=precision)
    runner = _Runner(encoder, options, device)  # checks them, before an older cache is replaced
    card = FeatureCard(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint(),
        preprocessing=encoder.preprocessing.to_dict(),
        dim=encoder.dim,
        dtype=options.dtype,
        n_rows=len(images),
        keys_digest="",
        precision=runner.precision,
        weights=encoder.weights,
    )
    shards = Shards(files, keys, card, n_shards)
    n_embedded, seconds = 0, 0.0
    missing: tuple[int, ...] = ()
    if n_shards == 1 or not shards.is_merged():
        rows = shards.rows(number)
        started = time.perf_counter()
        with FeatureWriter(
            shard.features, np.asarray(keys, dtype=object)[rows], card, resume=options.resume
        ) as writer:
            if n_shards > 1:
                shards.copy_what_is_done(number, writer)
            if options.retry_broken:
                writer.retry_broken()
            n_embedded = _embed_pending(runner, images, writer, rows[0], progress)
        seconds = time.perf_counter() - started
        missing = shards.merge() if n_shards > 1 else ()
    cache = FeatureCache.open(shard.features if missing else files.features)
    offset = int(shards.rows(number)[0]) if missing else 0
    broken = BrokenImages()
    broken.extend((row + offset, reason) for row, reason in cache.broken_reasons.items())
    return EmbeddingRecord(cache, broken, n_embedded, seconds, runner.batch_size, missing)


def _embed_pending(
    runner: _Runner, images: ImageSource, writer: FeatureWriter, offset: int, progress: bool
) -> int:
    """Embed every row that is not done, in order; the number of images embedded.

    Row r of the writer's cache is image ``r + offset``.
    """
    rows = writer.pending_rows()
    n_embedded = 0
    flushed = time.perf_counter()
    n_rows = writer.card.n_rows
    bar = tqdm(
        total=n_rows,
        initial=n_rows - len(rows),
        desc="Embedding",
        unit="image",
        disable=not progress or None,
        leave=False,
    )
    with bar:
        for whole, features, broken in runner.run(images, rows + offset):
            writer.write(whole - offset, features)
            writer.mark_broken([(row - offset, reason) for row, reason in broken])
            n_embedded += len(whole)
            bar.update(len(whole) + len(broken))
            if time.perf_counter() - flushed > _FLUSH_SECONDS:
                writer.flush()
                flushed = time.perf_counter()
    return n_embedded


class _Runner:
    """An encoder on its device, and the batch size that fits there."""

    def __init__(
        self, encoder: ImageEncoder, options: EmbedOptions, device: torch.device | str | None
    ) -> None:
        self.device = best_device() if device is None else torch.device(device)
        self.precision = resolve_precision(options.precision, self.device)
        # Channels last is up to twice as fast on a CPU, and what tensor cores want.
        self.encoder = encoder.eval().to(self.device).to(memory_format=torch.channels_last)
        self.workers = options.workers
        self.batch_size = options.batch_size or 0  # 0: to be found

    @torch.inference_mode()
    def run(
        self, images: ImageSource, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[tuple[int, str]]]]:
        """Embed these rows, in their order.

        Yields
        ------
        rows : ndarray (B,) int64
            Of a batch, without the broken ones.
        features : ndarray (B, D) float32
            Of these rows.
        broken : list of (row, reason)
            The others.
        """
        if not len(rows):
            return
        self.batch_size = self.batch_size or self._fitting_batch_size()
        nowhere, no_country = np.zeros((len(images), 2)), np.zeros(len(images))
        transform = self.encoder.preprocessing.transform()
        dataset = PhotoDataset(images, nowhere, no_country, transform, rows=rows)
        for batch in make_loader(dataset, batch_size=self.batch_size, workers=self.workers):
            whole = batch["row"].numpy()
            yield whole, self._features(batch["image"]), batch["broken"]

    def _features(self, pixels: Tensor) -> np.ndarray:
        """Embed uint8 pixels (B, 3, H, W) in as many steps as the memory asks for."""
        parts = [np.zeros((0, self.encoder.dim), dtype=np.float32)]
        begin = 0
        while begin < len(pixels):
            try:
                parts.append(self._step(pixels[begin : begin + self.batch_size]))
                begin += self.batch_size
            except (RuntimeError, MemoryError) as error:
                if not (is_out_of_memory(error) or isinstance(error, MemoryError)):
                    raise
                if self.batch_size == 1:
                    size = self.encoder.preprocessing.image_size
                    raise GeolocError(
                        f"The device has too little memory for one image of {size} x {size} "
                        "pixels; choose a smaller image size, another encoder or device=cpu."
                    ) from error
            else:
                continue
            free_memory(self.device)  # here, as the exception kept tensors of the step alive
            self.batch_size //= 2
        return np.concatenate(parts)

    def _step(self, pixels: Tensor) -> np.ndarray:
        pixels = pixels.to(self.device, non_blocking=True)
        with autocast(self.precision, self.device):
            features: Tensor = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        if features.shape != (len(pixels), self.encoder.dim):
            raise GeolocError(
                f"The encoder {self.encoder.name} must give features of {self.encoder.dim} numbers; "
                f"got the shape {tuple(features.shape)}."
            )
        numbers: np.ndarray = features.float().cpu().numpy()
        return numbers

    def _fitting_batch_size(self) -> int:
        """Images that fit into the memory: measured on a graphics card, by their area elsewhere."""
        size = self.encoder.preprocessing.image_size
        if self.device.type != "cuda":
            return int(np.clip(_CPU_BATCH * (224 / size) ** 2, 1, 4 * _CPU_BATCH))
        pixels = torch.zeros(_PROBED_IMAGES, 3, size, size, dtype=torch.uint8)
        try:
            self._step(pixels)  # what is allocated once for all is not counted
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self._step(pixels)
        except torch.OutOfMemoryError:
            return _PROBED_IMAGES
        used = torch.cuda.max_memory_allocated(self.device) - before
        free_memory(self.device)
        free, _ = torch.cuda.mem_get_info(self.device)
        fitting = _SHARE_OF_MEMORY * free / max(used / _PROBED_IMAGES, 1)
        return int(2 ** np.floor(np.log2(np.clip(fitting, _PROBED_IMAGES, _LARGEST_BATCH))))
