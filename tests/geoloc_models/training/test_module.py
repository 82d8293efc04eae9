"""The optimiser of a task, and the stages of its encoder that learn."""

import pytest
import torch
from geoloc_models_small import small_table, small_task

from geoloc_models.models import TrainingOptions
from geoloc_models.training.augmentation import N_NUMBERS, vary_colours
from geoloc_models.training.module import TaskModule, share_of_rate

TABLE = small_table()


def module_of(task, **options):
    return TaskModule(task, TrainingOptions(**{"learning_rate": 1e-2, "epochs": 4, **options}))


def learning(module, epoch):
    module.unfreeze_stages(epoch)
    return [
        all(p.requires_grad for p in stage.parameters()) for stage in module.task.encoder.stages()
    ]


def test_stages_unfreeze_from_the_last_one_down():
    task = small_task("cells", TABLE)
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
    module = module_of(small_task("country", TABLE), learning_rate=3e-4, weight_decay=decay)
    optimiser = module.configure_optimizers()
    assert type(optimiser) is kind
    assert optimiser.param_groups[0]["lr"] == 3e-4
    assert optimiser.param_groups[0]["weight_decay"] == decay


def test_a_cosine_schedule_lowers_the_rate_epoch_by_epoch():
    module = module_of(small_task("country", TABLE), learning_rate=2.0, schedule="cosine")
    rates = [2.0 * share_of_rate(module.options, epoch) for epoch in (0, 0.9, 1, 2, 3)]
    assert rates == pytest.approx([2.0, 2.0, 1.7071, 1.0, 0.2929], abs=1e-4)


def test_what_a_step_does_beside_the_loss_looks_at_no_number_of_the_device():
    """Tensors without numbers, of the device meta, raise where a number is asked for."""
    module = module_of(small_task("cells", TABLE), ema=0.9)
    module.setup("fit")
    module.to("meta")
    module._follow(0.9)
    pixels = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device="meta")
    assert vary_colours(pixels, torch.zeros(4, N_NUMBERS, device="meta")).shape == pixels.shape
