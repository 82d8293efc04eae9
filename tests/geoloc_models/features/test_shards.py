"""Several processes compute one cache, a part each: every row once, the bytes of one process."""

import itertools
import signal
from pathlib import Path

import numpy as np
import pytest
from geoloc_models_noisy import (
    InterruptedImages,
    NoisyImages,
    embedded,
    start_process,
    tiny_encoder,
)

from geoloc_models.errors import GeolocError
from geoloc_models.features import embedding
from geoloc_models.features.cache import FeatureCache, FeatureFiles

N, BROKEN = 48, [2, 13, 40, 41, 42, 43]


def files_of(folder):
    """Bytes of all files of the folder's cache, locks aside."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("f.*"))}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The files that one process writes."""
    folder = tmp_path_factory.mktemp("alone")
    embedded(NoisyImages(N, broken=BROKEN), folder / "f.npy", batch_size=2)
    files = files_of(folder)
    assert sorted(files) == ["f.broken.csv", "f.json", "f.keys.npy", "f.npy", "f.state.npy"]
    return files


def embed_shard(folder, shard, **images):
    images = NoisyImages(N, broken=BROKEN, **images)
    return images, embedded(images, folder / "f.npy", batch_size=2, shard=shard)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_the_last_shard_puts_all_together_in_whatever_order(tmp_path, alone, order):
    loaded = []
    for k, number in enumerate(order):
        images, record = embed_shard(tmp_path, f"{number}/3")
        loaded += images.loaded
        assert set(record.missing_shards) == set(order[k + 1 :])
        assert len(record.cache) == (16 if record.missing_shards else N)
    assert sorted(loaded) == list(range(N))
    assert record.broken.rows == BROKEN
    assert files_of(tmp_path) == alone


def test_a_shard_tells_of_its_own_broken_images_by_the_tables_rows(tmp_path):
    _, record = embed_shard(tmp_path, "3/3")
    assert record.broken.rows == [40, 41, 42, 43]
    assert record.n_embedded == 12


def embed_shard_slowly(folder, shard):
    images, _ = embed_shard(folder, shard, seconds=0.01)
    np.savetxt(folder / f"loaded-{shard[0]}", images.loaded)


def test_processes_at_a_time_compute_every_row_once(tmp_path, alone):
    workers = [start_process(embed_shard_slowly, tmp_path, f"{k}/2") for k in (1, 2)]
    for worker in workers:
        worker.join()
    loaded = np.concatenate([np.loadtxt(tmp_path / f"loaded-{k}") for k in (1, 2)])
    assert sorted(loaded) == list(range(N))
    assert files_of(tmp_path) == alone


def test_a_killed_shard_goes_on_where_it_stopped(tmp_path, alone, monkeypatch):
    embed_shard(tmp_path, "1/2")
    monkeypatch.setattr(embedding, "_FLUSH_SECONDS", 0.0)
    killed = start_process(lambda: embed_shard(tmp_path, "2/2", fatal=36))
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    own = FeatureCache.open(FeatureFiles(tmp_path / "f.npy").shard(2, 2).features)
    images, record = embed_shard(tmp_path, "2/2")
    assert images.loaded == [24 + row for row in np.flatnonzero(own.state == 0)]
    assert 0 < len(images.loaded) < 24
    assert record.missing_shards == ()
    assert files_of(tmp_path) == alone


def test_shards_go_on_with_what_one_process_began(tmp_path, alone):
    with pytest.raises(KeyboardInterrupt):
        embedded(InterruptedImages(N, 10, BROKEN), tmp_path / "f.npy", batch_size=2)
    loaded = [row for k in (1, 2) for row in embed_shard(tmp_path, f"{k}/2")[0].loaded]
    assert loaded == list(range(10, N))
    assert files_of(tmp_path) == alone


def test_a_late_shard_finds_nothing_to_do(tmp_path, alone):
    for k in (1, 2):
        embed_shard(tmp_path, f"{k}/2")
    images, record = embed_shard(tmp_path, "1/2")
    assert (images.loaded, record.n_embedded, record.missing_shards) == ([], 0, ())
    assert files_of(tmp_path) == alone


def test_shards_of_other_encoders_and_photos_are_refused(tmp_path):
    embed_shard(tmp_path, "1/2")
    for n, encoder, words in (
        (N, tiny_encoder(seed=1), "features of two encoders don't mix"),
        (N + 2, None, "made of other photos"),
    ):
        with pytest.raises(GeolocError, match=words):
            embedded(NoisyImages(n), tmp_path / "f.npy", encoder, shard="1/2")
    with pytest.raises(GeolocError, match="cannot be divided into 4 shards"):
        embedded(NoisyImages(3), tmp_path / "g.npy", shard="1/4")


def test_one_shard_cannot_be_computed_twice_at_a_time(tmp_path):
    class Nosy(NoisyImages):
        def load(self, row):
            with pytest.raises(BlockingIOError, match="Another process is writing"):
                embed_shard(tmp_path, "1/2")
            return super().load(row)

    embedded(Nosy(N), tmp_path / "f.npy", batch_size=24, shard="1/2")
