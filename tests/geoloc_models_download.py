"""Small photos and tables for the tests of the download."""

from __future__ import annotations

import asyncio
import io
import selectors

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from geoloc_models.download import DownloadOptions, read_ledger

LOOPBACK = ("127.0.0.0/8", "::1/128")


def jpeg(seed=0, width=40, height=30, **options):
    """A JPEG of blurred noise; ``exif`` and other options go to Pillow."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


class JumpingSelector(selectors.DefaultSelector):
    """A clock that jumps over every wait."""

    now = 0.0

    def select(self, timeout=None):
        events = super().select(0 if timeout else timeout)
        if timeout and not events:
            self.now += timeout
        return events


def run_without_waiting(work):
    """Answer of a coroutine that waits for timers alone: the same on a busy machine, and at once."""

    def new_loop():
        selector = JumpingSelector()
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


def write_photos(file, ids, urls, **columns):
    """A table of photos; other columns as given."""
    file.parent.mkdir(exist_ok=True)
    columns.setdefault("latitude", np.linspace(46, 48, len(ids)))
    pq.write_table(pa.table({"id": list(ids), "url": list(urls), **columns}), file)
    return file


def quick(**choices):
    """Options for a server on loopback, impatient."""
    settings = {
        "allow_networks": LOOPBACK,
        "rate": 0.0,
        "backoff": 0.001,
        "read_timeout": 20.0,
        "total_timeout": 20.0,
        "max_megabytes": 2.0,
        "workers": 1,
    }
    return DownloadOptions(**{**settings, **choices})


def states(folder):
    """State of each photo that the ledger knows."""
    table = read_ledger(folder)
    return dict(zip(table["id"].to_pylist(), table["state"].to_pylist(), strict=True))
