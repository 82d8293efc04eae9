"""geoloc train --devices 2 and geoloc embed --shard, as a user starts them: in processes."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import geoloc
from fresh_process import start_geoloc, wait_for
from geoloc_models_small import save_small_photos

N_ROWS, BROKEN = 60, (7, 8, 9)


def start(*arguments):
    return start_geoloc(*arguments, env={**os.environ, "OMP_NUM_THREADS": "1"})


def ended(process, code=0):
    """Output and errors of a command, once it has ended; a hanging one fails here."""
    try:
        output, errors = process.communicate(timeout=500)
    finally:
        process.kill()
    assert process.returncode == code, errors[-2000:]
    return output, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos with ids, three of them broken, in parts, and weights of the tiny encoder."""
    folder = tmp_path_factory.mktemp("devices")
    parts = np.repeat(["train", "validation", "test"], [43, 7, 10])
    save_small_photos(folder, N_ROWS, "split.parquet", broken=BROKEN, part=parts)
    return folder


def embed(folder, cache, *more):
    encoder = ["--encoder", "tiny", "--weights", folder / "tiny.safetensors", "--image-size", 32]
    return "embed", folder / "split.parquet", *encoder, "-o", cache, *more


def history(run_dir):
    with (run_dir / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def results(run_dir):
    return json.loads((run_dir / "results.json").read_text())


@pytest.fixture(scope="module")
def cache(folder):
    """Features of the photos, made by one command."""
    path = folder / "alone.npy"
    geoloc(*embed(folder, path, "--batch-size", 4))
    return path


def test_training_on_two_devices_gives_the_figures_of_one(folder, cache, tmp_path):
    """With early stopping, a last batch of odd size, broken photos and an odd validation part."""
    quick = ["--min-images", 4, "--epochs", 30, "--learning-rate", 0.05, "--hidden", 16]
    quick += ["--task", "cells", "--dropout", 0.0]  # a part of each batch has its own deviations
    common = ["--features", cache, "--batch-size", 8, "--patience", 2, *quick]
    table = folder / "split.parquet"
    two = start("train", table, *common, "--output", tmp_path / "two", "--devices", 2)
    told = geoloc("train", table, *common, "--output", tmp_path / "one").stdout
    told_by_two, errors = ended(two)
    left, right = history(tmp_path / "one"), history(tmp_path / "two")
    assert 2 < len(left) < 30  # it stopped early
    assert len(right) == len(left)
    for before, after in zip(left, right, strict=True):
        # Sums in another order: float32 rounding, grown over some hundred Adam steps.
        np.testing.assert_allclose(list(before.values()), list(after.values()), rtol=1e-2)
    assert told.replace("/one", "/two") == told_by_two
    assert (tmp_path / "one" / "skipped.csv").read_text() == (
        tmp_path / "two" / "skipped.csv"
    ).read_text()
    # A bar, but one only, and nothing of what Lightning says when processes meet.
    assert "Traceback" not in errors
    assert "Initializing" not in errors + told_by_two
    assert "`Trainer.fit`" not in errors + told_by_two


def children_of(process):
    """Ids of the processes that train for a command."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(
                line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line
            )
            words = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if fields.get("PPid", "").strip() == str(process.pid) and b"spawn_main" in words:
            found.append(int(status.parent.name))
    return sorted(found)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="children are found in /proc")
def test_a_lost_process_ends_the_run_and_it_can_be_resumed(folder, cache, tmp_path):
    quick = ["--min-images", 4, "--learning-rate", 1e-3, "--hidden", 16, "--epochs", 60]
    quick += ["--patience", 60, "--task", "cells", "--dropout", 0]  # what is alike on two devices
    run_dir = tmp_path / "run"
    common = ["train", folder / "split.parquet", "--features", cache, "--batch-size", 8, *quick]
    both = [*common, "--output", run_dir, "--devices", 2]
    process = start(*both)
    lines = run_dir / "history.csv"
    wait_for(lambda: lines.is_file() and len(lines.read_text().splitlines()) > 3, process)
    children = children_of(process)
    assert len(children) == 2
    os.kill(children[1], signal.SIGKILL)
    _, errors = ended(process, code=2)
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Error: Training has stopped: ")
    assert "--resume" in last
    assert "Traceback" not in errors
    assert "Terminating" not in errors
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    n_before = len(history(run_dir))
    assert n_before < 60, "it was killed too late to tell"

    ended(start(*both, "--resume"))
    after = history(run_dir)
    assert [row["epoch"] for row in after] == list(range(1, 61))
    geoloc(*common, "--output", tmp_path / "whole")
    for name in ("train_loss", "val_loss"):
        ours, whole = (
            [row[name] for row in history(path)] for path in (run_dir, tmp_path / "whole")
        )
        # Sums in another order: float32 rounding, grown over 360 Adam steps.
        np.testing.assert_allclose(ours, whole, rtol=2e-2)
    assert results(run_dir).keys() == results(tmp_path / "whole").keys()
