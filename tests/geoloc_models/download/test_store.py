"""Both stores: what is written can be found again, whatever was cut off; names of files."""

import json
import re
import tarfile
import tempfile
import unicodedata
from pathlib import Path

import pytest
from geoloc_models_download import jpeg
from hypothesis import example, given
from hypothesis import strategies as st

from geoloc_models.download import store as store_module
from geoloc_models.download.store import (
    FolderStore,
    StoredImage,
    TarStore,
    folder_of,
    safe_name,
    whole_photos,
)
from geoloc_models.download.verify import PreparedImage


def image(k, extension=".jpg"):
    return PreparedImage(jpeg(k), extension, 40, 30)


def about(name):
    return {"id": name, "url": f"http://a/{name}"}


def scan(store, known_shards=()):
    """All images found, and the shards left out."""
    images, unread = store.scan(known_shards)
    return list(images), unread


@pytest.fixture(params=["folder", "tar"])
def make(request, tmp_path):
    return lambda: FolderStore(tmp_path) if request.param == "folder" else TarStore(tmp_path, 2)


def content_at(root, path):
    tar, dot_tar, member = path.partition(".tar/")
    if not dot_tar:
        return (root / path).read_bytes()
    with tarfile.open(root / f"{tar}.tar") as archive:
        return archive.extractfile(member).read()


def test_what_is_written_lies_at_its_path_and_is_found(make, tmp_path):
    store, written = make(), {}
    for k, extension in enumerate([".jpg", ".png", ".heic"]):
        written[f"name{k}"] = store.write(f"name{k}", image(k, extension), about(f"name{k}"))
        assert content_at(tmp_path, written[f"name{k}"]) == jpeg(k)
    # As after a kill: nothing was closed.
    images, unread = scan(make())
    assert {found.name: found.path for found in images} == written
    assert unread == []
    store.close()
    assert scan(make())[0] == images


def test_other_files_are_left_alone_and_leftovers_removed(tmp_path):
    store = FolderStore(tmp_path)
    path = tmp_path / store.write("a", image(0), {})
    notes = path.with_name("notes.txt")
    leftover = path.with_name(".part-b.jpg")
    leftover.mkdir()
    for file in (notes, leftover / "b.jpg"):
        file.write_text("x")
    assert [found.name for found in scan(store)[0]] == ["a"]
    assert notes.exists()
    assert not leftover.exists()


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_full_disk_leaves_no_half_image(tmp_path, monkeypatch, kind):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    store = FolderStore(tmp_path) if kind == "folder" else TarStore(tmp_path, 9)
    store.write("a", image(0), about("a"))
    with monkeypatch.context() as patched:
        if kind == "folder":
            patched.setattr(store_module.os, "replace", full)
        else:
            real = store._append
            patched.setattr(store, "_append", lambda content: (real(content[:700]), full()))
        with pytest.raises(OSError, match="No space"):
            store.write("b", image(1), about("b"))
    store.write("c", image(2), about("c"))
    store.close()
    assert not [path for path in tmp_path.rglob("*") if ".part-" in path.name]
    assert {found.name for found in scan(store)[0]} == {"a", "c"}


def test_shards_are_plain_tars_in_webdatasets_layout(tmp_path):
    store = TarStore(tmp_path, 2)
    for k in range(5):
        store.write(f"p{k}", image(k), about(f"p{k}"))
    store.close()
    shards = sorted((tmp_path / "shards").iterdir())
    assert [path.name for path in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    with tarfile.open(shards[1]) as archive:
        assert archive.getnames() == ["p2.jpg", "p2.json", "p3.jpg", "p3.json"]
        facts = json.load(archive.extractfile("p3.json"))
    assert facts == {**about("p3"), "width": 40, "height": 30, "bytes": len(jpeg(3))}
    assert all(path.read_bytes().endswith(bytes(1024)) for path in shards)


def test_full_shards_that_are_known_are_not_read_again(tmp_path):
    store = TarStore(tmp_path, 1)
    for k in range(4):
        store.write(f"p{k}", image(k), about(f"p{k}"))
    store.close()
    images, unread = scan(TarStore(tmp_path, 1), ["shards/00001.tar", "shards/00003.tar"])
    assert [found.name for found in images] == ["p0", "p2", "p3"]  # the last is always read
    assert unread == ["shards/00001.tar"]


def test_a_shard_that_was_ended_is_gone_on_with(tmp_path):
    for k in range(3):
        store = TarStore(tmp_path, 10)
        scan(store)
        store.write(f"p{k}", image(k), about(f"p{k}"))
        store.close()
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["00000.tar"]
    with tarfile.open(tmp_path / "shards" / "00000.tar") as archive:
        assert len(archive.getnames()) == 6


@pytest.fixture(scope="module")
def three_photos():
    """Bytes of a shard of three photos, and where each of them ends."""
    with tempfile.TemporaryDirectory() as root:
        store, ends = TarStore(Path(root), 10), [0]
        for k in range(3):
            store.write(f"p{k}", image(k), about(f"p{k}"))
            ends.append((Path(root) / "shards" / "00000.tar").stat().st_size)
        return (Path(root) / "shards" / "00000.tar").read_bytes(), ends


@given(data=st.data())
def test_a_tar_cut_anywhere_keeps_its_whole_photos(three_photos, data):
    content, ends = three_photos
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cut.tar").write_bytes(content[:cut])
        photos, end = whole_photos(Path(folder), "cut.tar")
    assert end == max(whole for whole in ends if whole <= cut)
    assert photos == [
        StoredImage(f"p{k}", f"cut.tar/p{k}.jpg", len(jpeg(k)), 40, 30)
        for k in range(ends.index(end))
    ]


def test_a_cut_shard_goes_on_after_its_last_whole_photo(three_photos, tmp_path):
    content, _ = three_photos
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "00000.tar").write_bytes(content[:-700])
    store = TarStore(tmp_path, 10)
    assert [found.name for found in scan(store)[0]] == ["p0", "p1"]
    store.write("p2", image(2), about("p2"))
    store.close()
    with tarfile.open(tmp_path / "shards" / "00000.tar") as archive:
        assert archive.getnames() == [f"p{k}.{kind}" for k in range(3) for kind in ("jpg", "json")]
        assert archive.extractfile("p2.jpg").read() == jpeg(2)


names_of_photos = st.text(st.characters(codec=None), max_size=300)


@given(names_of_photos)
@example("")
@example("../../etc/passwd")
@example("a/b\\c:d*e?f")
@example("photo.jpg")
@example("-rf")
@example("con")
@example("x" * 65)
@example("Żółw 鹿")
@example("\ud800")
@example("nul\x00byte")
def test_every_id_has_a_name_that_is_safe_everywhere(photo_id):
    name = safe_name(photo_id)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_~-]*", name)
    assert len(name) <= 80
    assert name not in ("con", "prn", "aux", "nul", "com1", "lpt9")
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}", folder_of(name))


@given(names_of_photos, names_of_photos)
@example("A", "a")
@example("é", "e\u0301")
@example("x" * 64, "x" * 65)
@example("a/b", "a-b")
def test_two_ids_have_two_names_where_case_is_ignored_too(one, other):
    names = {unicodedata.normalize("NFC", safe_name(key)).casefold() for key in (one, other)}
    assert len(names) == len({one, other})


def test_plain_ids_alone_are_their_own_names():
    for photo_id in ("2034871", "a", "0_b-c", "f" * 64):
        assert safe_name(photo_id) == photo_id
    name = safe_name("A")
    assert safe_name(name) != name  # no id that looks like the name takes it
