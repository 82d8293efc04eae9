"""Own photos become a table: which files count, where their coordinates come from."""

import json
import os
import tarfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from geoloc_models_photos import encoded, gps_exif, noise, write_tar

from geoloc_models.errors import GeolocError
from geoloc_models.photos.folders import scan_photos, unique_ids
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.photo_table import read_photo_table

ZURICH, STOCKHOLM, SYDNEY = (47.3769, 8.5417), (59.3293, 18.0686), (-33.87, 151.21)
COLUMNS = ["id", "path", "latitude", "longitude", "country", "time", "width", "height"]


def save(path, place=None, *, size=(12, 8), kind=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = gps_exif(*(place or (None, None)), **options)
    noise(*size).save(path, kind, exif=exif)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    save(folder / "b.jpg", ZURICH, time="2019:07:01 12:34:56", offset="+02:00", orientation=6)
    save(folder / "trip" / "a.png", STOCKHOLM)
    return folder


def test_a_photo_becomes_a_row(photos):
    frame = scan_photos(photos).frame
    images = FileImages(frame["path"].tolist(), photos)
    assert frame.columns.tolist() == COLUMNS
    assert frame["id"].tolist() == ["b", "trip/a"]
    assert frame["path"].tolist() == ["b.jpg", "trip/a.png"]
    np.testing.assert_allclose(frame[["latitude", "longitude"]], [ZURICH, STOCKHOLM], atol=1e-7)
    assert frame["country"].tolist() == ["CH", "SE"]
    assert frame["time"][0] == "2019-07-01T12:34:56+02:00"
    assert frame["time"].isna().tolist() == [False, True]
    sizes = list(zip(frame["width"], frame["height"], strict=True))
    assert sizes == [(8, 12), (12, 8)]  # the first one is turned
    assert sizes == [images.load(row).size for row in range(2)]


def test_paths_start_from_the_tables_folder(photos, tmp_path):
    assert scan_photos(photos, root=tmp_path).frame["path"][0] == "photos/b.jpg"
    elsewhere = tmp_path / "tables"
    elsewhere.mkdir()
    scan_photos(photos, root=elsewhere).save(elsewhere / "photos.parquet")
    table = read_photo_table(elsewhere / "photos.parquet")
    images = FileImages(table.frame["path"].tolist())
    assert images.load(1).size == (12, 8)


def test_photos_are_told_by_content_not_by_name(photos):
    save(photos / "no_suffix", ZURICH, kind="JPEG")
    save(photos / "really.txt", ZURICH, kind="PNG")
    (photos / "notes.md").write_text("no photo")
    (photos / "video.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    (photos / "wrong.jpg").write_text("no photo, for all its name")
    (photos / "empty.png").write_bytes(b"")
    index = scan_photos(photos)
    assert index.frame["id"].tolist() == ["b", "no_suffix", "really", "trip/a"]
    assert index.n_other_files == 2
    assert index.unreadable["path"].tolist() == ["empty.png", "wrong.jpg"]
    assert index.unreadable["reason"].str.contains("not an image").all()


def test_raw_files_are_not_taken_for_their_previews(photos):
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1  # a reduced version of another image, as in DNG and NEF
    noise(16, 12).save(photos / "raw.dng", "TIFF", tiffinfo=tags)
    index = scan_photos(photos)
    assert index.n_photos == 2
    assert index.unreadable["reason"].tolist() == [
        "is a raw file, of which only a preview can be read"
    ]


def test_hidden_files_pipes_and_programs_own_folders_are_left_out(photos):
    save(photos / ".hidden.jpg", ZURICH)
    save(photos / ".trash" / "a.jpg", ZURICH)
    save(photos / "@eaDir" / "a.jpg", ZURICH)
    os.mkfifo(photos / "pipe.jpg")
    assert len(scan_photos(photos).frame) == 2


def test_tar_shards_are_gone_through(photos):
    photo = encoded(noise(10, 10), exif=gps_exif(*SYDNEY))
    files = {"x.jpg": photo, "x.json": b"{}", "._x.jpg": b""}
    write_tar(photos / "shards" / "00012.tar", files)
    index = scan_photos(photos)
    assert index.frame["id"].tolist()[1] == "shards/00012.tar/x"
    assert index.frame["path"].tolist()[1] == "shards/00012.tar/x.jpg"
    assert index.frame["country"].tolist() == ["CH", "AU", "SE"]
    assert index.n_other_files == 1
    assert FileImages(index.frame["path"].tolist(), photos).load(1).size == (10, 10)


def test_a_truncated_tar_is_listed_and_its_whole_photos_kept(photos):
    content = encoded(noise(40, 40), exif=gps_exif(*SYDNEY))
    tar = write_tar(photos / "0.tar", {"x.jpg": content, "y.jpg": content})
    with tarfile.open(tar) as whole:
        os.truncate(tar, whole.getmember("y.jpg").offset_data + 1000)
    index = scan_photos(photos)
    assert "0.tar/x" in index.frame["id"].tolist()
    assert index.unreadable["path"].tolist() == ["0.tar", "0.tar/y.jpg"]
    assert index.unreadable["reason"].str.contains("truncated").all()


# Links.


def test_links_that_run_in_a_circle_end(photos):
    (photos / "trip" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "self").symlink_to(photos / "self")
    index = scan_photos(photos)
    assert index.frame["id"].tolist() == ["b", "trip/a"]
    assert index.unreadable["path"].tolist() == ["self"]


def test_a_photo_reached_twice_is_listed_once_by_its_own_name(photos):
    (photos / "a_link.jpg").symlink_to(photos / "b.jpg")
    (photos / "a_folder").symlink_to(photos / "trip", target_is_directory=True)
    os.link(photos / "b.jpg", photos / "c_twin.jpg")
    assert scan_photos(photos).frame["id"].tolist() == ["b", "trip/a"]


def test_links_to_elsewhere_are_followed(photos, tmp_path):
    save(tmp_path / "elsewhere" / "z.jpg", SYDNEY)
    (photos / "there").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert scan_photos(photos).frame["id"].tolist() == ["b", "there/z", "trip/a"]


# Ids.


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a.jpg", "b/a.jpg"], ["a", "b/a"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg", "a.jpg.png", "a.png"]),
        (["a"], ["a"]),
        (["1.2.jpg"], ["1.2"]),
        ([], []),
    ],
)
def test_ids_are_names_without_suffix_as_far_as_they_are_unique(names, ids):
    assert unique_ids(names) == ids


# Photos without coordinates, and coordinates from a table.


def test_photos_without_coordinates_are_counted_and_kept_on_request_only(photos):
    save(photos / "nowhere.jpg")
    index = scan_photos(photos)
    assert (index.n_photos, index.n_from_exif) == (3, 2)
    assert index.without_position["path"].tolist() == ["nowhere.jpg"]
    assert "nowhere" not in index.frame["id"].tolist()
    frame = scan_photos(photos, keep_unplaced=True).frame.set_index("id")
    assert frame.loc["nowhere", ["latitude", "longitude", "country"]].isna().all()
    assert frame.loc["b", "country"] == "CH"


@pytest.mark.parametrize("key", ["id", "path", "absolute", "from_table"])
def test_a_table_of_coordinates_goes_before_exif_data(photos, tmp_path, key):
    save(photos / "nowhere.jpg")
    names = {
        "id": ("id", ["b", "nowhere"]),
        "path": ("path", ["./b.jpg", "nowhere.jpg"]),
        "absolute": ("path", [str(photos / "b.jpg"), str(photos / "nowhere.jpg")]),
        "from_table": ("path", ["photos/b.jpg", "photos/nowhere.jpg"]),
    }
    column, values = names[key]
    table = pd.DataFrame({column: values, "latitude": -33.87, "longitude": 151.21})
    table.to_csv(tmp_path / "where.csv", index=False)
    index = scan_photos(photos, coordinates=tmp_path / "where.csv")
    assert index.frame["country"].tolist() == ["AU", "AU", "SE"]
    assert (index.n_from_table, index.n_from_exif, index.n_unmatched) == (2, 1, 0)


def test_a_parquet_table_with_numbers_as_ids_is_matched(tmp_path):
    save(tmp_path / "photos" / "17.jpg")
    pd.DataFrame({"id": [17, 18], "latitude": [47.0, 1.0], "longitude": [8.0, 1.0]}).to_parquet(
        tmp_path / "where.parquet"
    )
    index = scan_photos(tmp_path / "photos", coordinates=tmp_path / "where.parquet")
    assert index.frame["latitude"].tolist() == [47.0]
    assert index.n_unmatched == 1


def test_other_columns_of_the_table_are_handed_through(photos, tmp_path):
    place = {"latitude": [-16.52, 1.0], "longitude": [146.0, 1.0], "country": ["AU", "SE"]}
    more = {"user": ["007", "x"], "rating": pd.array([3, None], dtype="Int64"), "width": [1, 1]}
    given = pd.DataFrame({"id": ["b", "gone"], **place, **more})
    given.to_parquet(tmp_path / "where.parquet", index=False)
    scan = scan_photos(photos, coordinates=tmp_path / "where.parquet")
    scan.save(tmp_path / "photos.parquet")
    rows = pq.read_table(tmp_path / "photos.parquet")
    assert rows.schema.field("rating").type == pa.int64()
    placed = next(row for row in rows.to_pylist() if row["id"] == "b")
    assert (placed["user"], placed["rating"], placed["country"]) == ("007", 3, "AU")
    assert placed["width"] > 1  # the photo's own
    others = [row for row in rows.to_pylist() if row["id"] != "b"]
    assert {row["user"] for row in others} == {None}
    assert None not in {row["country"] for row in others}


def test_a_row_without_coordinates_leaves_the_photos_own(photos, tmp_path):
    (tmp_path / "where.csv").write_text("id,latitude,longitude\nb,,\n")
    index = scan_photos(photos, coordinates=tmp_path / "where.csv")
    assert index.frame["country"].tolist() == ["CH", "SE"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,latitude\nb,1\n", "no column 'longitude'"),
        ("name,latitude,longitude\nb,1,1\n", "no column id or path"),
        ("id,latitude,longitude\nb,95,1\n", "Latitude.*row 1, 95"),
        ("id,latitude,longitude\nc,,\nb,1,999\n", "Longitude.*row 2, 999"),
        ("id,latitude,longitude\nb,north,1\n", "'latitude' must hold numbers.*row 1, 'north'"),
        ("id,latitude,longitude\nb,1,1\nb,2,2\n", r"different coordinates for one photo \(b\)"),
        ("", "is empty"),
    ],
)
def test_an_unfit_table_of_coordinates_is_refused(photos, tmp_path, content, words):
    (tmp_path / "where.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        scan_photos(photos, coordinates=tmp_path / "where.csv")
    with pytest.raises(ValueError, match=r"no file .*none\.csv"):
        scan_photos(photos, coordinates=tmp_path / "none.csv")


# Google Takeout.


def sidecar(path, place=(0.0, 0.0)):
    place = {"latitude": place[0], "longitude": place[1], "altitude": 0.0}
    time = {"timestamp": "1561977296"}
    content = {"title": "a name", "geoData": place, "photoTakenTime": time}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("a.jpg", "a.jpg.json"),
        ("a.jpg", "a.jpg.supplemental-metadata.json"),
        ("a.b.jpg", "a.b.jpg.supplemental-met.json"),
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("trip/a.jpg", "trip/a.jpg.json"),
    ],
)
def test_a_takeout_sidecar_places_its_photo(tmp_path, photo, name):
    save(tmp_path / photo)
    sidecar(tmp_path / name, SYDNEY)
    scan = scan_photos(tmp_path)
    assert scan.frame["country"].tolist() == ["AU"]
    assert scan.frame["time"].tolist() == ["2019-07-01T10:34:56+00:00"]
    assert (scan.n_from_exif, scan.n_from_sidecar, scan.n_other_files) == (0, 1, 1)


def test_exif_data_go_before_a_takeout_sidecar(photos):
    sidecar(photos / "b.jpg.json", SYDNEY)
    sidecar(photos / "trip" / "a.png.json", SYDNEY)
    scan = scan_photos(photos)
    assert scan.frame["country"].tolist() == ["CH", "SE"]
    assert scan.frame["time"].tolist() == ["2019-07-01T12:34:56+02:00", "2019-07-01T10:34:56+00:00"]
    assert (scan.n_from_exif, scan.n_from_sidecar) == (2, 0)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"geoData": 3}', '{"geoData": {"latitude": "x"}}']
)
def test_other_json_files_say_nothing(photos, content):
    save(photos / "c.jpg")
    (photos / "c.jpg.json").write_text(content)
    scan = scan_photos(photos)
    assert scan.without_position["path"].tolist() == ["c.jpg"]
    sidecar(photos / "c.jpg.json", (0.0, 0.0))
    assert scan_photos(photos).without_position["path"].tolist() == ["c.jpg"]


def test_a_table_of_photos_at_sea_has_columns_of_text(tmp_path):
    save(tmp_path / "sea.jpg", (0.0, -30.0))
    scan = scan_photos(tmp_path)
    assert scan.frame["country"].isna().all()
    scan.save(tmp_path / "photos.parquet")
    schema = pq.read_schema(tmp_path / "photos.parquet")
    types = [str(schema.field(name).type) for name in COLUMNS]
    assert types == ["string"] * 2 + ["double"] * 2 + ["string"] * 2 + ["int64"] * 2


# Nothing to index.


def test_folders_without_photos_are_refused_in_a_sentence(tmp_path):
    for file, scanned, words in (
        (None, tmp_path, "There are no files"),
        ("notes.txt", tmp_path, "no photo among the 1 files"),
        ("a.jpg", tmp_path, r"can be read.*a\.jpg, is not an image"),
        (None, tmp_path / "a.jpg", "is a file"),
        (None, tmp_path / "none", "There is no folder"),
    ):
        if file is not None:
            (tmp_path / file).write_text("x")
        with pytest.raises(GeolocError, match=words):
            scan_photos(scanned)


def test_photos_without_any_gps_position_are_refused_in_a_sentence(tmp_path):
    save(tmp_path / "photos" / "a.jpg")
    with pytest.raises(GeolocError, match=r"only photo .* does not say where.*--coordinates"):
        scan_photos(tmp_path / "photos")
    save(tmp_path / "photos" / "b.jpg")
    with pytest.raises(GeolocError, match="None of the 2 photos"):
        scan_photos(tmp_path / "photos")
    assert len(scan_photos(tmp_path / "photos", keep_unplaced=True).frame) == 2
    (tmp_path / "where.csv").write_text("id,latitude,longitude\nz,1,1\n")
    with pytest.raises(GeolocError, match=r"where\.csv names none of them"):
        scan_photos(tmp_path / "photos", coordinates=tmp_path / "where.csv")


def test_many_photos_come_in_order(tmp_path):
    for k in range(150):
        save(tmp_path / f"{k:03d}.png", (k / 2, k / 2), size=(2, 2))
    latitudes = scan_photos(tmp_path).frame["latitude"]
    assert latitudes.tolist() == pytest.approx(np.arange(1, 150) / 2)  # 0, 0 is no position


def test_lists_of_an_earlier_run_do_not_stay(photos, tmp_path):
    save(photos / "nowhere.jpg")
    lists = scan_photos(photos).save(tmp_path / "photos.parquet")
    assert [path.name for path in lists] == ["without_position.csv"]
    (photos / "nowhere.jpg").unlink()
    assert scan_photos(photos).save(tmp_path / "photos.parquet") == []
    assert not (tmp_path / "without_position.csv").exists()
