"""A run that is killed goes on to the weights of a run that was not, bit for bit."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from fresh_process import start_geoloc, wait_for
from geoloc_models_small import small_table

OTHER_DISK = Path("/dev/shm")


def command(table, output, *more):
    return [
        *("train", str(table), "--task", "cells", "--method", "consolidated"),
        *("--min-images", "4", "--encoder", "tiny", "--image-size", "32", "--epochs", "30"),
        *("--batch-size", "4", "--learning-rate", "0.02", "--augment", "crop"),
        *("--workers", "2", "--patience", "4", "--output", str(output), *more),
    ]


def n_epochs(run_dir):
    history = run_dir / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.is_file() else 0


@pytest.fixture
def other_disk():
    """A folder for temporary files that lies on another file system than the runs."""
    if not OTHER_DISK.is_dir():
        pytest.skip("there is no /dev/shm here")
    with tempfile.TemporaryDirectory(dir=OTHER_DISK) as folder:
        yield Path(folder)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, other_disk):
    assert tmp_path.stat().st_dev != other_disk.stat().st_dev
    environment = {**os.environ, "TMPDIR": str(other_disk)}
    table = tmp_path / "photos.csv"
    small_table(40, folder=tmp_path / "photos").frame.to_csv(table, index=False)

    def end(child):
        assert child.wait(600) == 0, child.stderr.read()[-2000:]

    def start(*words):
        return start_geoloc(*command(table, *words), stdout=subprocess.DEVNULL, env=environment)

    end(start(tmp_path / "whole"))
    assert 6 < n_epochs(tmp_path / "whole") < 30, "the case needs another learning rate"

    killed = tmp_path / "killed"
    for begun in (2, 5):
        child = start(killed, *(["--resume"] if begun > 2 else []))
        wait_for(lambda begun=begun: n_epochs(killed) >= begun, child)
        child.kill()
        child.communicate()
        assert not (killed / "results.json").exists(), "it was killed too late to tell"

    end(start(killed, "--resume"))
    for name in ("bundle/model.safetensors", "history.csv", "results.json"):
        left, right = ((tmp_path / run_dir / name).read_bytes() for run_dir in ("whole", "killed"))
        assert left == right, name
    assert not [path for path in killed.rglob("*") if path.name.startswith((".part-", ".lock"))]
    assert not list(other_disk.glob("*.ckpt")) + list(other_disk.glob("tmp*"))
