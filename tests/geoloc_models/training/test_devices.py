"""Two processes that share each batch give what one gives, and one error where one fails."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from geoloc_models_noisy import FailingImages
from geoloc_models_small import small_cells, small_table, small_task
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from geoloc_models._errors import GeolocError
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.features.cache import FeatureCache
from geoloc_models.features.files import FeatureCard
from geoloc_models.features.writer import FeatureWriter
from geoloc_models.models.encoders import CachedFeatures
from geoloc_models.photos.dataset import PhotoDataset, make_transform
from geoloc_models.training import TrainingOptions, fit_task
from geoloc_models.training._processes import FailureNotes

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=8, learning_rate=1e-2, epochs=2, hidden=32
)
TABLE = small_table(40)


KEYS = [f"photo-{row}" for row in range(TABLE.n_rows)]


def small_cache(path):
    card = FeatureCard(
        encoder="tiny",
        fingerprint="0123",
        preprocessing={"image_size": 32},
        dim=12,
        dtype="float32",
        n_rows=1,
        keys_digest="",
    )
    values = np.random.default_rng(0).normal(size=(TABLE.n_rows, 12)).astype(np.float32)
    with FeatureWriter(path, KEYS, card) as writer:
        writer.write(np.arange(TABLE.n_rows), values)
    return FeatureCache.open(path)


def feature_dataset(cache, rows):
    countries = np.array([["CH", "SE"].index(name) for name in TABLE.countries])
    cells = small_cells(TABLE).assign(TABLE.coords, groups=TABLE.countries)
    return FeatureDataset(cache, KEYS, TABLE.coords, countries, cell_labels=cells, rows=rows)


def fit(cache, run_dir, options):
    task = small_task("cells", TABLE, learning_rate=1e-2, encoder=CachedFeatures(12, "tiny"))
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 7, "devices": 2}, "multiple"),
        ({"train_encoder": "gradual", "devices": 2}, "one device only"),
    ],
)
def test_what_devices_cannot_share_is_refused(change, words):
    with pytest.raises(GeolocError, match=words):
        replace(OPTIONS, **change)


def test_an_error_in_one_process_ends_the_others(tmp_path):
    """Row 0 is seen by one process; the other then waits for it, and must not do so for long."""
    images = FailingImages(TABLE.n_rows, 0, RuntimeError("a bug"))
    countries = [["CH", "SE"].index(name) for name in TABLE.countries]
    datasets = [
        PhotoDataset(images, TABLE.coords, countries, make_transform(32), rows=rows)
        for rows in (range(32), range(32, 40))
    ]
    task = small_task("country", TABLE)
    with pytest.raises(GeolocError, match=r"one of 2 processes failed \(RuntimeError: a bug\)"):
        fit_task(task, *datasets, replace(OPTIONS, devices=2), tmp_path, progress=False)
    assert not list(tmp_path.rglob("failure-*"))


LOST = RuntimeError("Connection closed by peer")


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([GeolocError("The loss is not a number."), LOST], r"^The loss is not a number\.$"),
        ([LOST, GeolocError("The loss is not a number.")], r"^The loss is not a number\.$"),
        ([LOST, torch.OutOfMemoryError("no room")], "--batch-size 4"),
        ([KeyError("a bug"), LOST], r"one of 2 processes failed \(KeyError: 'a bug'\)"),
        ([], r"process 1 of 2 failed \(KeyError: 5\)"),
    ],
)
def test_the_error_that_came_first_is_told(errors, words, tmp_path):
    notes = FailureNotes(tmp_path)
    for rank, error in enumerate(errors):
        notes.write(rank, error)
    raised = ProcessRaisedException("Traceback ...\nKeyError: 5\n", 0, 1234)
    with pytest.raises(GeolocError, match=words):
        raise notes.error_of(raised, 2, 8)
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_killed_is_told_with_its_signal(tmp_path):
    notes = FailureNotes(tmp_path)
    notes.write(0, LOST)
    killed = ProcessExitedException("killed", 1, 1234, -9, "SIGKILL")
    with pytest.raises(GeolocError, match=r"process 2 of 2 was ended by SIGKILL.*--resume"):
        raise notes.error_of(killed, 2, 8)
