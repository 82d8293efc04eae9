"""``geoloc strip``: photos and folders, in place and elsewhere, and what it refuses."""

import pytest
from command_line import geoloc, geoloc_refuses, run
from geoloc_models_photos import encoded, gps_exif, noise

from geoloc_models.cli import main
from geoloc_models.photos.exif import read_exif


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "trip/a.jpg"):
        noise(16, 16).save(folder / name, exif=gps_exif(47.4, 8.5))
    (folder / "notes.txt").write_text("x")
    return folder


def placed(folder):
    return {
        path.relative_to(folder).as_posix(): read_exif(path).has_position
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".jpg", ".png")
    }


NAMES = ("a.jpg", "b.png", "trip/a.jpg")


def test_a_folder_is_stripped_into_another(photos, tmp_path):
    result = geoloc("strip", photos, "-o", tmp_path / "out")
    assert "3 photos stripped into" in result.stdout
    assert "1 other file left alone" in result.stdout
    assert placed(tmp_path / "out") == dict.fromkeys(NAMES, False)
    assert placed(photos) == dict.fromkeys(NAMES, True)


def test_photos_are_stripped_in_place(photos):
    geoloc("strip", photos / "a.jpg", photos / "trip", "--in-place")
    assert placed(photos) == {"a.jpg": False, "b.png": True, "trip/a.jpg": False}


def test_what_cannot_be_stripped_is_named_and_the_rest_done(photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "c.tif").write_bytes(encoded(noise(8, 8), "TIFF"))
    result = run(main, "strip", photos, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "broken.jpg" in result.stderr
    assert "--reencode" in result.stderr
    assert "Traceback" not in result.output
    assert "3 photos stripped" in result.stdout
    geoloc("strip", photos / "c.tif", "-o", tmp_path / "out", "--reencode")
    assert (tmp_path / "out" / "c.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos/a.jpg"], "Say where"),
        (["photos/a.jpg", "--in-place", "-o", "out"], "Say where"),
        (["none.jpg", "--in-place"], "There is no photo none.jpg"),
        (["photos/a.jpg", "photos/trip/a.jpg", "-o", "out"], "would both become"),
        (["empty", "-o", "out"], "no photo in the named files"),
    ],
)
def test_bad_input_is_one_sentence(photos, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert words in geoloc_refuses("strip", *arguments)
    assert placed(photos) == dict.fromkeys(NAMES, True)
