"""The whole download against a server that misbehaves: states, resuming, bounds."""

import asyncio
import socket
import tarfile

import photo_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from geoloc_models_download import jpeg, quick, states, write_photos
from photo_server import PhotoServer, mixed_faults

from geoloc_models.download import DownloadOptions, State, download_photos, read_ledger
from geoloc_models.download import fetching as fetching_module
from geoloc_models.download.queue import SCHEMA
from geoloc_models.download.store import safe_name
from geoloc_models.errors import GeolocError
from geoloc_models.files import locked

PHOTO = jpeg(0)


def row_of(folder, key):
    return next(row for row in read_ledger(folder).to_pylist() if row["id"] == key)


def run_with(
    tmp_path, faults, options=None, ids=("a", "b"), *, content=PHOTO, folder="images", **columns
):
    """Download photos with these faults; the first id has none of its own."""
    with PhotoServer(dict.fromkeys(ids, content), faults) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids), **columns)
        summary = download_photos(table, tmp_path / folder, options or quick())
        return summary, server


FAULTS = [
    (photo_server.not_found, "gone", 1),
    (photo_server.gone, "gone", 1),
    (photo_server.redirect_to_unavailable, "gone", 1),
    (photo_server.status(403), "failed", 1),
    (photo_server.web_page, "not_an_image", 1),
    (photo_server.half_an_image, "not_an_image", 1),
    (photo_server.empty, "not_an_image", 1),
    (photo_server.bomb, "too_large", 1),
    (photo_server.compressed_bomb, "too_large", 1),
    (photo_server.endless, "too_large", 1),
    (photo_server.redirect_to_private, "refused", 1),
    (photo_server.redirect("http://10.0.0.1/x.jpg"), "refused", 1),
    (photo_server.redirect("ftp://a.example/x.jpg"), "refused", 1),
    (photo_server.redirect("/photos/a.jpg"), "ok", 1),
    (photo_server.redirect_to_itself, "failed", 6),
    (photo_server.server_error(1), "ok", 2),
    (photo_server.server_error(99), "failed", 3),
    (photo_server.too_many_requests(0), "ok", 2),
    (photo_server.too_many_requests(0, as_date=True), "ok", 2),
    (photo_server.at_first(photo_server.truncated), "ok", 2),
    (photo_server.truncated, "failed", 3),
    (photo_server.cut_chunks, "failed", 3),
    (photo_server.at_first(photo_server.connection_reset), "ok", 2),
    (photo_server.connection_reset, "failed", 3),
]


def test_every_fault_ends_in_its_state_after_so_many_requests(tmp_path):
    faults = {f"fault{k}": fault for k, (fault, _, _) in enumerate(FAULTS)}
    options = quick(attempts=3)
    summary, server = run_with(tmp_path, faults, options, ids=["a", *faults])
    expected = {f"fault{k}": state for k, (_, state, _) in enumerate(FAULTS)}
    assert states(tmp_path / "images") == {"a": "ok", **expected}
    assert {key: server.requests[key] for key in faults} == {
        f"fault{k}": n for k, (_, _, n) in enumerate(FAULTS)
    }
    assert server.requests["a"] == 2  # a redirect led to it
    assert server.requests[photo_server.UNAVAILABLE] == 0
    assert summary.n_done == summary.n_photos == len(FAULTS) + 1
    assert summary.counts[State.GONE] == 3
    assert summary.dead_share == pytest.approx(3 / 25)


@pytest.mark.parametrize("shard_size", [None, 2])
def test_rows_whose_image_is_there_are_written_with_its_path(tmp_path, shard_size):
    ids = ["1", "Ü/../x", "3", "4"]
    columns = {"user": ["u", "v", None, "w"], "path": ["old"] * 4}
    gone, options = {"3": photo_server.gone}, quick(shard_size=shard_size)
    summary, _ = run_with(tmp_path, gone, options, ids, **columns)
    images = tmp_path / "images"
    frame = pq.read_table(images / "photos.parquet").to_pandas()
    assert summary.table == images / "photos.parquet"
    assert frame["id"].tolist() == ["1", "Ü/../x", "4"]
    assert frame["user"].tolist() == ["u", "v", "w"]
    assert frame.columns.tolist() == ["id", "url", "user", "latitude", "path"]
    for key, path in zip(frame["id"], frame["path"], strict=True):
        assert row_of(images, key)["path"] == path
        if shard_size is None:
            content = (images / path).read_bytes()
        else:
            tar, _, member = path.partition(".tar/")
            with tarfile.open(images / f"{tar}.tar") as archive:
                content = archive.extractfile(member).read()
        assert len(content) == row_of(images, key)["bytes"]
        assert safe_name(key) in path
    assert summary.bytes_on_disk == sum(row_of(images, key)["bytes"] for key in frame["id"])


@pytest.mark.parametrize("shard_size", [None, 3])
def test_a_second_run_fetches_nothing_again(tmp_path, shard_size):
    ids = [str(k) for k in range(60)]
    faults = mixed_faults(ids, seed=1, mix=photo_server.QUICK_MIX)
    with PhotoServer(dict.fromkeys(ids, PHOTO), faults) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))
        options = quick(shard_size=shard_size, attempts=2)
        first = download_photos(table, tmp_path / "images", options)
        n_requests = server.requests.total()
        second = download_photos(table, tmp_path / "images", options)
        assert server.requests.total() == n_requests
    assert second.counts == first.counts
    assert (second.n_now, second.n_recovered, second.n_lost) == (0, 0, 0)
    assert second.bytes_on_disk == first.bytes_on_disk


def test_rows_added_to_the_table_are_fetched_and_no_others(tmp_path):
    ids = ["a", "b", "c"]
    told = []
    with PhotoServer(dict.fromkeys(ids, PHOTO)) as server:
        for n in (2, 3):
            table = write_photos(
                tmp_path / "photos.parquet", ids[3 - n :], map(server.url, ids[3 - n :])
            )
            summary = download_photos(
                table, tmp_path / "images", quick(), progress=lambda *counts: told.append(counts)
            )
        assert server.requests == {"a": 1, "b": 1, "c": 1}
    assert summary.n_now == 1
    assert told == [(0, 2), (1, 2), (2, 2), (0, 1), (1, 1)]  # done, of so many


def test_images_are_made_small_or_kept_as_they_are(tmp_path):
    large = jpeg(0, 400, 200)
    run_with(tmp_path, {}, quick(max_side=100), "a", content=large, folder="small")
    run_with(tmp_path, {}, quick(keep_original=True), "a", content=large, folder="kept")
    row = row_of(tmp_path / "small", "a")
    assert (row["width"], row["height"]) == (100, 50)
    kept = tmp_path / "kept" / row_of(tmp_path / "kept", "a")["path"]
    assert kept.read_bytes() == large


def test_a_folder_holds_images_of_one_kind(tmp_path):
    run_with(tmp_path, {}, quick(max_side=100))
    with pytest.raises(GeolocError, match="max_side=100, and now max_side is 200"):
        run_with(tmp_path, {}, quick(max_side=200))
    with pytest.raises(GeolocError, match="shard_size=None, and now shard_size is 5"):
        run_with(tmp_path, {}, quick(max_side=100, shard_size=5))


@pytest.mark.parametrize("shard_size", [None, 2])
def test_an_image_in_place_that_the_ledger_does_not_know_counts_as_fetched(tmp_path, shard_size):
    ids = ["a", "b", "c"]
    images = tmp_path / "images"
    with PhotoServer(dict.fromkeys(ids, PHOTO)) as server:
        table = write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))
        options = quick(shard_size=shard_size, parallel=1)
        download_photos(table, images, options)
        before = {row["id"]: row for row in read_ledger(images).to_pylist()}
        # As if killed after the last image was in place, before its line.
        rows = [row for row in read_ledger(images).to_pylist() if row["id"] != "c"]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), images / "ledger.parquet")
        summary = download_photos(table, images, options)
        assert server.requests == {"a": 1, "b": 1, "c": 1}
    assert summary.n_recovered == 1
    row = row_of(images, "c")
    names = ("url", "state", "path", "bytes", "width", "height")
    assert all(row[name] == before["c"][name] for name in names)
    assert pq.read_metadata(images / "photos.parquet").num_rows == 3


def test_an_image_that_was_deleted_is_fetched_again(tmp_path):
    _, server = run_with(tmp_path, {})
    images = tmp_path / "images"
    (images / row_of(images, "a")["path"]).unlink()
    summary, server = run_with(tmp_path, {})
    assert (summary.n_lost, summary.n_now) == (1, 1)
    assert server.requests == {"a": 1}
    assert (images / row_of(images, "a")["path"]).exists()


def test_a_lost_ledger_is_made_again_from_the_images_that_are_whole(tmp_path):
    run_with(tmp_path, {})
    images = tmp_path / "images"
    (images / row_of(images, "b")["path"]).write_bytes(b"half")
    (images / "ledger.parquet").unlink()
    summary, server = run_with(tmp_path, {})
    assert (summary.n_recovered, server.requests) == (1, {"b": 1})


def test_a_busy_host_is_left_alone_for_as_long_as_it_asks(tmp_path):
    faults = {"b": photo_server.too_many_requests(1)}
    ids = ["b", *(f"a{k}" for k in range(5))]
    options = quick(parallel=1, per_host=1)
    _, server = run_with(tmp_path, faults, options, ids=ids)
    times = [time for time, _, _ in server.log]
    assert server.log[0][1] == "b"
    assert times[1] - times[0] >= 0.99  # every photo of the host waited, not this one alone
    assert set(states(tmp_path / "images").values()) == {"ok"}


def test_no_wait_is_longer_than_the_bound(tmp_path):
    faults = {"b": photo_server.too_many_requests(86_400)}
    _, server = run_with(tmp_path, faults, quick(max_wait=0.01))
    assert states(tmp_path / "images") == {"a": "ok", "b": "ok"}
    assert server.requests["b"] == 2


def test_parallel_requests_stay_within_their_bounds(tmp_path):
    async def lingering(reply):
        while reply.server.most_active < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        await photo_server.served(reply)

    ids = [str(k) for k in range(20)]
    _, server = run_with(tmp_path, dict.fromkeys(ids, lingering), quick(per_host=3), ids=ids)
    assert server.most_active <= 3
    _, server = run_with(tmp_path / "2", dict.fromkeys(ids, lingering), quick(parallel=2), ids=ids)
    assert server.most_active <= 2


def test_photos_that_cannot_be_asked_for_have_a_state_too(tmp_path):
    urls = [
        None,
        "ftp://a.example/x.jpg",
        "http://192.168.0.1/x.jpg",
        "photo.jpg",
        "http://[::1]/x",
    ]
    ids = list("abcde")
    table = write_photos(tmp_path / "photos.parquet", ids, urls)
    summary = download_photos(table, tmp_path / "images", DownloadOptions())
    assert summary.counts[State.REFUSED] == 5
    assert row_of(tmp_path / "images", "a")["reason"] == "no URL"
    assert pq.read_metadata(tmp_path / "images" / "photos.parquet").num_rows == 0


def test_an_empty_table_is_no_trouble(tmp_path):
    table = write_photos(
        tmp_path / "photos.parquet", pa.array([], "string"), pa.array([], "string")
    )
    summary = download_photos(table, tmp_path / "images", quick())
    assert (summary.n_photos, summary.dead_share) == (0, 0)
    assert "photos" in summary.text()


def test_names_that_are_not_resolved_fail_no_photo_of_other_hosts(tmp_path):
    """However many of them wait for the resolver, and however long it takes for each."""
    ids = [f"p{n}" for n in range(120)]

    async def resolve(host, port):
        if int(host.split(".")[0][1:]) % 6 == 0:  # 20 hosts; 16 look-ups run at a time
            await asyncio.sleep(1)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ["127.0.0.1"]

    with PhotoServer(dict.fromkeys(ids, PHOTO)) as server:
        urls = [server.url(key).replace("127.0.0.1", f"h{n}.test") for n, key in enumerate(ids)]
        table = write_photos(tmp_path / "photos.parquet", ids, urls)
        options = quick(connect_timeout=0.5, attempts=3, parallel=32)
        summary = download_photos(table, tmp_path / "images", options, resolve=resolve)
    assert summary.counts[State.OK] == 100
    assert summary.counts[State.FAILED] == 20


@pytest.mark.parametrize("ids", [[7, 8], [7.0, 8.0]])
def test_ids_may_be_numbers_and_addresses_end_in_blanks(tmp_path, ids):
    with PhotoServer({"7": PHOTO, "8": PHOTO}) as server:
        urls = [f"{server.url('7')} ", f" {server.url('8')}\t"]
        table = write_photos(tmp_path / "photos.parquet", ids, urls)
        download_photos(table, tmp_path / "images", quick())
    assert pq.read_table(tmp_path / "images" / "photos.parquet")["id"].to_pylist() == ids
    assert states(tmp_path / "images") == {"7": "ok", "8": "ok"}


def test_quotes_may_be_plain_characters(tmp_path):
    with PhotoServer({"a": PHOTO, "b": PHOTO}) as server:
        rows = [f'{key}\t{server.url(key)}\t"NSG' for key in "ab"]
        (tmp_path / "photos.tsv").write_text("\n".join(["id\turl\ttitle", *rows, ""]))
        summary = download_photos(
            tmp_path / "photos.tsv", tmp_path / "images", quick(), quoting=False
        )
    assert summary.counts[State.OK] == 2


def test_a_table_longer_than_the_lookahead_is_fetched_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching_module, "_LOOKAHEAD", 4)
    ids = [str(k) for k in range(23)]
    summary, _ = run_with(tmp_path, {"7": photo_server.gone}, ids=ids)
    assert summary.counts[State.OK] == 22
    assert len(states(tmp_path / "images")) == 23


def test_it_runs_inside_a_running_event_loop(tmp_path):
    async def notebook():
        return run_with(tmp_path, {})

    summary, _ = asyncio.run(notebook())
    assert summary.counts[State.OK] == 2


def test_a_text_table_will_do_and_its_columns_may_have_other_names(tmp_path):
    with PhotoServer({"007": PHOTO, "8": PHOTO}) as server:
        rows = [f"{key},{server.url(key)},{key}.50" for key in ("007", "8")]
        (tmp_path / "photos.csv").write_text("\n".join(["photo_id,image_url,price", *rows]))
        summary = download_photos(tmp_path / "photos.csv", tmp_path / "images", quick())
        (tmp_path / "named.csv").write_text(f"id,url,where\n8,no,{server.url('8')}\n")
        download_photos(tmp_path / "named.csv", tmp_path / "named", quick(), url_column="where")
    fetched = pq.read_table(tmp_path / "images" / "photos.parquet").to_pydict()
    assert fetched["photo_id"] == ["007", "8"]
    assert fetched["price"] == ["007.50", "8.50"]
    assert summary.counts[State.OK] == 2
    assert states(tmp_path / "named") == {"8": "ok"}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": ["a"]}, "no column 'url'"),
        ({"url": ["a"]}, "no column 'id'"),
        ({"id": ["a", "a"], "url": ["x", "y"]}, r"rows 1 and 2 share one \(a\)"),
        (
            {"id": ["a", None], "url": ["x", "y"]},
            r"rows of photos\.parquet have none \(first: row 2\)",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet")
    with pytest.raises(ValueError, match=words):
        download_photos(tmp_path / "photos.parquet", tmp_path / "images", quick())


def test_the_downloads_own_table_is_no_input(tmp_path):
    run_with(tmp_path, {})
    with pytest.raises(GeolocError, match="the download itself writes"):
        download_photos(tmp_path / "images" / "photos.parquet", tmp_path / "images", quick())


def test_a_second_download_into_the_folder_is_refused(tmp_path):
    busy = pytest.raises(BlockingIOError, match="Another process is writing")
    with locked(tmp_path / "images"), busy:
        run_with(tmp_path, {})
    run_with(tmp_path, {})


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"max_side": 3}, "max_side must lie between 16"),
        ({"quality": 101}, "quality must lie between 1 and 95"),
        ({"rate": -1}, "rate must lie at least 0"),
        ({"rate": float("nan")}, "rate"),
        ({"max_side": 100, "keep_original": True}, "choose one of them"),
        ({"retry": [State.OK]}, "not fetched again"),
        ({"gone_patterns": ["("]}, "no regular expression"),
        ({"user_agent": "a\r\nX: y"}, "plain ASCII"),
    ],
)
def test_impossible_options_are_refused(choices, words):
    with pytest.raises(GeolocError, match=words):
        DownloadOptions(**choices)
