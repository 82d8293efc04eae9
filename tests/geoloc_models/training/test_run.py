"""Runs: every model from photos to a bundle that places photos as the run did."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from geoloc_models_small import small_table

from geocells import load_cells, sphere
from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.features.cache import FeatureCache, row_keys
from geoloc_models.features.embedding import embed
from geoloc_models.inference.bundle import load_bundle
from geoloc_models.inference.network import run_network
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.models.encoders import build_encoder
from geoloc_models.models.tasks import TASKS
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.satellite import SatelliteCrops
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.training import PhotoSource, decode_run, load_run, run_model, split_source
from geoloc_models.training import run as run_module
from geoloc_models.training.make_task import make_labels, make_task
from geoloc_models.training.photos import ModelPhotos
from geoloc_models.training.sources import table_source

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=8, learning_rate=1e-3, epochs=2, hidden=16
)
SMALL = {
    "min_images": 4,
    "levels": (2, 1),
    "n_false": 8,
    "location_hidden": 16,
    "sigmas": (1.0, 16.0),
    "n_neighbours": 3,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Photos with features of an encoder whose weights are a file, so that it can be built again."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("photos")
    table = small_table(40, folder=folder)
    images = FileImages(table.frame["path"].to_numpy())
    encoder = build_encoder("tiny")
    weights = folder / "tiny.safetensors"
    save_file(encoder.backbone.state_dict(), weights)
    encoder = build_encoder("tiny", weights=weights, image_size=32)
    cache = embed(images, row_keys(table), encoder, folder / "features.npy", progress=False).cache
    return PhotoSource(table, images, {"kind": "test"}, cache), str(weights)


def test_groups_are_kept_out_of_training_whole_and_dealt_out_below_it():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    coords = np.column_stack([rng.uniform(46, 47, 200), rng.uniform(7, 8, 200)])
    table = PhotoTable.from_arrays(coords, ["CH"] * 200, groups=groups)
    split = split_source(PhotoSource(table, SatelliteCrops(coords), {"kind": "test"}), seed=2)
    trained, validated, tested = (
        set(groups[rows].tolist()) for rows in (split.train, split.validation, split.test)
    )
    assert not trained & (validated | tested)
    # Eight groups are held out; that one of them falls into a single part has a chance of 1 in 16.
    assert len(validated & tested) >= 5


def plan(task, **changes):
    return ModelPlan(task, **{**SMALL, **changes})


def run(source, folder, model_plan="country", *, split=None, changed=None, **how):
    """One epoch of a head, unless told otherwise."""
    photos, weights = source
    changes = {"weights": weights, "train_encoder": "none", "epochs": 1, **(changed or {})}
    model_plan = plan(model_plan) if isinstance(model_plan, str) else model_plan
    options = replace(OPTIONS, **changes)
    split = split or split_source(photos)
    return run_model(photos, split, model_plan, options, folder, progress=False, **how)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_run_is_judged_calibrated_and_placed_again_by_its_bundle(task, source, tmp_path):
    photos, weights = source
    options = replace(OPTIONS, weights=weights, train_encoder="none")
    split = split_source(photos, seed=1)
    # The small test part calibrates nothing at 90 %: let half of the photos validate.
    parts = np.sort(split.train)
    split = replace(split, train=parts[::2], validation=np.sort(parts[1::2]))
    run = run_model(photos, split, plan(task), options, tmp_path / "run", progress=False)
    assert run.predictions.rows.tolist() == split.test.tolist()
    assert (tmp_path / "run" / "results.json").is_file()
    loaded = load_run(tmp_path / "run", photos)
    np.testing.assert_array_equal(loaded.predictions.coords, run.predictions.coords)
    assert loaded.evaluation == run.evaluation
    assert loaded.calibration_report == run.calibration_report

    model = load_model(tmp_path / "run")
    pixels = replace(photos, features=None)
    batches = ModelPhotos(pixels, model.task.encoder, options).batches(split.test)
    again = model.decode(run_network(model.task, batches, progress=False).arrays)
    assert again.countries.tolist() == run.predictions.countries.tolist()
    np.testing.assert_allclose(again.coords, run.predictions.coords, atol=1e-4)

    assert model.calibration.n_photos == len(split.validation)
    assert run.calibration_report.n_photos == len(split.test)
    answers = decode_run(tmp_path / "run", photos, split.test, progress=False)
    assert ("medoid" in answers) == (task in ("cells", "hierarchy", "refined"))
    if task in ("pooled", "cells", "hierarchy", "country"):
        assert run.plain_evaluation is not None
        assert model.default_decoder == "expected_utility"
        truth = photos.table.coords[split.test]
        errors_km = sphere.haversine(answers["utility_all"].coords, truth)
        pixels = model.predict([photos.images.load(row) for row in split.test], names=False)
        held = (errors_km <= pixels.radius_90_km).sum()
        assert run.calibration_report.coverage.n_held == held
    else:
        assert model.default_decoder == "argmax"


def test_training_places_stay_out_of_a_bundle_on_request(source, tmp_path):
    run(source, tmp_path, "cells", keep_places=False)
    assert not (tmp_path / "bundle" / "decoder.parquet").exists()
    for file in ("cells.parquet", "bundle/cells.parquet"):
        assert not load_cells(tmp_path / file).representative_points.is_known
    assert load_model(tmp_path).default_decoder == "argmax"


def changed_frame(source, column, value):
    frame = source.table.frame.copy()
    frame.loc[3, column] = value
    return replace(source, table=PhotoTable(frame))


def changed_feature(source, folder):
    for file in source.features.path.parent.glob("*features*"):
        shutil.copy(file, folder)
    path = folder / source.features.path.name
    features = np.load(path, mmap_mode="r+")
    features[3, 3] += 1
    features.flush()
    return replace(source, features=FeatureCache.open(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda source, _: changed_frame(source, "latitude", 59.0),
        lambda source, _: changed_frame(source, "country", "SE"),
        lambda source, _: changed_frame(source, "path", source.table.frame["path"][5]),
        changed_feature,
    ],
    ids=["coordinate", "country", "image file", "feature"],
)
def test_a_run_of_photos_that_have_changed_is_not_gone_on_with(change, source, tmp_path):
    photos, weights = source
    run(source, tmp_path / "run")
    changed = change(photos, tmp_path)
    assert changed.digest() != photos.digest()
    with pytest.raises(GeolocError, match="photos have changed"):
        run((changed, weights), tmp_path / "run", split=split_source(photos), resume=True)


def test_photos_that_have_moved_are_the_same(tmp_path):
    digests = []
    for folder in (tmp_path / "before", tmp_path / "elsewhere" / "after"):
        photos = small_table(8, folder=folder / "photos").frame
        photos["path"] = [f"photos/{row}.jpg" for row in range(8)]
        photos.to_csv(folder / "photos.csv", index=False)
        digests.append(table_source(folder / "photos.csv").digest())
    assert digests[0] == digests[1]


def test_results_of_fewer_epochs_do_not_outlive_a_run_that_goes_on(source, tmp_path, monkeypatch):
    run(source, tmp_path)
    more = {"changed": {"epochs": 2}, "resume": True}
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "save_bundle", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(source, tmp_path, **more)
    history = run(source, tmp_path, **more).history
    assert load_bundle(tmp_path / "bundle").record["epochs"] == len(history) == 2


@pytest.mark.parametrize("schedule", ["cosine", "warmup"])
def test_a_schedule_is_not_gone_on_with_over_more_epochs(schedule, source, tmp_path):
    run(source, tmp_path, changed={"schedule": schedule})
    with pytest.raises(GeolocError, match="epochs = 1, not 2"):
        run(source, tmp_path, changed={"schedule": schedule, "epochs": 2}, resume=True)


def raise_interrupt(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("rank_by", ["features", "coordinates", "count"])
def test_bottom_up_cells_rank_by_what_is_asked(rank_by, source):
    photos, _ = source
    split = split_source(photos)
    labels = make_labels(
        plan("cells", method="bottom_up", rank_by=rank_by),
        photos.table,
        split.train,
        photos.features,
    )
    assert labels.cells.counts.min() >= 4
    assert labels.cells.counts.sum() == len(split.train)
    with_features = labels.cells.parameters
    assert with_features["rank_by"] == ("count" if rank_by == "count" else "mean_wcss")


def test_cells_by_learned_features_are_those_of_the_encoder_trained_first(source, tmp_path):
    photos, weights = source
    photos, options = replace(photos, features=None), replace(OPTIONS, weights=weights)
    learned = plan("cells", method="bottom_up", rank_by="learned")
    split = split_source(photos)
    run_model(photos, split, learned, options, tmp_path, progress=False)
    first = load_bundle(tmp_path / "first" / "bundle")
    features = embed(
        photos.images,
        row_keys(photos.table),
        first.task.encoder,
        tmp_path / "f.npy",
        progress=False,
    ).cache
    expected = make_labels(
        replace(learned, rank_by="features"), photos.table, split.train, features
    )
    cells = load_cells(tmp_path / "cells.parquet")
    assert cells.counts.tolist() == expected.cells.counts.tolist()
    assert cells.centroids.tolist() == expected.cells.centroids.tolist()
    before = build_encoder("tiny", weights=weights, image_size=32)
    assert first.task.encoder.fingerprint() != before.fingerprint()


@pytest.mark.parametrize("fault", ["cached features", "a frozen encoder"])
def test_only_a_trained_encoder_learns_features(fault, source, tmp_path):
    photos, weights = source
    if fault == "a frozen encoder":
        photos = replace(photos, features=None)
    changes = {"train_encoder": "none" if fault == "a frozen encoder" else "all"}
    learned = plan("cells", method="bottom_up", rank_by="learned")
    with pytest.raises(GeolocError, match="rank_by learned"):
        run((photos, weights), tmp_path, learned, changed=changes)


def test_ranking_by_features_needs_them(source):
    photos, _ = source
    bottom_up = plan("cells", method="bottom_up", rank_by="features")
    with pytest.raises(GeolocError, match="geoloc embed"):
        make_labels(bottom_up, photos.table, split_source(photos).train, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"image_size": 64}, "tiny"), ({"augment": "crop"}, "cannot be augmented")],
)
def test_features_of_another_encoder_or_varied_are_refused(changes, words, source, tmp_path):
    with pytest.raises(GeolocError, match=words):
        run(source, tmp_path, changed=changes)


@pytest.mark.parametrize("task", ["country", "cells"])
def test_balanced_classes_weigh_alike(task, source):
    photos, _ = source
    balanced, train = plan(task, balanced=True), split_source(photos).train[3:]
    labels = make_labels(balanced, photos.table, train, photos.features)
    encoder = build_encoder("tiny", image_size=32)
    made = make_task(balanced, replace(OPTIONS, dropout=0.0), encoder, photos.table, train, labels)
    of_row = labels.country if task == "country" else labels.cell
    counts = np.bincount(of_row[train], minlength=len(made.class_weights))
    assert len(set(counts.tolist())) > 1  # else they would weigh alike anyway
    weighed = counts * made.class_weights.numpy()
    np.testing.assert_allclose(weighed, len(train) / len(counts), rtol=1e-6)


def test_the_name_of_a_single_task_says_so():
    assert plan("offset", multi_task=False).name == "offset_single"
