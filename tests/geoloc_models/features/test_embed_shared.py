"""Several processes compute one cache: every row once, the bytes of one worker, whoever is lost."""

import itertools
import json
import multiprocessing
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from geoloc_models_noisy import NoisyImages, embedded, keys_of, tiny_encoder

from geoloc_models._errors import GeolocError
from geoloc_models.features.cache import FeatureCache
from geoloc_models.features.files import FeatureCard, FeatureFiles
from geoloc_models.features.shared_work import SharedWork
from geoloc_models.features.writer import FeatureWriter

N, BROKEN = 48, [2, 13, 40, 41, 42, 43]
SHARED = {"shared": True, "batch_size": 2, "chunk_rows": 4}

# The server of forks imports torch once, for all workers.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["geoloc_models.features.embed"])


class Worker:
    """A process that embeds as soon as all workers are there, and tells what it has loaded."""

    def __init__(self, folder, barrier=None, fatal=None, lease=60.0):
        self.answer, there = CONTEXT.Pipe(duplex=False)
        images = NoisyImages(N, broken=BROKEN, seconds=0.02, fatal=fatal)
        self.process = CONTEXT.Process(
            target=work_as_told, args=(images, folder / "f.npy", barrier, there, lease)
        )
        self.process.start()
        there.close()

    def result(self):
        try:
            assert self.answer.poll(timeout=120)
            return self.answer.recv()
        finally:
            self.process.join(timeout=10)
            self.process.kill()


def work_as_told(images, path, barrier, there, lease):
    torch.set_num_threads(1)
    if barrier is not None:
        barrier.wait(timeout=120)
    record = embedded(images, path, lease_seconds=lease, **SHARED)
    there.send((images.loaded, record.n_embedded, record.cache.n_pending))


def files_of(folder):
    """Bytes of all files of the folder's cache."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("f.*"))}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The files that one worker writes."""
    folder = tmp_path_factory.mktemp("alone")
    embedded(NoisyImages(N, broken=BROKEN), folder / "f.npy", batch_size=2)
    files = files_of(folder)
    assert sorted(files) == [
        *("f.broken.csv", "f.json", "f.keys.npy", "f.npy", "f.state.npy"),
    ]
    return files


def assert_whole(folder, alone):
    assert files_of(folder) == alone
    assert not list(folder.glob(".f*"))  # neither claims nor locks stay


@pytest.mark.parametrize("n_workers", [2, 3])
def test_workers_compute_every_row_once_and_the_bytes_of_one_worker(tmp_path, alone, n_workers):
    barrier = CONTEXT.Barrier(n_workers)
    workers = [Worker(tmp_path, barrier) for _ in range(n_workers)]
    results = [worker.result() for worker in workers]
    loaded, n_embedded, n_pending = zip(*results, strict=True)
    assert sorted(itertools.chain.from_iterable(loaded)) == list(range(N))
    assert all(loaded), "each worker found work"
    assert sum(n_embedded) == N - len(BROKEN)
    assert set(n_pending) == {0}
    assert_whole(tmp_path, alone)


def test_others_take_over_the_chunk_of_a_killed_worker_alone(tmp_path, alone):
    killed = Worker(tmp_path, fatal=11, lease=1.0).process  # in its third chunk, rows 8 to 11
    killed.join(timeout=120)
    assert killed.exitcode == -signal.SIGKILL
    assert FeatureCache.open(tmp_path / "f.npy").n_pending == N
    barrier = CONTEXT.Barrier(2)
    workers = [Worker(tmp_path, barrier) for _ in range(2)]
    loaded = [worker.result()[0] for worker in workers]
    assert sorted(itertools.chain.from_iterable(loaded)) == list(range(8, N))
    assert_whole(tmp_path, alone)


def test_a_late_worker_finds_nothing_to_do(tmp_path, alone):
    embedded(NoisyImages(N, broken=BROKEN), tmp_path / "f.npy", **SHARED)
    late = NoisyImages(N)
    record = embedded(late, tmp_path / "f.npy", **SHARED)
    assert (late.loaded, record.n_embedded, record.seconds) == ([], 0, 0.0)
    assert record.broken.rows == BROKEN
    assert_whole(tmp_path, alone)


def test_shared_work_goes_on_with_what_one_worker_began(tmp_path, alone):
    class Interrupted(NoisyImages):
        def load(self, row):
            if row == 10:
                raise KeyboardInterrupt
            return super().load(row)

    with pytest.raises(KeyboardInterrupt):
        embedded(Interrupted(N, broken=BROKEN), tmp_path / "f.npy", batch_size=2)
    images = NoisyImages(N, broken=BROKEN)
    embedded(images, tmp_path / "f.npy", **SHARED)
    assert images.loaded == list(range(10, N))
    assert_whole(tmp_path, alone)


def test_a_worker_that_ends_by_an_error_frees_its_chunk_at_once(tmp_path, alone):
    class Failing(NoisyImages):
        def load(self, row):
            if row == 6:
                raise RuntimeError("a bug")
            return super().load(row)

    with pytest.raises(RuntimeError, match="a bug"):
        embedded(Failing(N, broken=BROKEN), tmp_path / "f.npy", **SHARED)
    images = NoisyImages(N, broken=BROKEN)
    # A lease of the first worker, an hour, would outlast the test.
    embedded(images, tmp_path / "f.npy", lease_seconds=3600.0, **SHARED)
    assert images.loaded == list(range(4, N))
    assert_whole(tmp_path, alone)


def join(path, n=N, lease_seconds=60.0, **changes):
    """Take part by hand: features of one number, the row's own."""
    card = FeatureCard(
        **{
            "encoder": "tiny",
            "fingerprint": "0123",
            "preprocessing": {"image_size": 16},
            "dim": 1,
            "dtype": "float32",
            "n_rows": n,
            "keys_digest": "",
            **changes,
        }
    )
    return SharedWork.join(
        path, keys_of(NoisyImages(n)), card, chunk_rows=5, lease_seconds=lease_seconds
    )


def compute(work, chunk):
    work.write(chunk, chunk.rows, chunk.rows[:, None].astype(float))
    work.keep(chunk)


def compute_all(work):
    """Compute what is to be had; the numbers of the chunks."""
    numbers = []
    for chunk in work.chunks():
        numbers.append(chunk.number)
        compute(work, chunk)
    return numbers


def test_no_two_workers_hold_one_chunk(tmp_path):
    with join(tmp_path / "f.npy") as left, join(tmp_path / "f.npy") as right:
        ours, theirs = left.chunks(), right.chunks()
        claimed = [chunk for _ in range(5) for chunk in (next(ours), next(theirs))]
        assert [chunk.number for chunk in claimed] == list(range(10))
        assert np.concatenate([chunk.rows for chunk in claimed]).tolist() == list(range(N))
        assert len(claimed[-1].rows) == 3
        for chunk in claimed:
            compute(left, chunk)
        assert left.n_rows_done() == N
        assert list(ours) == list(theirs) == []
        assert left.n_rows_done() == N
    cache = FeatureCache.open(tmp_path / "f.npy")
    cache.require_finished()
    assert cache.features[:, 0].tolist() == list(range(N))


def test_a_living_worker_keeps_a_chunk_longer_than_its_lease(tmp_path):
    with join(tmp_path / "f.npy", n=5, lease_seconds=0.3) as slow:
        chunk = next(slow.chunks())
        taken = []

        def wait_for_it():
            with join(tmp_path / "f.npy", n=5) as other:
                taken.extend(other.chunks())

        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        waiting.join(timeout=1.0)  # three leases
        assert waiting.is_alive()
        compute(slow, chunk)
        waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert taken == []
    FeatureCache.open(tmp_path / "f.npy").require_finished()


def test_a_worker_back_from_the_dead_does_no_harm(tmp_path):
    stalled = join(tmp_path / "f.npy", n=5, lease_seconds=0.1)  # no heartbeat: it was not entered
    stalled._pulse.touch()
    chunk = next(stalled.chunks())
    with join(tmp_path / "f.npy", n=5) as other:
        assert compute_all(other) == [0]
    before = files_of(tmp_path)
    compute(stalled, chunk)
    assert list(stalled.chunks()) == []
    assert files_of(tmp_path) == before
    assert not list(tmp_path.glob(".f*"))


def test_who_puts_together_may_be_lost_too(tmp_path, monkeypatch):
    path = tmp_path / "f.npy"
    with monkeypatch.context() as patched, join(path) as first:
        patched.setattr(FeatureWriter, "flush", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            compute_all(first)
    with join(path) as second:
        assert list(second.chunks()) == []
    cache = FeatureCache.open(path)
    cache.require_finished()
    assert cache.features[:, 0].tolist() == list(range(N))


def test_other_encoders_photos_and_numbers_do_not_join(tmp_path):
    with join(tmp_path / "f.npy"):
        for changes, words in (
            ({"fingerprint": "4567"}, "features of two encoders don't mix"),
            ({"n": N + 1}, "made of other photos"),
            ({"dtype": "float16"}, "begun with dtype float32, not float16"),
            ({"precision": "bf16"}, "begun with precision 32, not bf16"),
        ):
            with pytest.raises(GeolocError, match=words):
                join(tmp_path / "f.npy", **changes)


def test_one_worker_alone_is_refused_while_others_share(tmp_path):
    with join(tmp_path / "f.npy"):
        for resume in (True, False):
            with pytest.raises(GeolocError, match=r"Several workers compute .*--shared"):
                embedded(NoisyImages(N), tmp_path / "f.npy", resume=resume)


def test_a_damaged_chunk_is_named_and_computed_anew(tmp_path):
    path = tmp_path / "f.npy"
    work = FeatureFiles(path).shared_work
    with join(path) as one:
        for chunk in itertools.islice(one.chunks(), 4):
            compute(one, chunk)
        (work / "part-000003.npz").write_bytes(b"PK, but no more")
        with pytest.raises(GeolocError, match=r"part-000003\.npz is missing or damaged"):
            compute_all(one)
    (work / "part-000003.npz").unlink()
    with join(path) as other:
        assert compute_all(other) == [3]
    FeatureCache.open(path).require_finished()


def test_a_folder_of_another_cache_is_named(tmp_path):
    path = tmp_path / "f.npy"
    with join(path):
        work = FeatureFiles(path).shared_work
        plan = json.loads((work / "plan.json").read_text())
        plan["card"]["keys_digest"] = "f" * 16
        (work / "plan.json").write_text(json.dumps(plan))
        with pytest.raises(GeolocError, match="belongs to another cache"):
            join(path)
        (work / "plan.json").write_text("{}")
        with pytest.raises(GeolocError, match="does not hold the shared work"):
            join(path)


def test_a_feature_that_is_not_finite_is_refused(tmp_path):
    encoder = tiny_encoder()
    with torch.no_grad():
        encoder.backbone.stem[0].weight.fill_(float("nan"))
    with pytest.raises(GeolocError, match=r"feature of row 0 .*not finite"):
        embedded(NoisyImages(3), tmp_path / "f.npy", encoder, **SHARED)


def test_options_that_do_not_go_together_are_refused(tmp_path):
    for options, words in (
        ({"resume": False}, "without --shared first"),
        ({"retry_broken": True}, "without --shared first"),
        ({"chunk_rows": 0}, "at least 1 row"),
        ({"lease_seconds": 0.0}, "lease above 0"),
    ):
        with pytest.raises(GeolocError, match=words):
            embedded(NoisyImages(3), tmp_path / "f.npy", **{**SHARED, **options})


def test_chunks_are_whole_batches(tmp_path):
    embedded(NoisyImages(2), tmp_path / "g.npy", shared=True)  # fewer rows than a batch
    path, seen = tmp_path / "f.npy", []

    class Watching(NoisyImages):
        def load(self, row):
            plan = FeatureFiles(path).shared_work / "plan.json"
            seen.append(json.loads(plan.read_text())["chunk_rows"])
            return super().load(row)

    embedded(Watching(6), path, shared=True, batch_size=5)
    assert set(seen) == {65}


def test_a_single_writer_keeps_workers_out(tmp_path, monkeypatch):
    path = tmp_path / "f.npy"
    monkeypatch.setattr("geoloc_models.features.shared_work._PLANNING_SECONDS", 0.1)
    embedded(NoisyImages(3), path)
    card = FeatureCache.open(path).card
    with FeatureWriter(path, keys_of(NoisyImages(3)), card):
        before = time.monotonic()
        with pytest.raises(GeolocError, match="Another process is writing"):
            embedded(NoisyImages(3), path, **SHARED)
        assert time.monotonic() - before >= 0.1
