"""A run that is killed goes on to the weights of a run that was not, bit for bit."""

import os
import signal
import subprocess
import sys
import time

from geoloc_models_small import small_table


def command(table, output, *more):
    return [
        sys.executable,
        "-c",
        "from geoloc_models.cli import main; main()",
        *("train", str(table), "--task", "cells", "--method", "consolidated"),
        *("--min-images", "4", "--encoder", "tiny", "--image-size", "32", "--epochs", "6"),
        *("--batch-size", "4", "--learning-rate", "1e-3", "--augment", "crop"),
        *("--output", str(output), *more),
    ]


def run(*args):
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    photos = small_table(40, folder=tmp_path / "photos")
    table = tmp_path / "photos.csv"
    photos.frame.to_csv(table, index=False)
    run(table, tmp_path / "whole")

    child = subprocess.Popen(
        command(table, tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    history = tmp_path / "killed" / "history.csv"
    waited_until = time.monotonic() + 240
    while time.monotonic() < waited_until and child.poll() is None:
        # Two epochs are done and the third has begun; the other four are still to come.
        if history.is_file() and len(history.read_text().splitlines()) >= 3:
            break
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "killed" / "results.json").exists(), "it was killed too late to tell"

    run(table, tmp_path / "killed", "--resume")
    for name in ("bundle/model.safetensors", "history.csv", "results.json"):
        left, right = ((tmp_path / run_dir / name).read_bytes() for run_dir in ("whole", "killed"))
        assert left == right, name
