"""Images of noise and a tiny encoder, for tests of embedding."""

import multiprocessing
import os
import signal
import time

import numpy as np
import torch
from PIL import Image

from geoloc_models.errors import BrokenImageError
from geoloc_models.features.embed_options import EmbedOptions
from geoloc_models.features.embedding import embed
from geoloc_models.models.encoders import build_encoder


class NoisyImages:
    """Row r holds noise of seed r; some rows are broken. Remembers what was loaded."""

    def __init__(self, n, broken=(), seconds=0.0, fatal=None):
        self.n, self.broken, self.seconds, self.fatal = n, set(broken), seconds, fatal
        self.loaded = []

    def __len__(self):
        return self.n

    def describe(self, row):
        return f"{row}.jpg"

    def load(self, row):
        self.loaded.append(row)
        time.sleep(self.seconds)
        if row in self.broken:
            raise BrokenImageError(f"{row}.jpg: is not an image")
        if row == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        random = np.random.default_rng(row)
        return Image.fromarray(random.integers(0, 256, (24, 20, 3), dtype=np.uint8))


class FailingImages(NoisyImages):
    """One row ends in an error that is none of the image's."""

    def __init__(self, n, row, error):
        super().__init__(n)
        self.row, self.error = row, error

    def load(self, row):
        if row == self.row:
            raise self.error
        return super().load(row)


class InterruptedImages(FailingImages):
    """Ctrl-C at one row."""

    def __init__(self, n, row, broken=()):
        super().__init__(n, row, KeyboardInterrupt())
        self.broken = set(broken)


def start_process(function, *arguments):
    """Run the function in a copy of this process, one thread each: nothing is imported again."""
    process = multiprocessing.get_context("fork").Process(
        target=_on_one_thread, args=(function, arguments)
    )
    process.start()
    return process


def _on_one_thread(function, arguments):
    torch.set_num_threads(1)
    function(*arguments)


def tiny_encoder(seed=0, image_size=16):
    torch.manual_seed(seed)
    return build_encoder("tiny", image_size=image_size)


def keys_of(images):
    return [images.describe(row) for row in range(len(images))]


def embedded(images, path, encoder=None, **options):
    encoder, options = encoder or tiny_encoder(), EmbedOptions(**options)
    keys = keys_of(images)
    return embed(images, keys, encoder, path, options, device="cpu", progress=False)
