"""Feature caches: aligned by key, refused when damaged or mixed, read in batches."""

import json

import numpy as np
import pytest
import torch
from fresh_process import loaded_by

from geoloc_models.errors import GeolocError
from geoloc_models.features import batches
from geoloc_models.features import cache_writer as feature_writer_module
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.features.cache import FeatureCache, FeatureCard, hash_keys, row_keys
from geoloc_models.features.cache_writer import FeatureWriter
from geoloc_models.tables.photo_table import PhotoTable

KEYS = [f"photo {k}" for k in range(10)]
VALUES = np.arange(30, dtype=np.float32).reshape(10, 3)


def card(dtype="float32", **change):
    values = {
        "encoder": "tiny",
        "fingerprint": "0123456789abcdef",
        "preprocessing": {"image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
        "dim": 3,
        "dtype": dtype,
        "n_rows": 1,
        "keys_digest": "",
        "precision": "32",
        **change,
    }
    return FeatureCard(**values)


def make_cache(path, *, broken=(), pending=(), keys=KEYS, dtype="float32"):
    with FeatureWriter(path, keys, card(dtype)) as writer:
        rows = [row for row in range(len(keys)) if row not in {*broken, *pending}]
        writer.write(rows, VALUES[rows])
        writer.mark_broken([(row, f"{row}.jpg: is, alas, not an image") for row in broken])
    return FeatureCache.open(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "features.npy"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_was_written_is_read(path, dtype):
    cache = make_cache(path, dtype=dtype)
    assert cache.features.dtype == dtype
    np.testing.assert_array_equal(cache.features, VALUES)
    assert (len(cache), cache.dim, cache.n_pending) == (10, 3, 0)
    assert cache.card.preprocessing["image_size"] == 32
    np.testing.assert_array_equal(np.load(path), VALUES)  # a plain array to other programs
    with pytest.raises(ValueError, match="read-only"):
        cache.features[0, 0] = 1


def test_only_the_named_files_are_left_behind(path):
    make_cache(path, broken=[1])
    names = {"features.npy", "features.json", "features.keys.npy", "features.state.npy"}
    left = {file.name for file in path.parent.iterdir() if not file.name.startswith(".")}
    assert left == names | {"features.broken.csv"}


def test_a_subset_in_another_order_is_aligned(path):
    cache = make_cache(path)
    wanted = ["photo 7", "photo 0", "photo 7", "photo 9"]
    rows = cache.rows_of(wanted)
    assert rows.tolist() == [7, 0, 7, 9]
    np.testing.assert_array_equal(cache.gather(rows), VALUES[[7, 0, 7, 9]])
    assert cache.rows_of(KEYS).tolist() == list(range(10))
    assert cache.rows_of([]).tolist() == []


def test_equal_keys_share_the_first_ones_row(tmp_path):
    cache = make_cache(tmp_path / "f.npy", keys=["a", "b", "a"])
    assert cache.rows_of(["b", "a"]).tolist() == [1, 0]


def test_photos_that_are_not_there_are_named(path):
    cache = make_cache(path)
    words = r"2 of 3 photos are not in .*features\.npy \(first: 'new'\); run geoloc embed"
    with pytest.raises(GeolocError, match=words):
        cache.rows_of(["photo 1", "new", "newer"])


def test_a_number_is_the_key_that_its_digits_are():
    assert hash_keys([12, 7]).tolist() == hash_keys(np.array(["12", "7"])).tolist()
    with pytest.raises(GeolocError, match="row 1 has none"):
        hash_keys(["a", None])


def test_hashes_of_keys_stay_from_release_to_release():
    assert hash_keys(["photo 1"]).tolist() == [8932283364980886559]  # caches on disks hold it


def test_a_photos_key_is_its_id_or_else_its_path_or_else_its_place():
    table = PhotoTable.from_arrays([[1.5, 2.0]], ["SE"])
    assert row_keys(table).tolist() == ["1.5,2.0"]
    table = PhotoTable.from_arrays([[1.5, 2.0]], ["SE"], paths=["a.jpg"])
    assert row_keys(table).tolist() == ["a.jpg"]
    assert row_keys(PhotoTable(table.frame.assign(id=[17]))).tolist() == ["17"]


def test_repeated_ids_are_refused():
    table = PhotoTable.from_arrays([[1, 2], [3, 4], [5, 6]], ["SE"] * 3)
    with pytest.raises(GeolocError, match=r"1 of 3 rows.*row 2 that of row 0, 'a'"):
        row_keys(PhotoTable(table.frame.assign(id=["a", "b", "a"])))


def test_pending_rows_remain_for_the_next_writer(path):
    cache = make_cache(path, pending=[2, 5], broken=[3])
    assert cache.n_pending == 2
    cache.require_finished([0, 3, 9])
    with pytest.raises(GeolocError, match=r"2 of 10 photos.*have no features yet"):
        cache.require_finished()
    with FeatureWriter(path, KEYS, card()) as writer:
        assert writer.pending_rows().tolist() == [2, 5]
        writer.write([5, 2], VALUES[[5, 2]])
    cache = FeatureCache.open(path)
    cache.require_finished()
    whole = [row for row in range(10) if row != 3]
    np.testing.assert_array_equal(cache.features[whole], VALUES[whole])


def test_rows_are_pending_until_they_are_flushed(path):
    with FeatureWriter(path, KEYS, card()) as writer:
        writer.write([0, 1], VALUES[:2])
        assert FeatureCache.open(path).n_pending == 10
        writer.flush()
        assert FeatureCache.open(path).n_pending == 8


def test_broken_rows_keep_their_reason_and_can_be_tried_again(path):
    cache = make_cache(path, broken=[1, 4])
    assert cache.broken_rows.tolist() == [1, 4]
    assert cache.broken_reasons[4] == "4.jpg: is, alas, not an image"
    with FeatureWriter(path, KEYS, card()) as writer:
        assert writer.pending_rows().tolist() == []
        writer.retry_broken()
        assert writer.pending_rows().tolist() == [1, 4]
        writer.write([1], VALUES[[1]])
        writer.mark_broken([(4, "still")])
    assert FeatureCache.open(path).broken_reasons == {4: "still"}


@pytest.mark.parametrize("left", ["6,half a rea", "6,not yet marked\n"])
def test_what_a_kill_left_of_the_list_of_broken_rows_is_passed_over(path, left):
    make_cache(path, broken=[1], pending=[6])
    listed = path.with_name("features.broken.csv")
    before = listed.read_text()
    listed.write_text(before + left)
    with FeatureWriter(path, KEYS, card()) as writer:
        writer.mark_broken([(6, "whole")])
    assert FeatureCache.open(path).broken_reasons[6] == "whole"
    assert listed.read_text() == before + "6,whole\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fingerprint": "other"}, "holds features of tiny at 32 pixels.*not of tiny.*other"),
        ({"dim": 4}, "begun with dim 3, not 4"),
        ({"dtype": "float16"}, "begun with dtype float32, not float16"),
        ({"precision": "bf16"}, "begun with precision 32, not bf16"),
        ({"preprocessing": {"image_size": 33}}, "begun with preprocessing"),
    ],
)
def test_another_encoder_is_not_mixed_in(path, change, words):
    make_cache(path, pending=[2])
    with pytest.raises(GeolocError, match=words):
        FeatureWriter(path, KEYS, card(**change))
    FeatureWriter(path, KEYS, card()).close()  # the lock was released


def test_other_photos_are_not_mixed_in(path):
    make_cache(path)
    for keys in (KEYS[:-1], KEYS[::-1]):
        with pytest.raises(GeolocError, match=r"made of other photos \(10, now"):
            FeatureWriter(path, keys, card())
    with FeatureWriter(path, KEYS[:-1], card(), resume=False) as writer:
        assert len(writer.pending_rows()) == 9


def test_readers_ask_for_their_encoder(path):
    cache = make_cache(path)
    cache.require_encoder("0123456789abcdef")
    with pytest.raises(GeolocError, match="not of tiny at 64 pixels"):
        cache.require_encoder("feed", title="tiny at 64 pixels")


def damage_card(path, **change):
    sidecar = path.with_name("features.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | change))


def cut(path, name, n_bytes):
    file = path.with_name(name)
    file.write_bytes(file.read_bytes()[:n_bytes])


DAMAGES = {
    "short features": (lambda path: cut(path, "features.npy", 180), "is damaged"),
    "no header": (lambda path: cut(path, "features.npy", 5), "is damaged"),
    "empty features": (lambda path: cut(path, "features.npy", 0), "is damaged"),
    "short state": (lambda path: cut(path, "features.state.npy", 130), "is damaged"),
    "short keys": (lambda path: cut(path, "features.keys.npy", 140), "is damaged"),
    "no state": (
        lambda path: path.with_name("features.state.npy").unlink(),
        r"is incomplete: .*state\.npy is missing",
    ),
    "no card": (
        lambda path: path.with_name("features.json").unlink(),
        r"features\.json is missing.*geoloc embed",
    ),
    "other keys": (
        lambda path: np.save(path.with_name("features.keys.npy"), hash_keys(KEYS)[::-1]),
        "two caches mixed",
    ),
    "other shape": (lambda path: np.save(path, VALUES[:, :2]), "two caches mixed"),
    "impossible state": (
        lambda path: np.save(path.with_name("features.state.npy"), np.full(10, 7, np.uint8)),
        "unknown states",
    ),
    "pickled objects": (
        lambda path: np.save(path, np.array([print] * 10, dtype=object), allow_pickle=True),
        "is damaged",
    ),
    "card is garbled": (lambda path: damage_card(path, n_rows="many"), "is incomplete or damaged:"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_in_one_sentence(path, damage):
    make_cache(path)
    harm, words = DAMAGES[damage]
    harm(path)
    with pytest.raises(GeolocError, match=words) as caught:
        FeatureCache.open(path)
    assert "\n" not in str(caught.value)


def test_a_missing_cache_says_how_to_make_one(tmp_path):
    with pytest.raises(GeolocError, match=r"There is no feature cache.*geoloc embed"):
        FeatureCache.open(tmp_path / "features.npy")
    with pytest.raises(GeolocError, match=r"got features\.bin"):
        FeatureCache.open(tmp_path / "features.bin")


def test_a_kill_while_the_files_are_made_leaves_none_that_opens(path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_writer_module, "write_record", killed)
    with pytest.raises(KeyboardInterrupt):
        FeatureWriter(path, KEYS, card())
    monkeypatch.undo()
    with pytest.raises(GeolocError, match=r"features\.json is missing"):
        FeatureCache.open(path)
    assert make_cache(path).n_pending == 0


def test_a_second_writer_is_refused_while_the_first_one_writes(path):
    words = r"Another process is writing .*features\.npy"
    with FeatureWriter(path, KEYS, card()), pytest.raises(BlockingIOError, match=words):
        FeatureWriter(path, KEYS, card())
    FeatureWriter(path, KEYS, card()).close()


@pytest.mark.parametrize("value", [np.nan, np.inf, 70_000.0])
def test_numbers_that_do_not_fit_are_refused(path, value):
    with (
        FeatureWriter(path, KEYS, card("float16")) as writer,
        pytest.raises(GeolocError, match=r"feature of row 4 .*not finite in float16"),
    ):
        writer.write([3, 4], [[0, 0, 0], [0, value, 0]])
    assert FeatureCache.open(path).n_pending == 10


def test_a_full_disk_is_told_before_anything_is_computed(path, monkeypatch):
    def full(descriptor, offset, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_writer_module.os, "posix_fallocate", full)
    with pytest.raises(GeolocError, match=r"no room on the disk.*0\.00 GB.*No space left"):
        FeatureWriter(path, KEYS, card())
    assert not path.exists()


def test_an_array_that_is_no_cache_is_not_replaced_by_accident(path):
    path.parent.mkdir()
    np.save(path, np.arange(12.0))
    with pytest.raises(GeolocError, match=r"no feature cache: features\.json is missing"):
        FeatureWriter(path, KEYS, card())
    np.testing.assert_array_equal(np.load(path), np.arange(12.0))
    with FeatureWriter(path, KEYS, card(), resume=False) as writer:
        assert len(writer.pending_rows()) == len(KEYS)


def test_an_empty_cache_is_refused(path):
    with pytest.raises(GeolocError, match="0 x 3"):
        FeatureWriter(path, [], card())
    with pytest.raises(GeolocError, match=r"float32 or float16.*float64"):
        card(dtype="float64")


def test_reading_a_cache_needs_no_torch(path):
    make_cache(path)
    code = "from geoloc_models.features.cache import FeatureCache; "
    assert loaded_by(f"{code}FeatureCache.open({str(path)!r}).gather([2])", ["torch"]) == []


def make_dataset(path, *, rows=None, **options):
    cache = make_cache(path, broken=[3], **options)
    n = len(KEYS)
    coords = np.column_stack([np.arange(n) / 2, np.arange(n) * 3.0])
    return FeatureDataset(
        cache,
        KEYS[::-1],  # the table has another order than the cache
        coords,
        np.arange(n) % 2,
        cell_labels=np.arange(n) * 10,
        rows=rows,
    )


@pytest.mark.parametrize("memory", [0, 1 << 20])  # read from the file, or copied
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_batch_holds_features_and_labels_of_the_tables_rows(path, memory, dtype, monkeypatch):
    monkeypatch.setattr(batches, "_IN_MEMORY_BYTES", memory)
    dataset = make_dataset(path, rows=[0, 2, 6, 5], dtype=dtype)
    assert (len(dataset), dataset.dim) == (4, 3)
    first, second = dataset[[3, 2]], dataset[[0]]
    assert first["image"].dtype == torch.float32
    assert first["image"].tolist() == [VALUES[4].tolist()]  # table row 5 is cache row 4
    assert first["coords"].dtype == torch.float64
    assert first["coords"].tolist() == [[2.5, 15.0]]
    for key, value in {"country": 1, "cell": 50, "row": 5}.items():
        assert first[key].dtype == torch.int64
        assert first[key].tolist() == [value]
    assert first["broken"] == [(6, "3.jpg: is, alas, not an image")]
    assert second["image"].tolist() == [VALUES[9].tolist()]
    assert second["row"].tolist() == [0]
    assert second["broken"] == []
    assert dataset.broken == first["broken"]


def test_an_epoch_holds_every_whole_row_once(tmp_path):
    dataset = make_dataset(tmp_path / "f.npy")
    batches = dataset.batches(batch_size=4)
    assert len(batches) == 3
    expected = [[0, 1, 2, 3], [4, 5, 7], [8, 9]]
    assert [batch["row"].tolist() for batch in batches] == expected
    assert [batch["row"].tolist() for batch in batches] == expected  # again, in the next epoch


def test_batches_of_a_dataset_on_a_device_are_made_there(tmp_path):
    dataset = make_dataset(tmp_path / "memory.npy").to("meta")
    (batch,) = dataset.batches(batch_size=len(dataset))
    assert {values.device.type for values in batch.values() if torch.is_tensor(values)} == {"meta"}


def test_a_batch_of_broken_images_only_is_empty(tmp_path):
    (batch,) = make_dataset(tmp_path / "f.npy", rows=[6]).batches()
    assert batch["image"].shape == (0, 3)
    assert batch["coords"].shape == (0, 2)
    assert len(batch["broken"]) == 1


def test_a_dataset_needs_the_features_of_its_own_rows_alone(tmp_path):
    assert len(make_dataset(tmp_path / "f.npy", pending=[0], rows=[1, 2])) == 2  # 0 is table row 9
    with pytest.raises(GeolocError, match=r"1 of 2 photos.*have no features yet"):
        make_dataset(tmp_path / "g.npy", pending=[0], rows=[9, 2])
