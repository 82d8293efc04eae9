"""Embedding: every image once, whatever happens on the way."""

import signal

import numpy as np
import pytest
import torch
from geoloc_models_noisy import (
    InterruptedImages,
    NoisyImages,
    embedded,
    start_process,
    tiny_encoder,
)
from torch import nn

from geoloc_models.best_device import is_out_of_memory, resolve_precision
from geoloc_models.errors import GeolocError
from geoloc_models.features import embedding
from geoloc_models.features.cache import FeatureCache
from geoloc_models.features.embed_options import EmbedOptions
from geoloc_models.features.embedding import embed
from geoloc_models.models.encoders import ImageEncoder, Preprocessing

# Convolutions of other batch sizes add up in another order: float32 rounding of values near 1.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def expected():
    """Features of 40 images, one by one, by the transform that training uses."""
    encoder = tiny_encoder().eval()
    transform = encoder.preprocessing.transform()
    images = NoisyImages(40)
    with torch.inference_mode():
        features = [encoder(transform(images.load(row))[None])[0] for row in range(40)]
    return torch.stack(features).numpy()


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 7, "workers": 2}])
def test_a_feature_is_the_encoders_whatever_the_batch_and_workers(tmp_path, expected, options):
    record = embedded(NoisyImages(40), tmp_path / "f.npy", **options)
    np.testing.assert_allclose(record.cache.features, expected, atol=ROUNDING)
    record.cache.require_finished()
    assert record.n_embedded == 40
    assert record.images_per_second > 0


def test_images_are_resized_as_the_encoder_wants_them(tmp_path):
    encoder = tiny_encoder().eval()
    encoder.preprocessing = Preprocessing(16, interpolation="bicubic")
    images = NoisyImages(3)
    transform = encoder.preprocessing.transform()
    with torch.inference_mode():
        expected = encoder(torch.stack([transform(images.load(row)) for row in range(3)])).numpy()
    record = embedded(images, tmp_path / "f.npy", encoder)
    np.testing.assert_allclose(record.cache.features, expected, atol=ROUNDING)


def test_float16_keeps_three_digits(tmp_path, expected):
    record = embedded(NoisyImages(40), tmp_path / "f.npy", dtype="float16")
    assert record.cache.features.dtype == np.float16
    np.testing.assert_allclose(record.cache.features, expected, rtol=1e-3, atol=1e-4)


def test_bf16_is_near_float32(tmp_path, expected):
    record = embedded(NoisyImages(6), tmp_path / "f.npy", precision="bf16")
    # bf16 has 8 bits: a relative error of 0.4 % in each of a few layers
    np.testing.assert_allclose(record.cache.features, expected[:6], atol=0.05)
    assert record.cache.card.precision == "bf16"


def test_broken_images_are_marked_and_listed(tmp_path, expected):
    images = NoisyImages(40, broken=[0, 1, 2, 3, 17])
    record = embedded(images, tmp_path / "f.npy", batch_size=4)
    assert record.cache.broken_rows.tolist() == [0, 1, 2, 3, 17]
    assert dict(record.broken)[17] == "17.jpg: is not an image"
    assert record.n_embedded == 35
    record.cache.require_finished()
    whole = np.setdiff1d(np.arange(40), [0, 1, 2, 3, 17])
    np.testing.assert_allclose(record.cache.features[whole], expected[whole], atol=ROUNDING)


def test_a_second_run_loads_nothing(tmp_path):
    embedded(NoisyImages(9, broken=[4]), tmp_path / "f.npy")
    images = NoisyImages(9)
    record = embedded(images, tmp_path / "f.npy")
    assert images.loaded == []
    assert record.n_embedded == 0
    assert record.broken.rows == [4]


def test_without_resume_everything_is_computed_anew(tmp_path):
    embedded(NoisyImages(9, broken=[4]), tmp_path / "f.npy")
    record = embedded(NoisyImages(9), tmp_path / "f.npy", tiny_encoder(seed=1), resume=False)
    assert (record.n_embedded, record.broken.rows) == (9, [])


def test_after_a_kill_only_what_was_not_marked_is_computed(tmp_path, expected, monkeypatch):
    path = tmp_path / "f.npy"
    monkeypatch.setattr(embedding, "_FLUSH_SECONDS", 0.0)
    child = start_process(
        lambda: embedded(NoisyImages(40, broken=[2], fatal=30), path, batch_size=3)
    )
    child.join()
    assert child.exitcode == -signal.SIGKILL
    pending = np.flatnonzero(FeatureCache.open(path).state == 0).tolist()
    assert 0 < len(pending) < 40
    images = NoisyImages(40, broken=[2])
    record = embedded(images, path)
    assert images.loaded == pending
    assert record.n_embedded == len(pending)
    assert record.broken.rows == [2]
    whole = np.delete(np.arange(40), 2)
    np.testing.assert_allclose(record.cache.features[whole], expected[whole], atol=ROUNDING)


def test_an_interruption_marks_what_was_done(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embedded(InterruptedImages(12, 8), tmp_path / "f.npy", batch_size=4)
    assert np.flatnonzero(FeatureCache.open(tmp_path / "f.npy").state).tolist() == list(range(8))


class Small(nn.Module):
    """A backbone on a device that holds so many images; its features are means of colours."""

    def __init__(self, limit, error):
        super().__init__()
        self.limit, self.error = limit, error

    def forward(self, image):
        if len(image) > self.limit:
            raise self.error
        return image.mean((2, 3))


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError(),
]


def small_encoder(limit, error, dim=3):
    return ImageEncoder(Small(limit, error), dim=dim, name="small", preprocessing=Preprocessing(16))


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_the_batch_is_halved_until_it_fits_and_recorded(tmp_path, error):
    images = NoisyImages(19)
    record = embedded(images, tmp_path / "f.npy", small_encoder(3, error), batch_size=8)
    assert record.batch_size == 2
    whole = embedded(images, tmp_path / "g.npy", small_encoder(99, error)).cache.features
    np.testing.assert_allclose(record.cache.features, whole, atol=ROUNDING)


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (small_encoder(0, OUT_OF_MEMORY[0]), "too little memory for one image of 16 x 16"),
        (small_encoder(0, RuntimeError("a bug")), "a bug"),
        (small_encoder(9, None, dim=5), r"must give features of 5 numbers.*\(3, 3\)"),
    ],
)
def test_what_an_encoder_cannot_do_is_told(tmp_path, encoder, words):
    with pytest.raises(RuntimeError if words == "a bug" else GeolocError, match=words):
        embedded(NoisyImages(3), tmp_path / "f.npy", encoder)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_features_that_are_not_finite_are_refused(tmp_path):
    encoder = tiny_encoder()
    with torch.no_grad():
        encoder.backbone.stem[0].weight.fill_(float("nan"))
    with pytest.raises(GeolocError, match=r"feature of row 0 .*not finite"):
        embedded(NoisyImages(3), tmp_path / "f.npy", encoder)


def test_auto_goes_on_in_the_precision_that_the_cache_was_begun_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embedded(InterruptedImages(8, 4), tmp_path / "f.npy", batch_size=4, precision="bf16")
    with pytest.raises(GeolocError, match="begun with precision bf16, not 32"):
        embedded(NoisyImages(8), tmp_path / "f.npy", precision="32")
    assert embedded(NoisyImages(8), tmp_path / "f.npy").cache.card.precision == "bf16"


def test_a_lost_worker_is_told_and_its_rows_stay_pending(tmp_path, expected):
    with pytest.raises(GeolocError, match=r"ended from outside.*fewer workers"):
        embedded(NoisyImages(12, fatal=9), tmp_path / "f.npy", batch_size=2, workers=1)
    assert FeatureCache.open(tmp_path / "f.npy").state[9] == 0
    record = embedded(NoisyImages(12), tmp_path / "f.npy")
    np.testing.assert_allclose(record.cache.features, expected[:12], atol=ROUNDING)


def test_impossible_options_are_refused(tmp_path):
    for options, words in (
        ({"batch_size": 0}, "batch size.*0"),
        ({"workers": -1}, "workers.*-1"),
        ({"precision": "8"}, "Unknown precision '8'"),
        ({"dtype": "int8"}, "float32 or float16.*int8"),
    ):
        with pytest.raises(GeolocError, match=words):
            embedded(NoisyImages(3), tmp_path / "f.npy", **options)
    with pytest.raises(GeolocError, match="3 images and 2 keys"):
        embed(NoisyImages(3), ["a", "b"], tiny_encoder(), tmp_path / "f.npy")


def test_a_cpu_computes_in_32_unless_told_otherwise():
    cpu = torch.device("cpu")
    assert resolve_precision("auto", cpu) == "32"
    assert resolve_precision("bf16", cpu) == "bf16"


def test_batches_shrink_with_the_area_of_the_images():
    sizes = {}
    for size in (64, 224, 448, 1024):
        runner = embedding._Runner(tiny_encoder(image_size=size), EmbedOptions(), "cpu")
        sizes[size] = runner._fitting_batch_size()
    assert sizes == {64: 64, 224: 16, 448: 4, 1024: 1}
