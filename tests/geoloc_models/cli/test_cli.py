"""The command line: the whole job on generated JPEGs, and one sentence for bad input."""

import json
import shutil
import signal
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from command_line import geoloc, geoloc_refuses, run
from fresh_process import run_python
from geoloc_models_small import save_small_photos

from geoloc_models import __version__
from geoloc_models.cli import main
from geoloc_models.training.callbacks import RunRecord

QUICK = ["--encoder", "tiny", "--image-size", "32", "--epochs", "2", "--learning-rate", "1e-3"]
QUICK += ["--min-images", "5", "--batch-size", "16", "--hidden", "16"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A cell model trained by the command line on 60 photos, two of them broken."""
    folder = tmp_path_factory.mktemp("job")
    table = save_small_photos(folder, 60)
    whole = (folder / "photos" / "0.jpg").read_bytes()
    (folder / "photos" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "photos" / "1.jpg").write_text("not an image")
    result = geoloc("train", table, *QUICK, "--output", folder / "run")
    return folder, table, result


def test_training_prints_a_table_and_leaves_a_whole_run_folder(trained):
    folder, _, result = trained
    assert "Pooled partitions" in result.stdout
    assert "\n  likeliest class " in result.stdout
    assert "Guess: training" in result.stdout
    assert " ".join(sorted(path.name for path in (folder / "run").iterdir())) == (
        "bundle calibration_report.json cells.parquet checkpoints history.csv options.json "
        "predictions.parquet predictions_plain.parquet results.json skipped.csv split.parquet"
    )


def test_broken_images_are_counted_and_listed(trained):
    folder, _, result = trained
    skipped = pd.read_csv(folder / "run" / "skipped.csv")
    assert skipped["row"].tolist() == [0, 1]
    assert "2 broken images were skipped" in result.stdout
    predicted = pd.read_parquet(folder / "run" / "predictions.parquet")
    assert not set(predicted["row"]) & {0, 1}


def test_evaluating_again_gives_the_same_figures(trained):
    folder, _, _ = trained
    before = json.loads((folder / "run" / "results.json").read_text())
    geoloc("evaluate", folder / "run", "--output", folder / "again")
    assert json.loads((folder / "again" / "results.json").read_text()) == before


def test_another_table_can_be_evaluated(trained, tmp_path):
    folder, _, _ = trained
    other = save_small_photos(tmp_path, 10)
    geoloc("evaluate", folder / "run", "--table", other)
    content = json.loads((folder / "run" / "on-photos" / "results.json").read_text())
    assert content["n_test"] == 10


def test_training_photos_among_those_that_are_tested_on_are_told(trained, tmp_path):
    folder, table, _ = trained
    split = pd.read_parquet(folder / "run" / "split.parquet")
    n_train = (split["part"] == "train").sum()
    result = geoloc("evaluate", folder / "run", "--table", table, "-o", tmp_path / "all")
    assert f"trained on {n_train} of these 60 photos" in result.stderr
    pd.read_csv(table).iloc[split[split["part"] == "test"]["row"]].to_csv(
        table.with_name("test.csv"), index=False
    )
    other = table.with_name("test.csv")
    result = geoloc("evaluate", folder / "run", "--table", other, "-o", tmp_path / "test")
    assert "trained on" not in result.stderr


def test_a_finished_run_is_not_overwritten_and_resumed_as_it_was(trained):
    folder, table, _ = trained
    again = ("train", table, *QUICK, "--output", folder / "run")
    refused(again, "already holds a run")
    weights = folder / "run" / "bundle" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    geoloc(*again, "--resume")
    assert weights.stat().st_mtime_ns == before
    refused((*again, "--resume", "--batch-size", 8), "batch_size = 16, not 8")
    refused((*again, "--resume", "--min-images", 6), "min_images = 5, not 6")
    refused((*again, "--resume", "--schedule", "cosine"), "schedule = constant")


def test_resuming_a_cosine_with_more_epochs_is_refused(trained):
    # Its learning rates so far would have been others.
    folder, table, _ = trained
    copy = copy_of(folder)
    path = copy / "options.json"
    options = json.loads(path.read_text())
    options["training"]["schedule"] = "cosine"
    path.write_text(json.dumps(options))
    arguments = [*QUICK, "--schedule", "cosine", "--output", copy, "--resume"]
    refused(("train", table, *arguments, "--epochs", 3), "epochs = 2, not 3")


def refused(arguments, *words):
    sentence = geoloc_refuses(*arguments)
    for word in words:
        assert word in sentence


def copy_of(folder):
    """A copy of the run beside it, from where it finds the table."""
    copy = tempfile.mkdtemp(dir=folder)
    return shutil.copytree(folder / "run", Path(copy), dirs_exist_ok=True)


def damage(path):
    """Cut a file off after its first bytes, in the middle of a line."""
    path.write_bytes(path.read_bytes()[:7] + b'"')


def edited(folder, **columns):
    """Write a table with some columns replaced."""
    path = save_small_photos(folder, 12)
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)
    return path


def test_bad_rows_and_tables_are_named(tmp_path):
    table = edited(tmp_path, country=["Atlantis"] * 12)
    refused(("train", table, *QUICK, "--output", tmp_path / "run"), "Atlantis", "Row 1")
    table = edited(tmp_path, latitude=[120.0] * 12, longitude=[47.0] * 12)
    refused(("train", table, *QUICK, "--output", tmp_path / "run"), "swapped")
    refused(("train", tmp_path / "nowhere.csv", *QUICK), "nowhere.csv")
    assert not (tmp_path / "run").exists()


def test_only_broken_photos_are_refused(tmp_path):
    table = save_small_photos(tmp_path, 12)
    for path in (tmp_path / "photos").iterdir():
        path.write_text("not an image")
    refused(("train", table, *QUICK, "--output", tmp_path / "run"), "No training image")
    assert not (tmp_path / "run" / "results.json").exists()


def test_evaluate_refuses_a_folder_that_is_no_run(tmp_path):
    refused(["evaluate", tmp_path], "options.json")


READ_BY_EVALUATE = ["options.json", "split.parquet"]
READ_BY_EVALUATE += [
    f"bundle/{name}" for name in ("card.json", "model.safetensors", "cells.parquet")
]
READ_BY_TRAIN = ["predictions.parquet", "skipped.csv", "history.csv"]


@pytest.mark.parametrize("name", READ_BY_EVALUATE + READ_BY_TRAIN)
def test_a_damaged_file_of_a_run_is_named(trained, name):
    folder, table, _ = trained
    copy = copy_of(folder)
    damage(copy / name)
    resume = ("train", table, *QUICK, "--output", copy, "--resume")
    refused(resume if name in READ_BY_TRAIN else ("evaluate", copy), f"{copy.name}/{name}")


def test_resuming_names_a_damaged_checkpoint(trained):
    folder, table, _ = trained
    copy = copy_of(folder)
    (copy / "results.json").unlink()  # as if interrupted
    damage(copy / "checkpoints" / "last.ckpt")
    refused(
        ("train", table, *QUICK, "--output", copy, "--resume"),
        "checkpoints/last.ckpt",
        "without --resume",
    )


@pytest.mark.parametrize("part", ["plan", "training", "source"])
def test_a_run_without_a_part_of_its_options_is_refused(trained, part):
    folder, table, _ = trained
    copy = copy_of(folder)
    options = json.loads((copy / "options.json").read_text())
    (copy / "options.json").write_text(json.dumps({**options, part: 3}))
    refused(("evaluate", copy), "options.json", part)
    arguments = [*QUICK, "--output", copy, "--resume"]
    refused(("train", table, *arguments), "options.json", part)


@pytest.mark.parametrize(
    ("arguments", "unloaded", "words"),
    [
        (
            ["--help"],
            {"torch", "numba", "pandas", "pyarrow"},
            ["Train a model on", "Run everything on example data", "--verbose"],
        ),
        (["demo", "--help"], {"lightning"}, ["--region"]),
        (["evaluate", "nowhere"], {"lightning"}, ["options.json is missing"]),
    ],
)
def test_a_command_imports_no_more_than_it_needs(arguments, unloaded, words):
    code = f"""
import sys
from geoloc_models.cli import main
try:
    main({arguments})
finally:
    print("unloaded" if not {unloaded} & set(sys.modules) else sorted(sys.modules))
"""
    ended = run_python(code, check=False)
    assert ended.stdout.strip().endswith("unloaded")
    for word in words:
        assert word in ended.stdout + ended.stderr


def test_help_shows_the_options_that_matter_and_help_all_the_others():
    brief, whole = geoloc("train", "--help"), geoloc("train", "--help-all")
    for name in ("Usage", "TABLE", "--task", "--min-images", "--features", "--help-all"):
        assert name in brief.stdout
    assert "METADATA" in geoloc("select", "--help").stdout
    assert "--weight-decay" not in brief.stdout
    assert "--weight-decay" in whole.stdout
    assert "Usage" in geoloc("evaluate", "--help").stdout


def test_the_version_is_printed_and_a_command_that_is_none_refused():
    assert geoloc("--version").stdout.strip() == __version__
    refused(["trian"], "trian")


def test_an_interruption_exits_with_130_and_leaves_no_half_written_file(tmp_path, monkeypatch):
    table = save_small_photos(tmp_path, 30)
    end = RunRecord.on_train_epoch_end

    def interrupt(self, trainer, module):
        end(self, trainer, module)
        if trainer.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C

    monkeypatch.setattr(RunRecord, "on_train_epoch_end", interrupt)
    result = run(main, "train", table, *QUICK, "--epochs", 50, "--output", tmp_path / "run")
    assert result.exit_code == 128 + signal.SIGINT, result.output
    assert "--resume" in result.stderr
    assert "Traceback" not in result.output
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "run" / "results.json").exists()
    assert not [path for path in (tmp_path / "run").rglob("*") if "part" in path.name]
