"""``geoloc predict`` and ``geoloc export``: what they print, write and refuse."""

import io
import json
import re
import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from command_line import geoloc, geoloc_refuses
from geoloc_models_bundles import save_small_bundle
from geoloc_models_photos import gps_exif, write_tar
from geoloc_models_small import small_table
from PIL import Image

from geoloc_models.inference.calibration import Calibration, save_calibration
from geoloc_models.inference.decoder_file import save_decoder
from geoloc_models.inference.familiarity import KnownPhotos

pytestmark = pytest.mark.usefixtures("towns")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    table = small_table()
    folder = save_small_bundle("cells", table, tmp_path_factory.mktemp("model") / "bundle")
    save_decoder(folder, table.coords, [row % 2 for row in range(table.n_rows)])
    save_calibration(Calibration("expected_utility", "fixed", 321.0, 99), folder)
    return folder


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    small_table(3, folder=folder)
    (folder / "notes.txt").write_text("x")
    (folder / "trip").mkdir()
    Image.open(folder / "0.jpg").save(folder / "trip" / "placed.jpg", exif=gps_exif(47.0, 8.0))
    return folder


def predict(bundle, *arguments, **options):
    return geoloc("predict", *arguments, "--model", bundle, **options)


def test_a_table_names_place_probability_and_radius(bundle, photos):
    result = predict(bundle, "photos/0.jpg", "photos/trip")
    header, _, first, *others = result.stdout.splitlines()
    assert re.split(" {2,}", header) == ["File", "Place", "Position", "In 25 km", "90 % radius"]
    assert first.startswith("0.jpg ")
    assert any(line.startswith("trip/placed.jpg ") for line in others)
    assert max(map(len, others)) <= 80
    assert "321 km" in first
    assert "%" in first
    assert "GeoNames" in result.stdout
    assert "EXIF" not in result.stdout
    assert "Note" not in result.stderr


def test_exif_positions_stand_beside_on_request_only(bundle, photos):
    result = predict(bundle, "photos/0.jpg", "photos/trip/placed.jpg", "--compare-exif")
    lines = result.stdout.splitlines()
    assert lines[0].endswith("  Off EXIF")
    assert max(map(len, lines)) <= 80
    assert lines[2].endswith("321 km")  # nothing known of this one
    placed = next(line for line in lines if line.startswith("trip/placed"))
    assert placed.endswith(" km")
    assert not placed.endswith("321 km")


def test_json_holds_everything_and_the_skipped(bundle, photos):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = predict(bundle, "photos", "--json", "--top", "2", "--compare-exif")
    content = json.loads(result.stdout)
    assert len(content["photos"]) == 4
    assert content["decoder"] == "expected_utility"
    first = content["photos"][0]
    assert first["radius_90_km"] == 321.0
    assert first["error_km"] is None
    assert [own["rank"] for own in first["likeliest"]] == [1, 2]
    (skipped,) = content["skipped"]
    assert skipped["file"].endswith("broken.jpg")
    assert "Skipped photos/broken.jpg" in result.stderr
    assert "4 of 5 photos were placed" in result.stderr


def test_csv_and_geojson_go_to_standard_output_or_a_file(bundle, photos, tmp_path):
    result = predict(bundle, "photos", "--csv")
    frame = pd.read_csv(io.StringIO(result.stdout))
    assert len(frame) == 4
    assert frame["latitude"].between(40, 65).all()
    result = predict(bundle, "photos", "-o", "answers.geojson")
    assert result.stdout == ""
    points = gpd.read_file(tmp_path / "answers.geojson")
    assert points.geometry.x.tolist() == pytest.approx(points["longitude"].tolist())
    result = predict(bundle, "photos/0.jpg", "--csv", "--top", "3", "-o", "top.txt")
    assert pd.read_csv(tmp_path / "top.txt")["rank"].tolist() == [1, 2, 3]


def test_the_likeliest_places_follow_the_table_and_a_map_is_written(bundle, photos, tmp_path):
    result = predict(bundle, "photos", "--top", "2", "--map", "out/map.html", "--tiles", "none")
    ranked = result.stdout.split("Likeliest", 1)[1].splitlines()
    assert [line.split()[-1] for line in ranked[2:4]] == ["%", "%"]
    assert "The map is out/map.html" in result.stderr
    page = (tmp_path / "out" / "map.html").read_text()
    assert page.count("data:image/jpeg") == 8
    assert "openstreetmap" not in page.lower()


def test_photos_come_from_patterns_lists_and_tars(bundle, photos):
    pattern = predict(bundle, "photos/[01].jpg", "--csv")
    assert len(pd.read_csv(io.StringIO(pattern.stdout))) == 2
    stdin = "photos/0.jpg\n\nphotos/trip\nphotos/0.jpg\ngone.jpg\n"
    listed = predict(bundle, "-", "--csv", stdin=stdin)
    assert "Skipped gone.jpg: there is no such file" in listed.stderr
    names = pd.read_csv(io.StringIO(listed.stdout))["file"].tolist()
    assert names == ["photos/0.jpg", "photos/trip/placed.jpg"]
    contents = {"a.jpg": (photos / "0.jpg").read_bytes(), "read.me": b"x"}
    write_tar(photos / "shards" / "0.tar", contents)
    shard = predict(bundle, "photos/shards", "--csv")
    assert pd.read_csv(io.StringIO(shard.stdout))["file"].tolist() == ["photos/shards/0.tar/a.jpg"]


def test_a_decoder_other_than_the_calibrated_one_has_no_radius(bundle, photos):
    result = predict(bundle, "photos/0.jpg", "--decoder", "argmax", "--no-names")
    assert "321 km" not in result.stdout
    assert "GeoNames" not in result.stdout
    assert "Note: The model is calibrated for the decoder expected_utility" in result.stderr


@pytest.mark.parametrize(("least", "n_given"), [(-1.0, 1), (float("inf"), 0)])
def test_a_promise_leaves_out_answers_that_are_not_sure(bundle, photos, tmp_path, least, n_given):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    promises = {25.0: least}
    save_calibration(Calibration("expected_utility", "fixed", 321.0, 99, 1.0, promises), copy)
    result = predict(copy, "photos/0.jpg", "--promise", "25")
    assert ("not sure enough to answer" in result.stdout) == (n_given == 0)
    told = "1 of 1 photos get an answer" if n_given else "99 validation photos are too few"
    assert told in " ".join(result.stderr.split())
    record = json.loads(predict(copy, "photos/0.jpg", "--promise", "25", "--json").stdout)
    assert record["photos"][0]["promised"] == bool(n_given)


def test_a_photo_unlike_all_that_was_seen_gets_no_town(bundle, photos, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    features = np.random.default_rng(0).normal(size=(20, 128))
    KnownPhotos(features.astype(np.float16), 1.01).save(copy)
    result = predict(copy, "photos/0.jpg", "--top", "2")
    shown = " ".join(result.stdout.split())
    assert "unlike anything this model has seen" in shown
    assert "No likely places to list." in shown
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "321 km" not in shown
    frame = pd.read_csv(io.StringIO(predict(copy, "photos/0.jpg", "--csv").stdout))
    assert frame["unlike_training"].tolist() == [True]
    assert frame["place"].isna().all()


def test_a_name_is_printable_in_the_table_text_in_csv_and_itself_in_json(
    bundle, photos, monkeypatch
):
    monkeypatch.chdir(photos)
    for name in ("\x1b[31mred.jpg", "=cmd|x!A0.jpg"):
        (photos / name).write_bytes((photos / "0.jpg").read_bytes())
    assert "\x1b" not in predict(bundle, "\x1b[31mred.jpg").stdout
    result = predict(bundle, "=cmd|x!A0.jpg", "--csv")
    assert result.stdout.splitlines()[1].startswith("'=cmd|x!A0.jpg,")
    result = predict(bundle, "=cmd|x!A0.jpg", "--json")
    assert '"=cmd|x!A0.jpg"' in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jpg"], "There is no photo none.jpg"),
        (["photos/0.jpg", "none.jpg"], "There is no photo none.jpg"),
        (["empty"], "There is no photo in the folder empty"),
        (["-"], "The list on standard input names no photo"),
        (["photos/notes.txt"], "is not an image of a known kind"),
        (["broken"], "None of the 2 photos can be read"),
        (["photos", "--json", "--csv"], "Choose one format"),
        (["photos", "--map", "map.png"], "should end in .html"),
        (["broken", "--map", "map.html", "--tiles", "Nix"], "Unknown background 'Nix'"),
        (["photos/0.jpg", "--promise", "25"], "was not calibrated for a promise"),
        (["photos/0.jpg", "--promise", "30"], "1, 25, 200"),
        (["photos/0.jpg", "--promise", "25", "--decoder", "argmax"], "was not calibrated for a"),
        (["photos/0.jpg", "--model", "nowhere"], "There is no model nowhere"),
    ],
)
def test_bad_input_is_one_sentence(bundle, photos, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "broken" / name).write_bytes(b"\xff\xd8\xff")
    if "--model" not in arguments:
        arguments = [*arguments, "--model", bundle]
    assert words in geoloc_refuses("predict", *arguments)


def test_export_says_what_it_wrote_and_refuses_in_one_sentence(bundle, photos, monkeypatch):
    from geoloc_models.inference import export

    card = {
        "input": {"shape": ["batch", 3, 64, 64]},
        "outputs": {"probabilities": ["batch", 4]},
        "largest_difference": 3e-7,
    }
    monkeypatch.setattr(export, "export_onnx", lambda *_, **__: card)
    result = geoloc("export", bundle, "-o", "out.onnx")
    assert "probabilities ['batch', 4]" in result.stdout
    assert "out.json" in result.stdout
    monkeypatch.undo()
    for arguments, words in (
        (("nowhere",), "There is no model nowhere"),
        ((bundle, "-o", "model.txt"), "should end in .onnx"),
    ):
        assert words in geoloc_refuses("export", *arguments)
