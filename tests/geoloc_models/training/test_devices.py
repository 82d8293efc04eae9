"""One error where a process of several fails, and each a share of every batch; what they learn: cli/test_devices."""

import re

import numpy as np
import pytest
import torch
from geoloc_models_noisy import FailingImages
from geoloc_models_small import small_table, small_task
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from geoloc_models.errors import GeolocError
from geoloc_models.models import TrainingOptions
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.photos.framing import make_framing
from geoloc_models.training.devices import error_of_process, share_of_device
from geoloc_models.training.fit import fit_task

TABLE = small_table(40)


def fit_on_two(run_dir):
    """Row 0, which one process sees, ends in an error; the other then waits for it, and must not do so for long."""
    images = FailingImages(TABLE.n_rows, 0, RuntimeError("a bug"))
    countries = [["CH", "SE"].index(name) for name in TABLE.countries]
    parts = [
        PhotoDataset(images, TABLE.coords, countries, make_framing(32), rows=rows)
        for rows in (range(32), range(32, 40))
    ]
    options = TrainingOptions(encoder="tiny", image_size=32, batch_size=8, epochs=2, devices=2)
    fit_task(small_task("country", TABLE), *parts, options, run_dir, progress=False)


def test_an_error_in_one_process_ends_the_others(tmp_path):
    with pytest.raises(GeolocError, match=r"process \d of 2 failed \(RuntimeError: a bug\)"):
        fit_on_two(tmp_path)


def test_more_devices_than_cards_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(GeolocError, match="at most the graphics cards of this machine, 1, not 2"):
        fit_on_two(tmp_path)


@pytest.mark.parametrize(
    ("last_line", "words"),
    [
        ("geoloc_models.errors.GeolocError: The loss is odd.", r"^The loss is odd\.$"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "--batch-size 4"),
        ("KeyError: 5", r"process 1 of 2 failed \(KeyError: 5\)"),
        ("", r"process 1 of 2 failed \(no reason given\)"),
    ],
)
def test_the_error_of_a_process_becomes_a_sentence(last_line, words):
    traceback = f"Traceback ...\n{last_line}\n" if last_line else ""
    raised = ProcessRaisedException(traceback, 0, 1234)
    assert re.search(words, str(error_of_process(raised, 2, 8)))


def test_a_process_that_was_killed_is_reported_with_its_signal():
    killed = ProcessExitedException("killed", 1, 1234, -9, "SIGKILL")
    words = r"process 2 of 2 was ended by SIGKILL.*--resume"
    assert re.search(words, str(error_of_process(killed, 2, 8)))


def test_devices_share_each_batch_between_them():
    order = np.arange(23)
    shares = [share_of_device(order, 8, device, 2) for device in (0, 1)]
    together = np.concatenate(
        [np.concatenate([s[4 * b : 4 * b + 4] for s in shares]) for b in range(2)]
    )
    assert together.tolist() == order[:16].tolist()
    assert [len(share) for share in shares] == [12, 11]
    assert sorted(np.concatenate(shares)) == order.tolist()


def test_a_batch_smaller_than_the_devices_is_filled_up():
    shares = [share_of_device(np.arange(9), 8, device, 4) for device in range(4)]
    assert [share[-1] for share in shares] == [8, 0, 1, 2]
    assert [len(share) for share in shares] == [3] * 4
