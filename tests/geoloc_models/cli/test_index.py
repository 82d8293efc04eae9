"""``geoloc index``: what it prints and writes, and one sentence for bad input."""

import pandas as pd
import pytest
from command_line import geoloc, geoloc_refuses
from geoloc_models_photos import gps_exif, noise


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for k, (latitude, longitude) in enumerate([(47.4, 8.5), (47.0, 7.5), (59.3, 18.0)]):
        noise(8, 8).save(folder / f"{k}.jpg", exif=gps_exif(latitude, longitude))
    noise(8, 8).save(folder / "nowhere.jpg")
    noise(8, 8).save(folder / "sea.jpg", exif=gps_exif(0.0, -30.0))
    (folder / "broken.jpg").write_text("x")
    (folder / "notes.txt").write_text("x")
    return folder


def test_a_folder_becomes_a_table_and_two_lists(photos, tmp_path):
    result = geoloc("index", photos, "-o", tmp_path / "photos.parquet")
    frame = pd.read_parquet(tmp_path / "photos.parquet")
    assert frame["path"].tolist() == [f"photos/{name}.jpg" for name in ("0", "1", "2", "sea")]
    listed = pd.read_csv(tmp_path / "without_position.csv")
    assert listed["path"].tolist() == ["photos/nowhere.jpg"]
    listed = pd.read_csv(tmp_path / "unreadable.csv")
    assert listed["path"].tolist() == ["photos/broken.jpg"]
    counts = dict(
        line.rsplit(maxsplit=1) for line in result.stdout.splitlines() if line[-1:].isdigit()
    )
    assert {what.strip(): int(n) for what, n in counts.items()} == {
        "photos": 5,
        "placed by GPS": 4,
        "without coordinates": 1,
        "could not be read": 1,
        "other files": 1,
    }
    assert "Countries: CH 2, SE 1." in result.stdout
    assert "1 photo at sea: " in result.stdout


def test_unplaced_photos_and_given_coordinates(photos, tmp_path):
    (tmp_path / "where.csv").write_text("id,latitude,longitude\nnowhere,47.1,7.1\nx,1,1\n")
    table = tmp_path / "photos.parquet"
    result = geoloc("index", photos, "-o", table, "--coordinates", tmp_path / "where.csv")
    assert "1 row of" in result.stdout
    assert len(pd.read_parquet(table)) == 5
    result = geoloc("index", photos, "-o", table, "--keep-unplaced")
    assert pd.read_parquet(table)["latitude"].isna().sum() == 1


def test_bad_input_is_one_sentence(photos, tmp_path):
    table = tmp_path / "photos.parquet"
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "unplaced").mkdir()
    noise(8, 8).save(tmp_path / "unplaced" / "a.jpg")
    for arguments, words in (
        ([tmp_path / "none"], "There is no folder"),
        ([tmp_path / "unplaced"], "--coordinates"),
        ([photos, "-o", tmp_path / "photos.csv"], "name a .parquet file"),
        ([photos, "--coordinates", "none.csv"], "none.csv"),
        ([photos, "-o", tmp_path / "folder.parquet"], "is a folder"),
    ):
        output = [] if "-o" in arguments else ["-o", table]
        assert words in geoloc_refuses("index", *arguments, *output)
    assert not table.exists()
