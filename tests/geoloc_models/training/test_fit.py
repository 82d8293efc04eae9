"""Training: learns, resumes to the same weights, skips broken images, stops in order."""

import csv
from dataclasses import replace

import pytest
import torch
from geoloc_models_small import small_dataset, small_table, small_task

from geoloc_models._errors import GeolocError
from geoloc_models.models import TrainingOptions
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.training.fit import fit_task

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=4, learning_rate=1e-3, epochs=3, augment="crop"
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(16, folder=tmp_path_factory.mktemp("photos"))


def fit(table, run_dir, options=OPTIONS, **kwargs):
    task = small_task("cells", table)
    train = small_dataset(table, range(12), augment="crop")
    validation = small_dataset(table, range(12, 16))
    record = fit_task(task, train, validation, options, run_dir, progress=False, **kwargs)
    return task, record


def last_weights(run_dir):
    path = run_dir / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_the_best_epoch_is_kept_and_every_epoch_noted(table, tmp_path):
    task, record = fit(table, tmp_path)
    losses = [epoch["val_loss"] for epoch in record.history]
    assert len(losses) == 3
    assert losses[record.best_epoch - 1] == min(losses)
    assert record.history[-1]["train_loss"] < record.history[0]["train_loss"]
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == record.best_epoch - 1
    assert same(
        {f"task.{name}": value for name, value in task.state_dict().items()}, best["state_dict"]
    )
    with (tmp_path / "history.csv").open() as file:
        assert [int(float(line["epoch"])) for line in csv.DictReader(file)] == [1, 2, 3]


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(table, tmp_path):
    _, whole = fit(table, tmp_path / "whole")
    fit(table, tmp_path / "parts", replace(OPTIONS, epochs=1))
    torch.manual_seed(99)  # another process would have another state
    _, resumed = fit(table, tmp_path / "parts", resume=True)
    assert same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "parts"))
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch


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


def test_only_broken_images_end_in_words(tmp_path):
    table = small_table(16, folder=tmp_path / "photos")
    for row in range(12):
        (tmp_path / "photos" / f"{row}.jpg").write_bytes(b"")
    with pytest.raises(GeolocError, match="Not one training image"):
        fit(table, tmp_path / "run")


def test_an_empty_part_is_refused(table, tmp_path):
    task = small_task("country", table)
    with pytest.raises(GeolocError, match="validation part is empty"):
        fit_task(task, small_dataset(table), small_dataset(table, []), OPTIONS, tmp_path)


def test_a_loss_that_is_not_a_number_stops_the_run(table, tmp_path):
    task = small_task("country", table)
    torch.nn.init.constant_(task.head.layers[-1].bias, float("nan"))
    train, validation = small_dataset(table, range(12)), small_dataset(table, range(12, 16))
    with pytest.raises(GeolocError, match=r"batch 1 in epoch 1 is not a number \(rows"):
        fit_task(task, train, validation, OPTIONS, tmp_path, progress=False)


def test_training_stops_when_validation_gets_no_better(table, tmp_path):
    options = replace(OPTIONS, epochs=40, patience=2, learning_rate=0.5)
    _, record = fit(table, tmp_path, options)
    assert len(record.history) < 40
    assert len(record.history) - record.best_epoch == 2


def test_a_frozen_encoder_ends_as_it_began(table, tmp_path):
    options = replace(OPTIONS, epochs=2, train_encoder="none")
    task = small_task("cells", table)
    before = {name: value.clone() for name, value in task.encoder.state_dict().items()}
    train, validation = small_dataset(table, range(12)), small_dataset(table, range(12, 16))
    fit_task(task, train, validation, options, tmp_path, progress=False)
    assert same(before, task.encoder.state_dict())


def test_stages_unfreeze_as_epochs_go_by(table, tmp_path):
    options = replace(OPTIONS, epochs=3, train_encoder="gradual")
    task = small_task("cells", table)
    first, last = task.encoder.stages()[0], task.encoder.stages()[-1]
    before = [{n: p.detach().clone() for n, p in s.named_parameters()} for s in (first, last)]
    train, validation = small_dataset(table, range(12)), small_dataset(table, range(12, 16))
    fit_task(task, train, validation, options, tmp_path, progress=False)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    task.load_state_dict({name.removeprefix("task."): value for name, value in state.items()})
    assert same(before[0], dict(first.named_parameters()))
    assert not same(before[1], dict(last.named_parameters()))


@pytest.mark.parametrize("kind", ["retrieval", "offset"])
def test_other_tasks_resume_to_the_same_weights_too(kind, table, tmp_path):
    def run(folder, options, **kwargs):
        task = (
            small_task(kind, table, false_from="queue")
            if kind == "retrieval"
            else small_task(kind, table)
        )
        train = small_dataset(table, range(12), augment="crop")
        fit_task(
            task,
            train,
            small_dataset(table, range(12, 16)),
            options,
            folder,
            progress=False,
            **kwargs,
        )

    run(tmp_path / "whole", replace(OPTIONS, epochs=2))
    run(tmp_path / "parts", replace(OPTIONS, epochs=1))
    torch.manual_seed(99)
    run(tmp_path / "parts", replace(OPTIONS, epochs=2), resume=True)
    assert same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "parts"))
