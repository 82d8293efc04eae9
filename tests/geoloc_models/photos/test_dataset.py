import csv
import pickle

import numpy as np
import pytest
import torch
from geoloc_models_photos import noise
from PIL import Image
from torchvision.transforms import v2

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.photos.dataset import BrokenImages, PhotoDataset, collate_photos, make_loader
from geoloc_models.photos.framing import IMAGENET_MEAN, IMAGENET_STD, make_framing, normalised


class GreyImages:
    """Row r is a grey of brightness r; some rows are broken."""

    def __init__(self, n, broken=()):
        self.n, self.broken = n, set(broken)

    def __len__(self):
        return self.n

    def describe(self, row):
        return f"{row}.jpg"

    def load(self, row):
        if row in self.broken:
            raise BrokenImageError(f"{row}.jpg: is not an image")
        return Image.new("RGB", (12, 10), (row, row, row))


def make_dataset(n=20, broken=(), rows=None, **options):
    coords = np.column_stack([np.arange(n) / 2, np.arange(n) * 3.0])
    images, transform = GreyImages(n, broken), make_framing(8)
    return PhotoDataset(images, coords, np.arange(n) % 2, transform, rows=rows, **options)


def test_an_item_carries_its_image_and_labels():
    item = make_dataset(cell_labels=np.arange(20) * 10, rows=[4, 7])[1]
    assert item["image"].shape == (3, 8, 8)
    assert item["image"].dtype == torch.uint8
    assert item["coords"].dtype == torch.float64
    assert item["coords"].tolist() == [3.5, 21.0]
    for key, value in {"country": 1, "cell": 70, "row": 7}.items():
        assert item[key].dtype == torch.int64
        assert item[key].item() == value
    assert make_dataset()[3]["cell"].item() == -1  # without cells


def test_pixels_are_normalised_by_the_imagenet_mean_and_deviation():
    pixels = make_dataset(n=256)[51]["image"]  # 51 / 255 = 0.2
    image = normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)
    for channel in range(3):
        expected = (0.2 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        # float32 rounding of values near 2
        torch.testing.assert_close(image[channel], torch.full((8, 8), expected), atol=1e-5, rtol=0)


def test_a_batch_leaves_broken_images_out_and_lists_them():
    item = make_dataset(broken=[7], rows=[4, 7])[1]
    assert item == {"row": 7, "broken": "7.jpg: is not an image"}
    dataset = make_dataset(broken=[1, 3])
    batch = collate_photos([dataset[i] for i in range(5)])
    assert batch["image"].shape == (3, 3, 8, 8)
    assert batch["row"].tolist() == [0, 2, 4]
    assert batch["country"].tolist() == [0, 0, 0]
    assert batch["coords"].tolist() == [[0, 0], [1, 6], [2, 12]]
    assert batch["broken"] == [(1, "1.jpg: is not an image"), (3, "3.jpg: is not an image")]


def test_a_batch_of_broken_images_only_is_empty():
    dataset = make_dataset(broken=range(20))
    batch = collate_photos([dataset[i] for i in range(4)])
    assert batch["image"].shape[0] == 0
    assert batch["coords"].shape == (0, 2)
    assert batch["country"].dtype == batch["cell"].dtype == batch["row"].dtype == torch.int64
    assert len(batch["broken"]) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_holds_every_whole_image_once(workers):
    batches = list(make_loader(make_dataset(broken=[5]), batch_size=6, workers=workers))
    rows = torch.cat([batch["row"] for batch in batches]).tolist()
    assert rows == [row for row in range(20) if row != 5]
    assert [row for batch in batches for row, _ in batch["broken"]] == [5]


def test_a_loader_keeps_the_order_of_rows_and_draws_none_of_torchs_numbers():
    before = torch.get_rng_state()
    batches = list(make_loader(make_dataset(rows=[9, 2, 5]), batch_size=2))
    assert [batch["row"].tolist() for batch in batches] == [[9, 2], [5]]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_plain_transform_takes_the_centre():
    image = Image.new("RGB", (30, 10), "black")
    image.paste("white", (10, 0, 20, 10))
    assert (make_framing(10)(image) == 255).all()


@pytest.mark.parametrize(("width", "height"), [(300, 171), (41, 97), (24, 24), (20, 33), (1, 9)])
def test_the_plain_transform_is_torchvisions_to_the_last_bit(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    theirs = v2.Compose(
        [
            *(v2.ToImage(), v2.Resize(24, antialias=True), v2.CenterCrop(24)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean=list(IMAGENET_MEAN), std=list(IMAGENET_STD)),
            v2.ToPureTensor(),
        ]
    )
    image = Image.fromarray(pixels)
    framed, expected = make_framing(24)(image), theirs(image)
    assert framed.dtype == torch.uint8
    ours = normalised(framed, IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(ours, expected)
    assert ours.stride() == expected.stride()  # a network sums in another order for another layout


def test_a_transform_goes_to_worker_processes():
    image = noise(20, 20)
    transform = make_framing(16, views=2)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))


def test_augmentation_varies_by_torchs_generator_and_never_turns_upside_down():
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16] = 255  # sky above
    pixels[:, :8, 0] = 0
    image = Image.fromarray(pixels)
    transform = make_framing(16, augment="crop")
    torch.manual_seed(0)
    first = [transform(image) for _ in range(20)]
    torch.manual_seed(0)
    for a, b in zip(first, [transform(image) for _ in range(20)], strict=True):
        assert torch.equal(a, b)
    assert not all(torch.equal(first[0], other) for other in first)
    for tensor in first:
        assert tensor.shape == (3, 16, 16)
        assert tensor[1, :4].float().mean() > tensor[1, -4:].float().mean() + 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"coords": np.zeros((3, 2))}, "20 images but 3 coordinates"),
        ({"country_index": [0]}, "20 images but 1 country classes"),
        ({"cell_labels": np.zeros(21)}, "20 images but 21 cell labels"),
        ({"rows": [0, 20]}, "between 0 and 19.*20"),
        ({"rows": [-1]}, "between 0 and 19.*-1"),
    ],
)
def test_mismatched_lengths_are_refused(change, words):
    labels = {"coords": np.zeros((20, 2)), "country_index": np.zeros(20), **change}
    with pytest.raises(GeolocError, match=words):
        PhotoDataset(GreyImages(20), transform=make_framing(8), **labels)


def test_impossible_loader_and_transform_options_are_refused():
    with pytest.raises(GeolocError, match=r"batch size.*0"):
        make_loader(make_dataset(), batch_size=0)
    with pytest.raises(GeolocError, match=r"workers.*-1"):
        make_loader(make_dataset(), batch_size=1, workers=-1)
    with pytest.raises(GeolocError, match=r"image size.*0"):
        make_framing(0)


def test_broken_images_are_noted_once_and_written_in_order(tmp_path):
    broken = BrokenImages()
    broken.extend([(9, "i.jpg: truncated"), (2, "b.jpg: no, it is not an image")])
    broken.extend([(9, "i.jpg: again")])
    assert len(broken) == 2
    assert broken.rows == [2, 9]
    assert broken.messages == ["b.jpg: no, it is not an image", "i.jpg: truncated"]
    path = tmp_path / "run" / "broken.csv"
    broken.write_csv(path)
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["row", "reason"],
            ["2", "b.jpg: no, it is not an image"],
            ["9", "i.jpg: truncated"],
        ]
    assert [file.name for file in path.parent.iterdir()] == ["broken.csv"]
