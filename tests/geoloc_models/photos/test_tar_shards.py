"""Tar shards: members are found by name and read by offset; damage stays where it is."""

import io
import multiprocessing
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geoloc_models_photos import encoded, noise, write_tar

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos import tar_shards as tar_images
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.opening import split_tar_path
from geoloc_models.photos.tar_shards import read_tar_member, tar_members

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
LONG = "a-folder-of-some-length/" * 12 + "photo-ü-東京.jpg"


@pytest.fixture(autouse=True)
def no_index_is_known():
    tar_images._index_of.cache_clear()


def contents(n=5):
    """Contents of lengths around the tar's blocks of 512 bytes."""
    lengths = [0, 1, 511, 512, 513, 2000][: n + 1]
    return {f"{k}.jpg": os.urandom(length) for k, length in enumerate(lengths)}


def reason(tar, name):
    with pytest.raises(BrokenImageError) as caught:
        read_tar_member(str(tar), name)
    assert str(caught.value).startswith(f"{tar}/{name}: ")
    return str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_every_member_is_read_as_it_was_written(tmp_path, format):
    files = contents()
    if format != tarfile.USTAR_FORMAT:
        files |= {LONG: b"long", "kort-å.jpg": b"short", "after.jpg": b"after"}
    tar = write_tar(tmp_path / "0.tar", {"./sub": None, **files}, format=format)
    for name, content in files.items():
        assert read_tar_member(str(tar), name) == content
    with tarfile.open(tar) as reference, tar.open("rb") as file:
        expected = [(e.name, e.offset_data, e.size) for e in reference if e.isfile()]
        assert [(m.name, m.offset, m.size) for m in tar_members(file)[0]] == expected


def test_names_are_compared_as_paths(tmp_path):
    tar = write_tar(tmp_path / "0.tar", {"./a//b.jpg": b"here"})
    assert read_tar_member(str(tar), "a/b.jpg") == b"here"


def test_of_a_repeated_name_the_last_member_counts(tmp_path):
    tar = write_tar(tmp_path / "0.tar", {"a.jpg": b"first", "b.jpg": b"other"})
    with tarfile.open(tar, "a") as more:
        entry = tarfile.TarInfo("a.jpg")
        entry.size = 6
        more.addfile(entry, io.BytesIO(b"second"))
    assert read_tar_member(str(tar), "a.jpg") == b"second"


def test_tars_joined_end_to_end_are_read_whole(tmp_path):
    first = write_tar(tmp_path / "1.tar", {"a.jpg": b"one"}).read_bytes()
    second = write_tar(tmp_path / "2.tar", {"b.jpg": b"two"}).read_bytes()
    (tmp_path / "0.tar").write_bytes(first + second)
    assert read_tar_member(str(tmp_path / "0.tar"), "a.jpg") == b"one"
    assert read_tar_member(str(tmp_path / "0.tar"), "b.jpg") == b"two"


def test_links_and_folders_are_no_members(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        tar.addfile(tarfile.TarInfo("whole.jpg"))
    with (tmp_path / "0.tar").open("rb") as file:
        members, damage = tar_members(file)
    assert [member.name for member in members] == ["whole.jpg"]
    assert damage is None
    assert "no such file" in reason(tmp_path / "0.tar", "l")


# Which paths lead into a tar.


def test_a_component_that_is_a_tar_file_splits_the_path(tmp_path):
    tar = str(write_tar(tmp_path / "shards" / "00012.tar", {"a": b""}))
    assert split_tar_path(f"{tar}/sub/a.jpg") == (tar, "sub/a.jpg")
    assert split_tar_path(tar) is None
    assert split_tar_path("a.jpg") is None
    assert split_tar_path(str(tmp_path / "none.tar" / "a.jpg")) is None


def test_a_folder_may_be_named_like_a_tar(tmp_path):
    (tmp_path / "0.tar").mkdir()
    noise(5, 4).save(tmp_path / "0.tar" / "a.png")
    assert split_tar_path(str(tmp_path / "0.tar" / "a.png")) is None
    assert FileImages(["0.tar/a.png"], tmp_path).load(0).size == (5, 4)


# Damage.


def test_of_a_truncated_tar_the_whole_members_are_read(tmp_path):
    files = {f"{k}.jpg": os.urandom(1000) for k in range(4)}
    tar = write_tar(tmp_path / "0.tar", files, format=tarfile.USTAR_FORMAT)
    whole = tar.read_bytes()
    for length in range(0, 4 * 1536 + 1, 100):  # a header of 512 and two blocks each
        tar.write_bytes(whole[:length])
        for k in range(4):
            name, start = f"{k}.jpg", 1536 * k + 512
            if length >= start + 1000:
                assert read_tar_member(str(tar), name) == files[name]
            elif length >= start:
                assert "truncated" in reason(tar, name)
            else:
                assert "no such file" in reason(tar, name)


def test_a_damaged_header_loses_its_own_member_only(tmp_path):
    files = {f"{k}.jpg": encoded(noise(20, 20, k)) for k in range(5)}
    tar = write_tar(tmp_path / "0.tar", files, format=tarfile.USTAR_FORMAT)
    with tarfile.open(tar) as reference:
        header = reference.getmember("2.jpg").offset
    content = bytearray(tar.read_bytes())
    content[header + 3] ^= 0xFF
    tar.write_bytes(content)
    for name in ("0.jpg", "1.jpg", "3.jpg", "4.jpg"):
        assert read_tar_member(str(tar), name) == files[name]
    assert "damaged" in reason(tar, "2.jpg")


def test_damaged_pixels_break_their_own_image_only(tmp_path):
    files = {f"{k}.png": encoded(noise(20, 20, k), "PNG") for k in range(3)}
    tar = write_tar(tmp_path / "0.tar", files)
    with tarfile.open(tar) as reference:
        place = reference.getmember("1.png").offset_data
    content = bytearray(tar.read_bytes())
    content[place + 200] ^= 0xFF
    tar.write_bytes(content)
    images = FileImages([f"0.tar/{k}.png" for k in range(3)], tmp_path)
    for k in (0, 2):
        np.testing.assert_array_equal(np.asarray(images.load(k)), np.asarray(noise(20, 20, k)))
    with pytest.raises(BrokenImageError, match=r"0\.tar/1\.png"):
        images.load(1)


def test_what_is_no_tar_breaks_its_images(tmp_path):
    assert "cannot be read" in reason(tmp_path / "0.tar", "a.jpg")
    for content in (b"", bytes(10_240), bytes(range(256)) * 400):  # nothing, no member, no tar
        (tmp_path / "0.tar").write_bytes(content)
        assert "holds no such file" in reason(tmp_path / "0.tar", "a.jpg")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_named_as_such(tmp_path, kind):
    tar = tmp_path / "0.tar"
    with tarfile.open(tar, f"w:{kind}") as file:
        file.addfile(tarfile.TarInfo("a.jpg"))
    assert "compressed" in reason(tar, "a.jpg")


def test_a_tar_that_grew_is_gone_through_again(tmp_path):
    tar = write_tar(tmp_path / "0.tar", {"a.jpg": b"one"})
    assert read_tar_member(str(tar), "a.jpg") == b"one"
    write_tar(tar, {"new.jpg": os.urandom(20_000), "a.jpg": b"two"})
    assert read_tar_member(str(tar), "a.jpg") == b"two"
    assert len(read_tar_member(str(tar), "new.jpg")) == 20_000


# Once per process, kept small, threads and forks.


def count_walks(monkeypatch):
    walks = []
    walk = tar_images.tar_members
    monkeypatch.setattr(tar_images, "tar_members", lambda file: walks.append(1) or walk(file))
    return walks


def test_a_tar_is_gone_through_once_whatever_the_number_of_threads(tmp_path, monkeypatch):
    files = {f"{k}.jpg": os.urandom(3000 + k) for k in range(50)}
    tar = str(write_tar(tmp_path / "0.tar", files))
    walks = count_walks(monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: read_tar_member(tar, name), list(files) * 4))
    assert found == list(files.values()) * 4
    assert len(walks) == 1


def test_nothing_is_read_before_the_first_image(tmp_path, monkeypatch):
    write_tar(tmp_path / "0.tar", {"a.png": encoded(noise(5, 4), "PNG")})
    walks = count_walks(monkeypatch)
    images = FileImages(["0.tar/a.png"], tmp_path)
    assert not walks
    images.load(0)
    assert len(walks) == 1


def test_an_index_takes_sixteen_bytes_a_member(tmp_path):
    tar = write_tar(tmp_path / "0.tar", {f"{k}.jpg": b"" for k in range(100)})
    with tar.open("rb") as file:
        index = tar_images._TarIndex.from_file(file)
    assert index.hashes.nbytes + index.blocks.nbytes + index.sizes.nbytes == 1600


def _read_in_child(tar, name, queue):
    queue.put(read_tar_member(tar, name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_a_thread_reads_is_not_stuck(tmp_path):
    tar = str(write_tar(tmp_path / "0.tar", {"a.jpg": b"one"}))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    held, done = threading.Event(), threading.Event()

    def hold():
        with tar_images._lock:
            held.set()
            done.wait(600)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = context.Process(target=_read_in_child, args=(tar, "a.jpg", queue))
    child.start()
    try:
        assert queue.get(timeout=600) == b"one"
    finally:
        done.set()
        holder.join()
        child.join(5)
        child.kill()
