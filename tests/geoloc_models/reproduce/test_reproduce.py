"""The whole pipeline on a few photos: every row, ablation and figure; and nothing twice."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from geoloc_models_small import small_table
from PIL import Image
from safetensors.torch import save_file

from geoloc_models._errors import GeolocError
from geoloc_models.models.encoders import build_encoder
from geoloc_models.photos.images import FileImages
from geoloc_models.reproduce import ReproduceSettings, reproduce
from geoloc_models.reproduce.settings import DECODED, ablation_plans, size_plans, table_plans
from geoloc_models.tables.split import place_blocks
from geoloc_models.training import PhotoSource, TrainingOptions, split_source

TRAINING = TrainingOptions(
    encoder="tiny",
    image_size=32,
    batch_size=16,
    learning_rate=1e-3,
    epochs=1,
    hidden=8,
    train_encoder="none",
)
SETTINGS = ReproduceSettings(
    TRAINING,
    replace(TRAINING, train_encoder="all"),
    min_images=4,
    seeds=2,
    sizes=(16, 1000),
    location_hidden=8,
    n_false=8,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    save_file(build_encoder("tiny").backbone.state_dict(), folder / "tiny.safetensors")
    table = small_table(60, folder=folder)
    return PhotoSource(table, FileImages(table.frame["path"].to_numpy()), {"kind": "test"})


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("paper")
    return output, run(source, output)


def run(source, output, settings=SETTINGS, **options):
    said = []
    # Every stage builds the frozen encoder anew, so its weights come from a file.
    weights = str(Path(source.images.describe(0)).with_name("tiny.safetensors"))
    settings = replace(settings, training=replace(settings.training, weights=weights))
    result = reproduce(
        source, split_source(source), settings, output, say=said.append, progress=False, **options
    )
    return result, said


def test_the_report_has_every_model_ablation_and_figure(done):
    output, (result, _) = done
    text = result.report.with_suffix(".md").read_text()
    titles = [
        "Country (baseline)",
        "Regression, multi-task",
        "Cells, bottom-up",
        "Retrieval, RFF",
        "Nearest images",
        "expected utility, all four",
        "How sure, and whether rightly",
    ]
    _, comparisons = ablation_plans(SETTINGS)
    assert all(title in text for title in titles)
    assert all(comparison.title in text.replace("\\", "") for comparison in comparisons)
    pictures = re.findall(r"\]\(([^)]+\.png)\)", text)
    assert len(pictures) == 12
    for picture in pictures:
        with Image.open(output / picture) as image:
            assert min(image.size) > 200
    assert result.report.read_text().count("data:image/png;base64,") == 12


def test_the_report_counts_the_test_images_by_block(done, source):
    _, (result, _) = done
    split = split_source(source)
    blocks = place_blocks(source.table.coords).tolist()
    validated = {blocks[row] for row in split.validation}
    known = sum(blocks[row] in validated for row in split.test)
    fullest = max(Counter(blocks[row] for row in split.test).values())
    text = " ".join(result.report.with_suffix(".md").read_text().split())
    assert f"Of the {len(split.test)} test images {known} lie in a block of 10 km" in text
    assert f"the fullest block has {fullest} of them" in text


def test_results_hold_every_run(done):
    output, _ = done
    results = json.loads((output / "results.json").read_text())
    ablations, _ = ablation_plans(SETTINGS)
    names = {plan.name for plan in [*table_plans(SETTINGS), *ablations]}
    assert set(results["models"]) == names
    assert all(len(runs) == 2 for runs in results["seeds"].values())
    assert set(results["sizes"]) == {"16", "48"}  # 1000 is more than there are to train on
    assert set(results["sizes"]["16"]) == {plan.name for plan in size_plans(SETTINGS)}
    assert set(results["decoders"]) == set(DECODED)
    assert {"mean", "mode", "utility_1", "utility_all"} <= set(results["decoders"]["hierarchy"])
    assert set(results["calibration_reports"]) == {plan.name for plan in table_plans(SETTINGS)}
    assert set(results["augmentation"]) == {"augment_none", "augment_crop", "augment_simclr"}


def test_a_second_run_computes_nothing(done, source):
    output, (result, said) = done
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    _, again = run(source, output)
    n_stages = len(result.folders)
    assert again == [f"{n_stages} of {n_stages} stages are done already."]
    after = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert after == before
    assert said[0].startswith(f"[1/{n_stages}] Features of 60 images")


def test_a_changed_option_computes_only_what_depends_on_it(done, source):
    output, (result, _) = done
    _, again = run(source, output, replace(SETTINGS, augmentation=replace(TRAINING, epochs=2)))
    kept = len(result.folders) - 4
    assert again[0] == f"{kept} of {kept + 4} stages are done already."
    assert [re.sub(r" \(.*", "", line) for line in again[1:]] == [
        "[1/4] End to end, augmentation none",
        "[2/4] End to end, augmentation crop",
        "[3/4] End to end, augmentation simclr",
        "[4/4] Tables, figures and the report",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"seeds": 0}, "one seed"), ({"sizes": (10, 5)}, "Sizes must grow")],
)
def test_unsound_settings_are_refused(changes, words):
    with pytest.raises(GeolocError, match=words):
        replace(SETTINGS, **changes)
