"""The queue of photos: one row each, readable after any kill, exported and taken up again."""

import dataclasses
import multiprocessing
import os
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from geoloc_models_download import states
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.download import State, read_ledger
from geoloc_models.download.queue import LEDGER, QUEUE, DownloadQueue, PhotoRecord, QueuedPhoto
from geoloc_models.download.store import StoredImage, safe_name
from geoloc_models.errors import GeolocError

TIME = datetime(2026, 5, 1, 12, 30, 15, 123000, tzinfo=UTC)


def record(key, state=State.GONE, **fields):
    return PhotoRecord(key, f"http://a/{key}", state, time=TIME, **fields)


def photos(keys):
    return [
        [QueuedPhoto(row, key, safe_name(key), f"http://a/{key}")]
        for row, key in enumerate(keys, start=1)
    ]


def queue_of(folder, keys, retry=()):
    queue = DownloadQueue(folder)
    queue.fill(photos(keys), retry)
    return queue


def waiting(queue):
    return [photo.id for photo in queue.waiting(0, 100)]


def test_a_row_comes_back_as_it_was_written(tmp_path):
    key = "Ü\n\"'"
    written = PhotoRecord(
        key, "http://a/ü", State.OK, "why", 200, 1234, 40, 30, "ab/cd/x.jpg", 3, TIME
    )
    queue = queue_of(tmp_path, [key])
    queue.finish([written])
    for _ in range(3):  # from the queue, from the ledger, and from the queue made of it
        row = read_ledger(tmp_path).to_pylist()[0]
        assert PhotoRecord(**row) == dataclasses.replace(written, state="ok")
        queue.export()
        queue.close(remove=True)
        queue = DownloadQueue(tmp_path)
    queue.close()


def test_nothing_but_the_ledger_is_left_at_the_end(tmp_path):
    queue = queue_of(tmp_path, "ab")
    queue.finish([record("a")])
    queue.export()
    queue.close(remove=True)
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER]
    assert states(tmp_path) == {"a": "gone"}


def test_another_reader_sees_a_photo_at_once(tmp_path):
    queue = queue_of(tmp_path, "ab")
    assert states(tmp_path) == {}
    for key in "ab":
        queue.finish([record(key)])
        assert states(tmp_path)[key] == "gone"
    queue.close()


finished = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(list(State))), max_size=9)


@given(finished, finished, st.sets(st.sampled_from(list(State))), st.booleans())
def test_the_last_state_counts_and_what_has_none_waits(first, second, retry, is_killed):
    with tempfile.TemporaryDirectory() as name:
        folder, expected = Path(name), {}
        queue = queue_of(folder, "abc")
        for history in (first, second):
            for key, state in history:
                if key in "abc":
                    queue.finish([record(key, state)])
                    expected[key] = str(state)
            if not is_killed:
                queue.export()
            queue.close(remove=not is_killed)
            queue = queue_of(folder, "abce", tuple(retry))
            assert states(folder) == expected
            assert waiting(queue) == [k for k in "abce" if expected.get(k) in {None, *retry}]
            assert queue.n_waiting() == len(waiting(queue))
            assert {s: n for s, n in queue.counts().items() if n} == {
                s: list(expected.values()).count(s) for s in State if s in expected.values()
            }
            expected.pop("e", None)
        queue.close()


def test_a_killed_process_leaves_every_finished_photo(tmp_path):
    def finish_some():
        queue = queue_of(tmp_path, map(str, range(500)))
        for k in range(200):
            queue.finish([record(str(k))])
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=finish_some)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert states(tmp_path) == dict.fromkeys(map(str, range(200)), "gone")
    queue = queue_of(tmp_path, map(str, range(500)))
    assert queue.n_waiting() == 300
    queue.close()


def test_rows_of_another_table_stay_in_the_ledger_and_are_not_fetched(tmp_path):
    queue = queue_of(tmp_path, "ab")
    queue.finish([record("a", State.OK, bytes=700, path="x"), record("b")])
    queue.close()
    queue = queue_of(tmp_path, "cb", [State.OK])
    assert waiting(queue) == ["c"]
    assert queue.counts() == {**dict.fromkeys(State, 0), State.GONE: 1}
    assert queue.bytes_on_disk() == 700
    queue.close()
    assert states(tmp_path) == {"a": "ok", "b": "gone"}


def test_pages_of_the_queue_follow_the_table(tmp_path):
    queue = queue_of(tmp_path, "hgfedcba")
    queue.finish([record("f")])
    first = queue.waiting(0, 3)
    assert [photo.id for photo in first] == ["h", "g", "e"]
    assert [photo.id for photo in queue.waiting(first[-1].position, 9)] == list("dcba")
    assert queue.waiting(8, 9) == []
    queue.close()


def test_paths_are_told_by_row(tmp_path):
    queue = queue_of(tmp_path, "abcd")
    queue.finish([record(key, State.OK, path=f"{key}.jpg") for key in "abd"])
    queue.finish([record("c")])
    assert queue.paths(2, 5) == {2: "b.jpg", 4: "d.jpg"}
    queue.close()


def test_what_is_on_disk_is_compared(tmp_path):
    queue = queue_of(tmp_path, "abcde")
    queue.finish([record(key, State.OK, path=f"shards/00000.tar/{key}.jpg") for key in "ab"])
    queue.finish([record("c", State.OK, path="shards/00001.tar/c.jpg"), record("d")])
    assert queue.shards() == {"shards/00000.tar", "shards/00001.tar"}
    on_disk = [StoredImage(key, f"shards/00001.tar/{key}.jpg", 5, 4, 3) for key in "dx"]
    n_lost, found = queue.compare(on_disk, ["shards/00000.tar"])
    assert n_lost == 1
    assert found == [("d", "http://a/d", on_disk[0])]
    assert waiting(queue) == ["c", "e"]
    assert states(tmp_path) == {"a": "ok", "b": "ok", "d": "gone"}
    queue.close()


def test_a_repeated_id_is_named_with_its_rows(tmp_path):
    queue = DownloadQueue(tmp_path)
    with pytest.raises(GeolocError, match=r"rows 2 and 4 share one \(b\)"):
        queue.fill(photos("abcb"))
    queue.close()
    assert waiting(queue_of(tmp_path, "ab")) == ["a", "b"]  # nothing of it was kept


@pytest.mark.parametrize("content", [b"", b"PAR1 no ledger", b"id,url\n"])
def test_a_damaged_ledger_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / LEDGER).write_bytes(content)
    with pytest.raises(GeolocError, match=r"ledger\.parquet cannot be read.*Remove it"):
        DownloadQueue(tmp_path)


def test_what_is_no_queue_or_ledger_is_refused(tmp_path):
    with pytest.raises(GeolocError, match="There is no ledger"):
        read_ledger(tmp_path)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / LEDGER)
    with pytest.raises(GeolocError, match="no ledger of a download"):
        DownloadQueue(tmp_path)
    (tmp_path / QUEUE).write_bytes(b"no database" * 1000)
    for read in (DownloadQueue, read_ledger):
        with pytest.raises(GeolocError, match=r"queue\.sqlite cannot be read.*Remove it"):
            read(tmp_path)
