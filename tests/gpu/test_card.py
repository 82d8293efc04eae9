"""What a graphics card does as a CPU does: it resumes, it is as accurate, it compiles once, it is not waited for."""

import os
from dataclasses import replace

import pytest
import torch
from geoloc_models_small import note_who_loads, random_batch, small_dataset, small_table, small_task

from geoloc_models.best_device import auto_workers
from geoloc_models.models import TrainingOptions
from geoloc_models.training.augmentation import numbers_of_rows, vary_colours
from geoloc_models.training.fit import fit_task
from geoloc_models.training.module import TaskModule

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card"),
]
OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=4, learning_rate=1e-3, epochs=3, augment="crop"
)
TRAINED = ["pooled", "country", "cells", "offset", "hierarchy", "retrieval", "refined"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(64, folder=tmp_path_factory.mktemp("photos"))


def fit(table, run_dir, options=OPTIONS, kind="cells", **kwargs):
    task = small_task(kind, table)
    parts = small_dataset(table, range(47), augment="crop"), small_dataset(table, range(47, 64))
    return task, fit_task(task, *parts, options, run_dir, progress=False, **kwargs)


def test_a_resumed_run_is_an_uninterrupted_one_within_rounding(table, tmp_path):
    options = replace(OPTIONS, precision="32")
    whole, record = fit(table, tmp_path / "whole", options)
    fit(table, tmp_path / "parts", replace(options, epochs=1))
    resumed, again = fit(table, tmp_path / "parts", options, resume=True)
    for ours, theirs in zip(again.history, record.history, strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-2, abs=1e-3)
    for name, values in whole.state_dict().items():
        distance = (resumed.state_dict()[name] - values).float().norm()
        assert distance <= 0.02 * values.float().norm() + 1e-3, name


def test_half_the_bits_are_as_accurate(table, tmp_path):
    """Colours tell the two countries apart, in either precision."""
    for precision in ("32", "bf16"):
        options = replace(OPTIONS, precision=precision)
        _, record = fit(table, tmp_path / precision, options, kind="country")
        assert max(epoch["val_accuracy"] for epoch in record.history) > 0.9


def test_an_encoder_is_compiled_to_train_and_to_validate_and_no_more(table, tmp_path):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    fit(table, tmp_path, replace(OPTIONS, compile=True))  # short batches at the end of both parts
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_workers_start_by_themselves_and_live_through_all_epochs(tmp_path):
    table = small_table(192, folder=tmp_path / "photos")
    parts = [small_dataset(table, range(128)), small_dataset(table, range(128, 192))]
    note_who_loads(parts, tmp_path / "notes")
    fit_task(small_task("cells", table), *parts, OPTIONS, tmp_path / "run", progress=False)
    loaded_by = set((tmp_path / "notes").read_text().split())
    assert str(os.getpid()) not in loaded_by
    assert len(loaded_by) == min(auto_workers(), 192 // 64)


@pytest.mark.parametrize(
    ("kind", "how"), [*((kind, {}) for kind in TRAINED), ("retrieval", {"false_from": "queue"})]
)
def test_a_step_does_not_wait_for_the_card(kind, how):
    """Nor do the average of the weights and the colours of the next batch."""
    table = small_table(24)
    task = small_task(kind, table, **how)
    module = TaskModule(task, replace(OPTIONS, ema=0.9))
    module.setup("fit")
    module.cuda()
    batches = [random_batch(task, 8, seed=seed) for seed in range(2)]
    for batch in batches:
        batch["image"] = (40 * batch["image"] + 128).clamp(0, 255).to(torch.uint8)
        batch["numbers"] = numbers_of_rows(range(8), 1, (0, 0))
        for name, values in batch.items():
            batch[name] = values.pin_memory() if isinstance(values, torch.Tensor) else values
    optimizer = torch.optim.Adam(task.parameters(), fused=True)

    def step(batch):
        optimizer.zero_grad()
        moved = module.transfer_batch_to_device(batch, torch.device("cuda", 0), 0)
        moved = module.on_after_batch_transfer(moved, 0)
        task.score(moved).loss.backward()
        optimizer.step()
        module._follow(0.9)
        return moved

    step(batches[0])  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        moved = step(batches[1])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    varied = vary_colours(batches[1]["image"], batches[1]["numbers"].flatten(0, 1))
    assert (moved["image"].cpu().int() - varied.int()).abs().max() <= 1
    assert torch.equal(moved["coords"].cpu(), batches[1]["coords"])
