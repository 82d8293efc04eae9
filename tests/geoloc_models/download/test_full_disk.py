"""Disks that fill: one sentence, a readable ledger, and all of it goes on later."""

import os
import resource
import shutil
import subprocess
from functools import partial

import pytest
from geoloc_models_download import jpeg, quick, states, write_photos
from photo_server import PhotoServer

from geoloc_models.download import State, download_photos
from geoloc_models.download import store as store_module
from geoloc_models.download.queue import DownloadQueue
from geoloc_models.errors import GeolocError


def table_of(tmp_path, server):
    ids = list(server.images)
    return write_photos(tmp_path / "photos.parquet", ids, map(server.url, ids))


def check_full_disk(folder, table, options, server, make_room):
    with pytest.raises(GeolocError, match=r"is full.*run the same command again"):
        download_photos(table, folder, options)
    kept = states(folder)
    assert 0 < len(kept) < len(server.images)
    assert set(kept.values()) == {"ok"}
    assert not [path for path in folder.rglob("*") if ".part-" in path.name]
    make_room()
    asked = dict(server.requests)
    summary = download_photos(table, folder, options)
    assert summary.counts[State.OK] == len(server.images)
    assert all(server.requests[key] == asked[key] for key in kept)


@pytest.mark.parametrize("shard_size", [None, 1000])
def test_a_storage_that_is_full_ends_with_a_sentence_and_goes_on_later(
    tmp_path, monkeypatch, shard_size
):
    images = {str(k): jpeg(k) for k in range(12)}
    real, left = DownloadQueue.finish, [5]

    def finish(self, records):
        records = list(records)
        if records and not left[-1]:
            raise OSError(28, "No space left on device")
        left[-1] -= len(records)
        return real(self, records)

    monkeypatch.setattr(DownloadQueue, "finish", finish)
    with PhotoServer(images) as server:
        table, options = table_of(tmp_path, server), quick(shard_size=shard_size)
        check_full_disk(tmp_path / "images", table, options, server, lambda: left.append(99))


@pytest.mark.parametrize("shard_size", [None, 1000])
def test_a_real_full_disk_ends_with_a_sentence_and_a_readable_ledger(tmp_path, shard_size):
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", disk]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if os.geteuid() != 0 or shutil.which("mount") is None or not mount("size=400k"):
        pytest.skip("only root may mount a small disk")
    try:
        images = {str(k): jpeg(k, 300, 200, quality=95) for k in range(60)}
        with PhotoServer(images) as server:
            table, options = table_of(tmp_path, server), quick(shard_size=shard_size)
            make_room = partial(mount, "remount", "size=20m")
            check_full_disk(disk / "images", table, options, server, make_room)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_limit_on_file_size_is_a_full_disk_too(tmp_path):
    images = {str(k): jpeg(k, 200, 200, quality=95) for k in range(12)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def restore():
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with PhotoServer(images) as server:
        path = table_of(tmp_path, server)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        try:
            check_full_disk(tmp_path / "images", path, quick(shard_size=1000), server, restore)
        finally:
            restore()


def test_another_error_of_the_disk_keeps_its_words(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store_module.os, "replace", broken)
    with PhotoServer({"a": jpeg(0)}) as server:
        table = table_of(tmp_path, server)
        with pytest.raises(OSError, match="Input/output error"):
            download_photos(table, tmp_path / "images", quick())
