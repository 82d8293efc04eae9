"""Colours and blurs of a batch: those of torchvision where it has them, each photo by itself."""

import pytest
import torch
from geoloc_models_small import small_dataset, small_table, small_task
from torchvision.transforms.v2 import functional

from geoloc_models.models import TrainingOptions
from geoloc_models.training.augmentation import N_NUMBERS, numbers_of_rows, vary_colours
from geoloc_models.training.fit import fit_task

LEFT_ALONE = {0: 0.9, 5: 0.9, 6: 0.9}  # colours, grey, blur


def photos(n=1, size=40):
    """Smooth photos without colours at the ends of the scale, where a cut would come earlier or later."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(90, 140, (n, 3, 4, 4), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(
        torch.uint8
    )


def varied(pixels, **changes):
    numbers = torch.full((len(pixels), N_NUMBERS), 0.5)  # a factor of 1, no turn
    for column, value in {**LEFT_ALONE, **{int(k[1:]): v for k, v in changes.items()}}.items():
        numbers[:, column] = value
    return vary_colours(pixels, numbers)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda photo: photo),
        ({"_0": 0, "_1": 0.25}, lambda photo: functional.adjust_brightness(photo, 0.6)),
        ({"_0": 0, "_2": 1.0}, lambda photo: functional.adjust_contrast(photo, 1.8)),
        ({"_0": 0, "_3": 0.0}, lambda photo: functional.adjust_saturation(photo, 0.2)),
        ({"_5": 0.1}, lambda photo: functional.rgb_to_grayscale(photo, 3)),
        ({"_6": 0.1, "_7": 0.5}, lambda photo: functional.gaussian_blur(photo, [5, 5], [1.05] * 2)),
    ],
)
def test_each_change_is_that_of_torchvision(changes, expected):
    """Within 2, as torchvision cuts off fractions, of a grey too, where ours are rounded once."""
    difference = varied(photos(), **changes).int() - expected(photos()).int()
    assert difference.abs().max() <= 2


def test_a_third_of_a_turn_of_the_hue_swaps_channels_and_grey_stays():
    """The largest turn is a fifth; the matrix of 5/3 of it is worked by hand."""
    from geoloc_models.training.augmentation import _colour_matrices

    numbers = torch.full((1, 6), 0.5)
    numbers[0, 0], numbers[0, 4], numbers[0, 5] = 0, 0.5 + 0.5 * 5 / 3, 0.9
    matrix, about_grey = _colour_matrices(numbers)
    torch.testing.assert_close(matrix[0], torch.eye(3)[[2, 0, 1]], atol=1e-6, rtol=0)
    assert about_grey.tolist() == [0]
    grey = torch.full((1, 3, 40, 40), 77, dtype=torch.uint8)
    assert torch.equal(varied(grey, _0=0, _4=0.9), grey)


def test_photos_of_a_batch_are_varied_each_by_itself():
    pixels, numbers = photos(5), numbers_of_rows(range(5), 1, (0, 0)).flatten(0, 1)
    whole = vary_colours(pixels, numbers)
    for k in range(5):
        alone = vary_colours(pixels[k : k + 1], numbers[k : k + 1])
        assert (whole[k : k + 1].int() - alone.int()).abs().max() <= 1  # sums of another order
    assert len({photo.numpy().tobytes() for photo in whole}) == 5


def test_numbers_follow_the_seed_the_epoch_and_the_row():
    first = numbers_of_rows([3, 7], 2, (0, 1))
    assert first.shape == (2, 2, N_NUMBERS)
    assert torch.equal(numbers_of_rows([7, 3], 2, (0, 1)), first.flip(0))
    for other in (numbers_of_rows([3, 7], 2, seeds) for seeds in ((0, 2), (1, 1))):
        assert not torch.isclose(other, first).any()


@pytest.mark.parametrize(("kind", "views"), [("cells", 1), ("retrieval", 2)])
def test_a_resumed_run_is_an_uninterrupted_one(kind, views, tmp_path):
    table = small_table(12, folder=tmp_path / "photos")
    varied_batches = []

    def run(folder, epochs, **how):
        options = TrainingOptions(
            encoder="tiny", image_size=32, batch_size=4, learning_rate=1e-3, epochs=epochs,
            augment="simclr", views=views,
        )  # fmt: skip
        task = small_task(kind, table)
        parts = [
            small_dataset(table, range(8), augment="simclr", views=views),
            small_dataset(table, range(8, 12)),
        ]
        fit_task(task, *parts, options, tmp_path / folder, progress=False, **how)
        return task.state_dict()

    from geoloc_models.training import module

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            module, "vary_colours", lambda *a: varied_batches.append(a) or vary_colours(*a)
        )
        whole = run("whole", 2)
    assert [len(pixels) for pixels, _ in varied_batches] == [4 * views] * 4
    run("parts", 1)
    resumed = run("parts", 2, resume=True)
    assert all(torch.equal(values, resumed[name]) for name, values in whole.items())
