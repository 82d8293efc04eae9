"""Two processes that share each batch give what one gives, and one error where one fails."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from geoloc_models_noisy import FailingImages
from geoloc_models_small import small_cells, small_table, small_task
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from geoloc_models._errors import GeolocError
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.features.cache import FeatureCache, FeatureCard
from geoloc_models.features.writer import FeatureWriter
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import CachedFeatures
from geoloc_models.photos.dataset import PhotoDataset, make_framing
from geoloc_models.training.devices import error_of_process, share_of_device
from geoloc_models.training.fit import fit_task

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=8, learning_rate=1e-2, epochs=2, hidden=32
)
TABLE = small_table(40)


KEYS = [f"photo-{row}" for row in range(TABLE.n_rows)]


def small_cache(path):
    card = FeatureCard("tiny", "0123", {"image_size": 32}, 12, "float32", 1, "")
    values = np.random.default_rng(0).normal(size=(TABLE.n_rows, 12)).astype(np.float32)
    with FeatureWriter(path, KEYS, card) as writer:
        writer.write(np.arange(TABLE.n_rows), values)
    return FeatureCache.open(path)


def feature_dataset(cache, rows):
    countries = np.array([["CH", "SE"].index(name) for name in TABLE.countries])
    cells = small_cells(TABLE).assign(TABLE.coords, groups=TABLE.countries)
    return FeatureDataset(cache, KEYS, TABLE.coords, countries, cell_labels=cells, rows=rows)


def fit(cache, run_dir, options):
    task = small_task("cells", TABLE, encoder=CachedFeatures(12, "tiny"))
    datasets = [feature_dataset(cache, rows) for rows in (range(32), range(32, 40))]
    record = fit_task(task, *datasets, options, run_dir, progress=False)
    return task, record


def test_two_processes_give_the_metrics_of_one(tmp_path):
    cache = small_cache(tmp_path / "features.npy")
    one_task, one = fit(cache, tmp_path / "one", OPTIONS)
    two_task, two = fit(cache, tmp_path / "two", replace(OPTIONS, devices=2))
    assert [epoch["epoch"] for epoch in two.history] == [1, 2]
    for left, right in zip(one.history, two.history, strict=True):
        # Gradients are averaged in another order: float32 rounding, grown over eight Adam steps.
        np.testing.assert_allclose(
            [left[name] for name in left], [right[name] for name in left], rtol=1e-3
        )
    assert one.best_epoch == two.best_epoch
    for name, value in one_task.state_dict().items():
        torch.testing.assert_close(value, two_task.state_dict()[name], rtol=1e-2, atol=1e-4)


def test_an_error_in_one_process_ends_the_others(tmp_path):
    """Row 0 is seen by one process; the other then waits for it, and must not do so for long."""
    images = FailingImages(TABLE.n_rows, 0, RuntimeError("a bug"))
    countries = [["CH", "SE"].index(name) for name in TABLE.countries]
    datasets = [
        PhotoDataset(images, TABLE.coords, countries, make_framing(32), rows=rows)
        for rows in (range(32), range(32, 40))
    ]
    task = small_task("country", TABLE)
    with pytest.raises(GeolocError, match=r"process \d of 2 failed \(RuntimeError: a bug\)"):
        fit_task(task, *datasets, replace(OPTIONS, devices=2), tmp_path, progress=False)


def test_more_devices_than_cards_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(GeolocError, match="at most the graphics cards of this machine, 1, not 2"):
        fit(small_cache(tmp_path / "features.npy"), tmp_path, replace(OPTIONS, devices=2))


@pytest.mark.parametrize(
    ("last_line", "words"),
    [
        ("geoloc_models._errors.GeolocError: The loss is odd.", r"^The loss is odd\.$"),
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
