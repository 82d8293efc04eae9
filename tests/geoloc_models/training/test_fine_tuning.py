"""How a task is fine-tuned: its optimiser, rates of stages, schedules, averages, low-rank additions, less memory."""

import importlib.util
import os
import shutil
from dataclasses import replace

import pytest
import torch
from geoloc_models_small import random_batch, small_dataset, small_table, small_task

from geoloc_models.best_device import auto_workers, best_device, resolve_precision
from geoloc_models.errors import GeolocError
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import build_encoder
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.training.augmentation import N_NUMBERS, vary_colours
from geoloc_models.training.fine_tuning import parameter_groups, prepared
from geoloc_models.training.fit import fit_task
from geoloc_models.training.module import TaskModule, share_of_rate

OPTIONS = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=4, learning_rate=1e-2, epochs=2, schedule="warmup"
)
VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return small_table(16, folder=tmp_path_factory.mktemp("photos"))


def fit(table, folder, options, task=None, **kwargs):
    size = 32 if task is None else 224
    parts = [small_dataset(table, rows, size=size) for rows in (range(12), range(12, 16))]
    task = task or small_task("cells", table)
    return task, fit_task(task, *parts, options, folder, progress=False, **kwargs)


def test_each_stage_learns_at_a_share_of_the_rate_of_the_next():
    task = small_task("cells", small_table())
    groups = parameter_groups(task, replace(OPTIONS, learning_rate=1.0, layer_decay=0.5))
    rates = {id(values): group["lr"] for group in groups for values in group["params"]}
    of_stages = [
        {rates[id(values)] for values in stage.parameters()} for stage in task.encoder.stages()
    ]
    assert of_stages == [{0.0625}, {0.125}, {0.25}, {0.5}]
    assert {rates[id(values)] for values in task.head.parameters()} == {1.0}
    assert len(rates) == len(list(task.parameters()))


def test_warm_up_rises_and_falls_without_a_step_at_rate_zero():
    options = replace(OPTIONS, epochs=10)
    shares = [share_of_rate(options, epoch / 100) for epoch in range(1001)]
    assert shares[25] == pytest.approx(0.5)
    assert max(shares) == shares[50] == pytest.approx(1.0)
    assert shares[1000] == pytest.approx(0.0)
    assert shares[525] == pytest.approx(0.5, abs=0.01)


def test_the_average_of_the_weights_is_validated_and_kept(table, tmp_path):
    """Weights of two epochs of three steps: a decay of 0.5 leaves an eighth of each epoch's first."""
    options = replace(OPTIONS, ema=0.5, epochs=1)
    seen = []

    class Noting(TaskModule):
        def _learn(self, *batch):
            super()._learn(*batch)
            seen.append([values.detach().clone() for values in self.task.parameters()])

    from geoloc_models.training import fit as module

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "TaskModule", Noting)
        task, _ = fit(table, tmp_path, options)
    for first, second, third, kept in zip(*seen, task.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.25 * first + 0.25 * second + 0.5 * third)


def test_lora_trains_a_part_and_leaves_a_plain_encoder(table, tmp_path):
    pytest.importorskip("peft")
    encoder = build_encoder(VIT)
    before = {name: values.clone() for name, values in encoder.state_dict().items()}
    task = small_task("cells", table, encoder=encoder)
    options = replace(OPTIONS, encoder=VIT, image_size=224, train_encoder="lora", epochs=1)
    with prepared(encoder, options, 12):
        of_encoder = [values for values in encoder.parameters() if values.requires_grad]
        assert sum(values.numel() for values in of_encoder) < 0.2 * sum(
            values.numel() for values in before.values()
        )
    fit(table, tmp_path, options, task)
    after = encoder.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "backbone.blocks.0.attn.qkv.weight" in changed
    assert all(name.endswith("weight") for name in changed)


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for is_checkpointed in (False, True):
        task = small_task("country", small_table(), encoder=build_encoder_of_seed(VIT))
        with prepared(task.encoder, replace(OPTIONS, grad_checkpointing=is_checkpointed), 8):
            task.score(random_batch(task, 2, size=224)).loss.backward()
        gradients.append([values.grad for values in task.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


def build_encoder_of_seed(name):
    torch.manual_seed(0)
    return build_encoder(name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_encoder": "lora"}, "tiny has no linear layers"),
        ({"grad_checkpointing": True}, "tiny has no gradient checkpointing"),
        *(
            ({"log": name}, f"needs the package {name}")
            for name in ("tensorboard", "wandb", "mlflow")
            if importlib.util.find_spec(name) is None
        ),
    ],
)
def test_what_cannot_be_done_is_said(changes, words, table, tmp_path):
    with pytest.raises(GeolocError, match=words):
        fit(table, tmp_path, replace(OPTIONS, **changes))


@pytest.mark.parametrize("log", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_is_told_losses_and_options(log, table, tmp_path, monkeypatch):
    pytest.importorskip(log)
    monkeypatch.setenv("WANDB_MODE", "offline")
    fit(table, tmp_path, replace(OPTIONS, log=log))
    folder = tmp_path / ("mlruns" if log == "mlflow" else log)
    files = [path for path in folder.rglob("*") if path.is_file()]
    written = b"".join(path.name.encode() + path.read_bytes() for path in files)
    for name in (b"val_loss", b"train_accuracy", b"label_smoothing"):
        assert name in written


@pytest.mark.parametrize("kind", ["cells", "country", "pooled", "hierarchy"])
def test_smoothed_labels_count_in_training_alone(kind):
    losses = {}
    for smoothing in (0.0, 0.5):
        task = small_task(kind, small_table())
        module = TaskModule(task, replace(OPTIONS, label_smoothing=smoothing))
        batch = random_batch(task, 8)
        for is_training in (True, False):
            module.train(is_training)
            for layer in task.modules():
                if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                    layer.eval()
            losses[smoothing, is_training] = task.score(batch).loss.item()
    assert losses[0.5, False] == losses[0.0, False]
    assert losses[0.5, True] != losses[0.0, True]


@pytest.mark.parametrize(
    ("changes", "n_train", "is_compiled"),
    [
        ({}, 100_000, True),
        ({}, 99_999, False),
        ({"compile": True}, 10, True),
        ({"compile": False}, 10**6, False),
        ({"train_encoder": "none"}, 10**6, False),
    ],
)
def test_what_is_left_open_is_chosen_for_a_card(changes, n_train, is_compiled, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    options = TrainingOptions(encoder="tiny", **changes).resolve()
    assert options.batch_size == 128
    assert options.learning_rate == pytest.approx(5e-4 if "train_encoder" in changes else 2e-3)
    assert auto_workers() == min(16, len(os.sched_getaffinity(0)))
    assert resolve_precision("auto", best_device()) == "bf16"
    encoder = build_encoder("tiny")
    with prepared(encoder, options, n_train) as options:
        assert options.compile == is_compiled
    assert (
        encoder.backbone.blocks[0].body[0].weight.is_contiguous(memory_format=torch.channels_last)
    )


def test_photos_are_loaded_in_this_process_where_there_is_no_card(table):
    from geoloc_models.photos.dataset import make_loader

    photos = small_dataset(table)
    assert isinstance(photos, PhotoDataset)
    assert make_loader(photos, batch_size=2).num_workers == 0


def module_of(task, **options):
    return TaskModule(task, TrainingOptions(**{"learning_rate": 1e-2, "epochs": 4, **options}))


def learning(module, epoch):
    module.unfreeze_stages(epoch)
    return [
        all(p.requires_grad for p in stage.parameters()) for stage in module.task.encoder.stages()
    ]


def test_stages_unfreeze_from_the_last_one_down():
    task = small_task("cells", small_table())
    n_stages = len(task.encoder.stages())
    assert n_stages >= 3
    assert all(learning(module_of(task), 0))
    gradual = module_of(task, train_encoder="gradual", unfreeze_every=2)
    assert not any(learning(gradual, 1))
    assert learning(gradual, 2) == [False] * (n_stages - 1) + [True]
    assert learning(gradual, 4) == [False] * (n_stages - 2) + [True, True]
    assert all(learning(gradual, 1000))
    assert not any(learning(module_of(task, train_encoder="none"), 1000))


@pytest.mark.parametrize(("decay", "kind"), [(0.0, torch.optim.Adam), (0.1, torch.optim.AdamW)])
def test_the_optimiser_follows_the_options(decay, kind):
    module = module_of(small_task("country", small_table()), learning_rate=3e-4, weight_decay=decay)
    optimiser = module.configure_optimizers()
    assert type(optimiser) is kind
    assert optimiser.param_groups[0]["lr"] == 3e-4
    assert optimiser.param_groups[0]["weight_decay"] == decay
    assert optimiser.param_groups[0]["fused"]


def test_a_cosine_schedule_lowers_the_rate_epoch_by_epoch():
    module = module_of(small_task("country", small_table()), learning_rate=2.0, schedule="cosine")
    rates = [2.0 * share_of_rate(module.options, epoch) for epoch in (0, 0.9, 1, 2, 3)]
    assert rates == pytest.approx([2.0, 2.0, 1.7071, 1.0, 0.2929], abs=1e-4)


def test_what_a_step_does_beside_the_loss_looks_at_no_number_of_the_device():
    """Tensors without numbers, of the device meta, raise where a number is asked for."""
    module = module_of(small_task("cells", small_table()), ema=0.9)
    module.setup("fit")
    module.to("meta")
    module._follow(0.9)
    pixels = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device="meta")
    assert vary_colours(pixels, torch.zeros(4, N_NUMBERS, device="meta")).shape == pixels.shape
