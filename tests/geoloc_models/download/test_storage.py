"""Both storages: what is written can be found again, whatever was cut off."""

import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from geoloc_models_download import jpeg
from hypothesis import given
from hypothesis import strategies as st

from geoloc_models.download import names, storage, tar_shards
from geoloc_models.download.index import CODE_OF_STATE, FOUND, OK, UNTRIED, PhotoIndex
from geoloc_models.download.record import State
from geoloc_models.download.storage import FolderStorage
from geoloc_models.download.tar_shards import TarStorage, read_whole_photos
from geoloc_models.download.verify import PreparedImage


def image(k, extension=".jpg"):
    return PreparedImage(jpeg(k), extension, 40, 30)


def about(name):
    return {"id": name, "url": f"http://a/{name}"}


def index_of(*photo_names):
    return PhotoIndex(lambda: [list(photo_names)])


@pytest.fixture(params=["folder", "tar"])
def make(request, tmp_path):
    return lambda: FolderStorage(tmp_path) if request.param == "folder" else TarStorage(tmp_path, 2)


def content_at(root, path):
    tar, dot_tar, member = path.partition(".tar/")
    if not dot_tar:
        return (root / path).read_bytes()
    with tarfile.open(root / f"{tar}.tar") as archive:
        return archive.extractfile(member).read()


def test_what_is_written_lies_at_its_path(make, tmp_path):
    store = make()
    for k, extension in enumerate([".jpg", ".png", ".heic"]):
        place, path = store.write(f"name{k}", image(k, extension), about(f"name{k}"))
        assert store.path_of(f"name{k}", place) == path
        assert store.places_of([path]).tolist() == [place]
        assert content_at(tmp_path, path) == jpeg(k)
    store.close()
    assert content_at(tmp_path, path) == jpeg(2)


def test_an_image_that_the_ledger_does_not_know_is_found(make):
    store = make()
    for k, name in enumerate("ab"):
        store.write(name, image(k), about(name))
    # As after a kill: nothing was closed.
    index = index_of("a", "b", "c")
    again = make()
    a, b, c = index.positions(["a", "b", "c"])
    index.state[a], index.place[a] = OK, again.places_of([store.path_of("a", 0)])[0]
    index.state[b] = CODE_OF_STATE[State.FAILED]
    assert again.survey(index) == 0
    assert index.state[[a, b, c]].tolist() == [OK, FOUND, UNTRIED]
    found = again.look("b", index.place[b])
    assert (found.bytes, found.width, found.height) == (len(jpeg(1)), 40, 30)
    assert found.path == again.path_of("b", index.place[b])


def test_an_image_that_is_not_there_any_more_is_noticed(make, tmp_path):
    store = make()
    places = [store.write(name, image(0), about(name))[0] for name in "abc"]
    store.close()
    index = index_of(*"abc")
    position = index.positions(["a", "b", "c"])
    index.state[position], index.place[position] = OK, places
    path = store.path_of("a", places[0])
    (tmp_path / path.partition("/a.jpg")[0]).unlink() if ".tar" in path else (
        tmp_path / path
    ).unlink()
    assert make().survey(index) == (2 if ".tar" in path else 1)
    assert index.state[position[0]] == UNTRIED
    assert index.state[position[2]] == OK


def test_leftovers_and_strange_files_in_the_tree_do_no_harm(tmp_path):
    store = FolderStorage(tmp_path)
    _, path = store.write("a", image(0), about("a"))
    folder = (tmp_path / path).parent
    (folder / ".part-b.jpg").write_bytes(b"half")
    (folder / "readme.txt").write_text("mine")
    (folder / "c.jpg").mkdir()
    (tmp_path / "zz").mkdir()
    (tmp_path / "ab").mkdir(exist_ok=True)
    (tmp_path / "ab" / "note").write_text("mine")
    index = index_of("a", "b", "c")
    FolderStorage(tmp_path).survey(index)
    assert not (folder / ".part-b.jpg").exists()
    assert (folder / "readme.txt").exists()
    a, b, _ = index.positions(["a", "b", "c"])
    assert index.state[[a, b]].tolist() == [FOUND, UNTRIED]


def test_a_file_that_is_no_image_is_not_taken_for_one(tmp_path):
    store = FolderStorage(tmp_path)
    store.write("a", PreparedImage(b"", ".jpg", 1, 1), about("a"))
    assert store.look("a", 0) is None
    assert store.look("b", 0) is None


def test_a_write_that_fails_leaves_nothing_half_done(make, tmp_path, monkeypatch):
    store = make()
    store.write("a", image(0), about("a"))
    real = tar_shards._WholeWrites.write

    def full(self, content):
        real(self, content[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tar_shards._WholeWrites, "write", full)
    monkeypatch.setattr(storage.os, "replace", lambda *_: _full())
    with pytest.raises(OSError, match="No space"):
        store.write("b", image(1), about("b"))
    monkeypatch.undo()
    index = index_of("a", "b")
    make().survey(index)
    assert index.state[index.positions(["a", "b"])].tolist() == [FOUND, UNTRIED]
    assert not [path for path in tmp_path.rglob("*") if ".part-" in path.name]
    store.write("b", image(1), about("b"))
    index = index_of("a", "b")
    make().survey(index)
    assert (index.state == FOUND).all()


def _full():
    raise OSError(28, "No space left on device")


def test_shards_are_plain_tars_in_webdatasets_layout(tmp_path):
    store = TarStorage(tmp_path, 2)
    for k in range(5):
        store.write(f"p{k}", image(k), {**about(f"p{k}"), "latitude": 47.5})
    store.close()
    shards = sorted((tmp_path / "shards").iterdir())
    assert [path.name for path in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    with tarfile.open(shards[1]) as archive:
        assert archive.getnames() == ["p2.jpg", "p2.json", "p3.jpg", "p3.json"]
        facts = json.load(archive.extractfile("p3.json"))
    assert facts == {
        "id": "p3",
        "url": "http://a/p3",
        "latitude": 47.5,
        "width": 40,
        "height": 30,
        "bytes": len(jpeg(3)),
    }
    assert all(path.read_bytes().endswith(bytes(1024)) for path in shards)


def test_a_shard_that_was_ended_is_gone_on_with(tmp_path):
    for k in range(3):
        store = TarStorage(tmp_path, 10)
        store.survey(index_of("x"))
        store.write(f"p{k}", image(k), about(f"p{k}"))
        store.close()
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["00000.tar"]
    with tarfile.open(tmp_path / "shards" / "00000.tar") as archive:
        assert len(archive.getnames()) == 6


@pytest.fixture(scope="module")
def three_photos():
    """Bytes of a shard of three photos, and where each of them ends."""
    with tempfile.TemporaryDirectory() as root:
        store, ends = TarStorage(Path(root), 10), [0]
        for k in range(3):
            store.write(f"p{k}", image(k), about(f"p{k}"))
            ends.append((Path(root) / "shards" / "00000.tar").stat().st_size)
        return (Path(root) / "shards" / "00000.tar").read_bytes(), ends


@given(data=st.data())
def test_a_tar_cut_anywhere_keeps_its_whole_photos(three_photos, data):
    content, ends = three_photos
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cut.tar")
        path.write_bytes(content[:cut])
        photos, end = read_whole_photos(path)
    assert end == max(whole for whole in ends if whole <= cut)
    assert [name for name, _, _ in photos] == ["p0", "p1", "p2"][: ends.index(end)]


def test_a_cut_shard_goes_on_after_its_last_whole_photo(three_photos, tmp_path):
    content, _ = three_photos
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "00000.tar").write_bytes(content[:-700])
    store = TarStorage(tmp_path, 10)
    index = index_of("p0", "p1", "p2")
    position = index.positions(["p0", "p1", "p2"])
    index.state[position] = OK  # as a ledger would have it that outlived a power cut
    assert store.survey(index) == 1
    assert index.state[position].tolist() == [OK, OK, UNTRIED]
    store.write("p2", image(2), about("p2"))
    store.close()
    with tarfile.open(tmp_path / "shards" / "00000.tar") as archive:
        assert archive.getnames() == [f"p{k}.{kind}" for k in range(3) for kind in ("jpg", "json")]
        assert archive.extractfile("p2.jpg").read() == jpeg(2)


def test_shards_of_a_lost_ledger_are_read_again(tmp_path):
    store = TarStorage(tmp_path, 1)
    for k in range(4):
        store.write(f"p{k}", image(k), about(f"p{k}"))
    index = index_of("p0", "p1", "p2", "p3")
    again = TarStorage(tmp_path, 1)
    assert again.survey(index) == 0
    assert (index.state == FOUND).all()
    assert {again.look(f"p{k}", 0).path for k in range(4)} == {
        f"shards/0000{k}.tar/p{k}.jpg" for k in range(4)
    }


def test_folders_come_from_the_name(tmp_path):
    _, path = FolderStorage(tmp_path).write("2034871", image(0), {})
    assert path == f"{names.folder_of('2034871')}/2034871.jpg"
