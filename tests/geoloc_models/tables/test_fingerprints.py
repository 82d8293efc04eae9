"""What changes an image's fingerprints, and what does not."""

import io

import numpy as np
import pytest
from geoloc_models_photos import encoded, scene
from PIL import Image, ImageEnhance

from geoloc_models.errors import GeolocError
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.fingerprints import content_hash, fingerprint_images, perceptual_hash


def through_jpeg(image, quality):
    return Image.open(io.BytesIO(encoded(image, quality=quality))).convert("RGB")


def distance(left, right):
    return (perceptual_hash(left)[0] ^ perceptual_hash(right)[0]).bit_count()


def hash_slowly(image):
    """The definition, with the cosine transform written out."""
    grey = np.asarray(
        image.convert("L").convert("F").resize((32, 32), Image.Resampling.BILINEAR), dtype=float
    )
    k, x = np.arange(32)[:, None], np.arange(32)[None, :]
    basis = np.cos(np.pi * k * (2 * x + 1) / 64) * np.where(
        k == 0, np.sqrt(1 / 32), np.sqrt(2 / 32)
    )
    waves = basis @ grey @ basis.T
    lowest = sorted((i * i + j * j, i, j) for i in range(32) for j in range(32))[1:65]
    values = [round(waves[i, j], 3) for _, i, j in lowest]
    middle = np.median(values)
    return sum(1 << bit for bit, value in enumerate(values) if value > middle)


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptual_hash_is_that_of_its_definition(seed):
    assert perceptual_hash(scene(seed)) == (hash_slowly(scene(seed)), False)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: through_jpeg(image, 50),
        lambda image: image.resize((100, 75), Image.Resampling.LANCZOS),
        lambda image: image.resize((400, 300), Image.Resampling.BICUBIC),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: ImageEnhance.Contrast(image).enhance(0.7),
        lambda image: image.convert("L").convert("RGB"),
        lambda image: through_jpeg(image.resize((160, 120)), 60),
    ],
    ids=["jpeg", "half", "double", "darker", "softer", "grey", "small jpeg"],
)
def test_small_changes_flip_few_bits(change):
    assert max(distance(scene(seed), change(scene(seed))) for seed in range(12)) <= 6


def test_other_pictures_are_far_apart():
    codes = [perceptual_hash(scene(seed))[0] for seed in range(60)]
    apart = [(a ^ b).bit_count() for k, a in enumerate(codes) for b in codes[:k]]
    # Half of the bits are set in each, so strangers differ in 32 on average.
    assert 30 < np.mean(apart) < 34
    assert min(apart) > 6  # the default distance of near duplicates
    assert {code.bit_count() for code in codes} == {32}
    assert distance(scene(0), scene(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 12


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_images_of_one_colour_are_flat(grey):
    image = Image.new("RGB", (80, 60), (grey, grey, grey))
    assert perceptual_hash(image) == (0, True)
    noise = np.random.default_rng(0).integers(-3, 4, (60, 80, 3)) + grey
    noisy = through_jpeg(Image.fromarray(noise.clip(0, 255).astype(np.uint8)), 70)
    assert perceptual_hash(noisy)[1]
    assert not perceptual_hash(ImageEnhance.Brightness(scene(0)).enhance(0.15))[1]  # only dim


def test_content_is_pixels_and_size(tmp_path):
    image = scene(0)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    again = [content_hash(Image.open(tmp_path / name)) for name in ("a.png", "b.bmp")]
    assert again == [content_hash(image)] * 2
    other = image.copy()
    other.putpixel((0, 0), (1, 2, 3))
    turned = Image.frombytes("RGB", (image.height, image.width), image.tobytes())
    assert len({content_hash(i) for i in (image, other, turned)}) == 3


def test_files_are_fingerprinted_in_order_and_broken_ones_counted(tmp_path):
    names = []
    for seed in range(30):
        names.append(f"{seed}.png")
        scene(seed, (60, 40)).save(tmp_path / names[-1])
    (tmp_path / "3.png").write_bytes(b"not an image")
    (tmp_path / "4.png").unlink()
    prints = fingerprint_images(FileImages(names, tmp_path), n_workers=3)
    assert np.flatnonzero(prints.is_broken).tolist() == [3, 4]
    assert "3.png" in prints.messages[0]
    assert "4.png" in prints.messages[1]
    assert prints.content[3] == prints.perceptual[4] == 0
    for seed in (0, 29):
        image = scene(seed, (60, 40))
        assert prints.content[seed] == content_hash(image)
        assert prints.perceptual[seed] == perceptual_hash(image)[0]


def test_a_wrong_folder_is_noticed_and_no_images_have_no_fingerprints(tmp_path):
    with pytest.raises(GeolocError, match=r"None of the first 2 images.*a\.jpg.*folder"):
        fingerprint_images(FileImages(["a.jpg", "b.jpg"], tmp_path))
    assert fingerprint_images(FileImages([])).content.shape == (0,)
