"""``geoloc download`` as a user runs it: summary, bad input, Ctrl-C, and kill -9 in the middle."""

import asyncio
import os
import signal

import photo_server
import pyarrow.parquet as pq
import pytest
from command_line import geoloc, geoloc_refuses
from fresh_process import start_geoloc, wait_for
from geoloc_models_download import jpeg, states, write_photos
from photo_server import PhotoServer, mixed_faults

PHOTO = jpeg(0)
QUICK = ["--allow-networks", "127.0.0.0/8", "--rate", "0", "--backoff", "0.01", "--workers", "1"]


def test_it_prints_what_became_of_the_photos(tmp_path):
    ids = [str(k) for k in range(10)]
    faults = {
        "1": photo_server.not_found,
        "2": photo_server.redirect_to_unavailable,
        "3": photo_server.web_page,
        "4": photo_server.bomb,
        "5": photo_server.status(403),
        "6": photo_server.redirect_to_private,
    }
    with PhotoServer(dict.fromkeys(ids, PHOTO), faults) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))
        result = geoloc("download", table, "-o", tmp_path / "images", "--max-side", 32, *QUICK)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:7] == [
        "photos 10",
        "ok 4 40.0 %",
        "gone 2 20.0 %",
        "not an image 1 10.0 %",
        "too large 1 10.0 %",
        "failed 1 10.0 %",
        "refused address 1 10.0 %",
    ]
    assert "Dead share: 20.0 % of 10 photos tried." in lines
    assert any(line.startswith("On disk: ") and line.endswith("of images.") for line in lines)
    assert any(line.startswith("This run: 10 photos, 4 of them fetched, in ") for line in lines)
    assert str(tmp_path / "images" / "photos.parquet") in result.stdout
    assert pq.read_metadata(tmp_path / "images" / "photos.parquet").num_rows == 4


def test_states_can_be_tried_again(tmp_path):
    faults = {"a": photo_server.server_error(1), "b": photo_server.at_first(photo_server.gone)}
    with PhotoServer(dict.fromkeys("ab", PHOTO), faults) as server:
        table = write_photos(tmp_path / "photos.parquet", "ab", map(server.url, "ab"))
        arguments = [table, "-o", tmp_path / "images", "--attempts", 1, *QUICK]
        told = geoloc("download", *arguments).stdout
        assert states(tmp_path / "images") == {"a": "failed", "b": "gone"}
        assert "--retry failed asks for those" in told
        assert "No photo is there" in told
        told = geoloc("download", *arguments, "--retry", "failed", "not_an_image").stdout
        assert "--retry" not in told
        assert states(tmp_path / "images") == {"a": "ok", "b": "gone"}
        geoloc("download", *arguments, "--retry", "gone")
        assert states(tmp_path / "images") == {"a": "ok", "b": "ok"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.parquet"], "There is no file none.parquet"),
        (["table.csv"], "table.csv has no column 'url'"),
        (["photos.parquet", "--retry", "lost"], "lost"),
        (["photos.parquet", "--retry", "ok"], '"gone", "not_an_image", "too_large", "failed"'),
        (["photos.parquet", "--quality", "0"], "quality must lie between 1 and 95"),
        (["photos.parquet", "--gone-patterns", "("], "no regular expression"),
        (["photos.parquet", "--allow-networks", "home"], "no network"),
        (["photos.parquet", "-o", "table.csv"], "table.csv"),
        (["photos.parquet", "-o", "garbled"], "cannot be read as JSON"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos.parquet", ["a"], ["http://127.0.0.1/a"])
    (tmp_path / "table.csv").write_text("id,page\n1,2\n")
    (tmp_path / "garbled").mkdir()
    (tmp_path / "garbled" / "download.json").write_text("{")
    assert words in geoloc_refuses("download", *arguments)


def lingering(fault):
    async def later(reply):
        await asyncio.sleep(0.005)
        await fault(reply)

    return later


@pytest.mark.parametrize("shards", [[], ["--shard-size", 7]])
def test_kill_9_loses_nothing_and_fetches_nothing_twice(tmp_path, shards):
    """Two kills at odd moments, then a run to the end; the server's log against the ledger."""
    ids = [f"photo/{k}" for k in range(150)]
    faults = mixed_faults(ids, mix=photo_server.QUICK_MIX)
    gentle = {key: lingering(faults.get(key, photo_server.served)) for key in ids}
    images = tmp_path / "images"
    with PhotoServer({key: jpeg(k % 9) for k, key in enumerate(ids)}, gentle) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))
        arguments = [table, "-o", images, "--parallel", 4, *QUICK, *shards]
        for n_requests in (20, 45):
            before = server.requests.total()
            process = start_geoloc("download", *arguments, start_new_session=True)
            wait_for(lambda: server.requests.total() >= before + n_requests)  # noqa: B023
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait(600) == -signal.SIGKILL
            finished = states(images)
            asked = dict(server.requests)
            wait_for(lambda: server.n_active == 0)
        assert 0 < len(finished) < len(ids)
        last = start_geoloc("download", *arguments, start_new_session=True)
        _, errors = last.communicate(timeout=6000)
        assert last.returncode == 0, errors
        n_requests = server.requests.total()
        geoloc("download", *arguments)
        assert server.requests.total() == n_requests
    ends = states(images)
    assert set(ends) == set(ids)
    assert all(ends[key] == state for key, state in finished.items())
    # Whatever the ledger knew at the last kill was never asked for again.
    assert all(server.requests[key] == asked[key] for key in finished)
    # A photo in flight at a kill is asked for once more: four at a time, two kills.
    plain = [key for key in ids if key not in faults]
    assert all(ends[key] == "ok" for key in plain)
    assert sum(server.requests[key] - 1 for key in plain) <= 2 * 4
    frame = pq.read_table(images / "photos.parquet").to_pandas()
    assert set(frame["id"]) == {key for key, state in ends.items() if state == "ok"}
    from geoloc_models.photos.images import FileImages

    readable = FileImages(frame["path"].to_numpy(), root=images)
    assert all(readable.load(row).size == (40, 30) for row in range(len(frame)))


def test_ctrl_c_ends_in_order_with_exit_code_130(tmp_path):
    ids = [str(k) for k in range(40)]
    faults = dict.fromkeys(ids[20:], photo_server.silent)
    images = tmp_path / "images"
    with PhotoServer(dict.fromkeys(ids, PHOTO), faults) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))
        process = start_geoloc("download", table, "-o", images, *QUICK, start_new_session=True)
        wait_for(lambda: server.requests.total() >= 28)
        wait_for(lambda: len(states(images)) == 20)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Interrupted; what was fetched is kept. The same command continues from here." in errors
    assert "Traceback" not in errors
    assert not list(images.glob("queue.sqlite*"))
    assert states(images) == dict.fromkeys(ids[:20], "ok")
    assert pq.read_metadata(images / "photos.parquet").num_rows == 20
