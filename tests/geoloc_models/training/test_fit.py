"""Training: learns, resumes to the same weights, skips broken images, stops in order."""

import csv
import multiprocessing
import os
import threading
from dataclasses import replace

import pytest
import torch
from geoloc_models_small import note_who_loads, small_dataset, small_table, small_task

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.models import TrainingOptions
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.training.callbacks import WholeCheckpoints
from geoloc_models.training.fit import _Batches, fit_task

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=4, learning_rate=1e-3, epochs=3, augment="crop"
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(16, folder=tmp_path_factory.mktemp("photos"))


def fit(table, run_dir, options=OPTIONS, *, task=None, parts=None, **kwargs):
    task = task or small_task("cells", table)
    parts = parts or (
        small_dataset(table, range(12), augment="crop"),
        small_dataset(table, range(12, 16)),
    )
    return task, fit_task(task, *parts, options, run_dir, progress=False, **kwargs)


def last_weights(run_dir):
    path = run_dir / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def weights(task):
    return {f"task.{name}": value for name, value in task.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_checkpoints_are_written_by_another_thread_and_float32_is_tf32(
    table, tmp_path, monkeypatch
):
    save, threads = WholeCheckpoints.save_checkpoint, []
    monkeypatch.setattr(
        WholeCheckpoints,
        "save_checkpoint",
        lambda *given, **how: threads.append(threading.current_thread()) or save(*given, **how),
    )
    fit(table, tmp_path, replace(OPTIONS, epochs=2))
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    assert torch.get_float32_matmul_precision() == "high"


def test_every_epoch_is_noted_and_the_best_one_kept(table, tmp_path):
    options = replace(OPTIONS, learning_rate=0.02, epochs=6)
    task, record = fit(table, tmp_path / "whole", options)
    losses = [epoch["val_loss"] for epoch in record.history]
    assert losses[record.best_epoch - 1] == min(losses)
    assert 1 < record.best_epoch < 6, "the case needs another learning rate"
    fit(table, tmp_path / "short", replace(options, epochs=record.best_epoch))
    assert same(weights(task), last_weights(tmp_path / "short"))
    with (tmp_path / "whole" / "history.csv").open() as file:
        assert [int(float(line["epoch"])) for line in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"epochs": 1}, {}),
        ({"epochs": 1, "workers": 2}, {"workers": 2}),
        ({"epochs": 2, "workers": 0}, {"workers": 1}),
        ({"epochs": 2, "schedule": "cosine"}, None),
        ({"epochs": 40, "patience": 1, "learning_rate": 0.5}, None),
        ({"epochs": 5, "patience": 3, "learning_rate": 0.02}, {"epochs": 40, "workers": 1}),
        ({"epochs": 1, "ema": 0.9}, {}),
        ({"epochs": 1, "layer_decay": 0.7, "weight_decay": 0.1}, {}),
    ],
    ids=[
        "again",
        "workers",
        "more workers",
        "ended",
        "stopped early",
        "stops later",
        "mean",
        "decays",
    ],
)
def test_a_resumed_and_moved_run_is_an_uninterrupted_one(before, after, table, tmp_path):
    before = replace(OPTIONS, **before)
    after = before if after is None else replace(before, **{"epochs": 4, **after})
    task, whole = fit(table, tmp_path / "whole", after)
    fit(table, tmp_path / "parts", before)
    (tmp_path / "parts").rename(tmp_path / "moved")
    torch.manual_seed(99)  # another process would have another state
    resumed_task, resumed = fit(table, tmp_path / "moved", after, resume=True)
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    assert same(weights(task), weights(resumed_task))
    assert same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "moved"))


def test_workers_live_through_training_and_validation_of_all_epochs(table, tmp_path):
    parts = [small_dataset(table, range(8), augment="crop"), small_dataset(table, range(8, 16))]
    note_who_loads(parts, tmp_path / "notes")
    before = set(multiprocessing.active_children())
    fit(table, tmp_path / "run", replace(OPTIONS, workers=2), parts=parts)
    loaded_by = (tmp_path / "notes").read_text().split()
    assert len(loaded_by) == 3 * 16
    assert len(set(loaded_by)) == 2
    assert str(os.getpid()) not in loaded_by
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize(
    ("kind", "changes"), [("cells", {}), ("cells", {"ema": 0.5}), ("retrieval", {"views": 2})]
)
def test_a_compiled_encoder_is_compiled_to_train_and_to_validate_and_no_more(
    kind, changes, table, tmp_path, monkeypatch
):
    """Whatever the length of batches: the last ones are short, photos are broken."""
    compile_with, shapes = torch.compile, []

    def note(graph, inputs):
        shapes.append({tuple(values.shape) for values in inputs if values.ndim == 4})
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda call, dynamic: compile_with(call, dynamic=dynamic, backend=note)
    )
    views = changes.get("views", 1)
    parts = [
        small_dataset(table, range(11), augment="crop", views=views),
        small_dataset(table, range(11, 16)),
    ]
    parts[0].images = _WithoutSome(parts[0].images, broken={2, 5})
    options = replace(OPTIONS, compile=True, batch_size=3, epochs=2, **changes)
    task, _ = fit(table, tmp_path, options, task=small_task(kind, table), parts=parts)
    assert len(shapes) == 2
    assert (3 * views, 3, 32, 32) in shapes[0]
    assert (3, 3, 32, 32) in shapes[1]
    task.encoder(torch.zeros(2, 3, 32, 32))  # by a plain encoder
    assert len(shapes) == 2


class _WithoutSome:
    """Images of which some are broken."""

    def __init__(self, images, broken):
        self.images, self.broken = images, broken

    def __len__(self):
        return len(self.images)

    def load(self, row):
        if row in self.broken:
            raise BrokenImageError(f"{row}.jpg: is broken")
        return self.images.load(row)


def test_augmentation_follows_the_seed_the_epoch_and_the_row(table):
    """Not the order in which photos are asked for, and not the numbers drawn elsewhere."""
    photos = small_dataset(table, augment="crop"), small_dataset(table, range(12, 16))
    views = {}
    for first_epoch in (0, 1):
        torch.manual_seed(first_epoch)
        before = torch.get_rng_state()
        batches = _Batches(*photos, OPTIONS, first_epoch)
        train, validation = batches.train_dataloader(), batches.val_dataloader()
        for epoch in range(first_epoch, OPTIONS.epochs):
            for loader in (train, validation):
                for batch in loader:
                    for row, view in zip(batch["row"].tolist(), batch["image"], strict=True):
                        key = row if loader is validation else (epoch, row)
                        assert torch.equal(views.setdefault(key, view), view)
        assert torch.equal(torch.get_rng_state(), before)
    assert len(views) == 3 * 16 + 4
    assert not torch.equal(views[0, 3], views[1, 3])
    assert not torch.equal(views[0, 3], views[0, 4])


def test_an_interrupted_run_can_be_resumed(table, tmp_path, monkeypatch):
    options = replace(OPTIONS, schedule="cosine")
    _, whole = fit(table, tmp_path / "whole", options)
    load = PhotoDataset.__getitem__
    n_loaded = 0

    def interrupted(self, index):
        nonlocal n_loaded
        n_loaded += 1
        if n_loaded == 40:  # 16 images an epoch: in the third one
            raise KeyboardInterrupt
        return load(self, index)

    monkeypatch.setattr(PhotoDataset, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(table, tmp_path / "parts", options)
    assert len((tmp_path / "parts" / "history.csv").read_text().splitlines()) == 3
    assert not list((tmp_path / "parts").rglob("*.part*"))
    monkeypatch.setattr(PhotoDataset, "__getitem__", load)
    _, resumed = fit(table, tmp_path / "parts", options, resume=True)
    assert same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "parts"))
    assert resumed.history == whole.history


def test_broken_images_are_skipped_and_listed(tmp_path):
    table = small_table(16, folder=tmp_path / "photos")
    for row in (1, 13):
        (tmp_path / "photos" / f"{row}.jpg").write_bytes(b"not an image")
    # A whole batch of broken images is skipped as well.
    _, record = fit(table, tmp_path / "run", replace(OPTIONS, epochs=1, batch_size=1))
    assert record.broken.rows == [1, 13]
    assert "1.jpg" in record.broken.messages[0]


def test_an_empty_part_is_refused(table, tmp_path):
    with pytest.raises(GeolocError, match="validation part is empty"):
        fit(table, tmp_path, parts=(small_dataset(table), small_dataset(table, [])))


def test_a_loss_that_is_not_a_number_stops_the_run(table, tmp_path):
    task = small_task("country", table)
    torch.nn.init.constant_(task.head.layers[-1].bias, float("nan"))
    with pytest.raises(GeolocError, match=r"batch 1 in epoch 1 is not a number \(rows"):
        fit(table, tmp_path, task=task)


def test_a_batch_without_room_is_learned_from_in_parts(table, tmp_path, caplog):
    options = replace(OPTIONS, batch_size=7, train_encoder="none")  # batch norms see no batch

    def weights_with_room(n_images):
        task = small_task("cells", table)
        score = task.score

        def in_little_memory(batch):
            if len(batch["image"]) > n_images:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return score(batch)

        task.score = in_little_memory
        parts = small_dataset(table, range(12)), small_dataset(table, range(12, 16))
        _, record = fit(table, tmp_path / str(n_images), options, task=task, parts=parts)
        return weights(task), record.history

    whole, history = weights_with_room(7)
    halved, halved_history = weights_with_room(2)
    assert "7 images at once: each step takes them in 4 parts" in caplog.messages[-1]
    for name, values in whole.items():
        torch.testing.assert_close(halved[name], values, rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(halved_history, history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    with pytest.raises(GeolocError, match="too little memory"):
        weights_with_room(0)


def test_training_stops_when_validation_gets_no_better(table, tmp_path):
    options = replace(OPTIONS, epochs=40, patience=2, learning_rate=0.5)
    _, record = fit(table, tmp_path, options)
    assert len(record.history) < 40
    assert len(record.history) - record.best_epoch == 2


def test_a_frozen_encoder_ends_as_it_began(table, tmp_path):
    options = replace(OPTIONS, epochs=2, train_encoder="none")
    task = small_task("cells", table)
    before = {name: value.clone() for name, value in task.encoder.state_dict().items()}
    fit(table, tmp_path, options, task=task)
    assert same(before, task.encoder.state_dict())


def test_stages_unfreeze_as_epochs_go_by(table, tmp_path):
    options = replace(OPTIONS, epochs=3, train_encoder="gradual")
    task = small_task("cells", table)
    first, last = task.encoder.stages()[0], task.encoder.stages()[-1]
    before = [{n: p.detach().clone() for n, p in s.named_parameters()} for s in (first, last)]
    fit(table, tmp_path, options, task=task)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    task.load_state_dict({name.removeprefix("task."): value for name, value in state.items()})
    assert same(before[0], dict(first.named_parameters()))
    assert not same(before[1], dict(last.named_parameters()))


@pytest.mark.parametrize("kind", ["retrieval", "offset"])
def test_other_tasks_resume_to_the_same_weights_too(kind, table, tmp_path):
    how = {"false_from": "queue"} if kind == "retrieval" else {}

    def run(folder, n_epochs, **kwargs):
        options = replace(OPTIONS, epochs=n_epochs)
        fit(table, folder, options, task=small_task(kind, table, **how), **kwargs)

    run(tmp_path / "whole", 2)
    run(tmp_path / "parts", 1)
    torch.manual_seed(99)
    run(tmp_path / "parts", 2, resume=True)
    assert same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "parts"))
