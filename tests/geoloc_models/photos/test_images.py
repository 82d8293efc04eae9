import io
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import run_python
from geoloc_models_photos import encoded, gps_exif, noise, write_tar
from PIL import Image, ImageCms

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.photos import opening as open_module
from geoloc_models.photos.dataset import PhotoDataset
from geoloc_models.photos.framing import make_framing
from geoloc_models.photos.images import FileImages, ImageSource
from geoloc_models.photos.opening import TooManyPixelsError, open_photo

ORIENTATION = 0x0112


def test_an_image_file_is_read_in_rgb(tmp_path):
    noise(5, 4).save(tmp_path / "a.png")
    images = FileImages(["a.png"], root=tmp_path)
    assert isinstance(images, ImageSource)
    assert len(images) == 1
    loaded = images.load(0)
    assert loaded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(noise(5, 4)))
    assert images.describe(0) == str(tmp_path / "a.png")


def broken_message(path):
    with pytest.raises(BrokenImageError) as caught:
        FileImages([path]).load(0)
    message = str(caught.value)
    assert message == f"{path}: {caught.value.reason}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    assert "\n" not in message
    return message


def test_what_is_no_image_is_broken(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("<html>404</html>")
    assert "not an image" in broken_message(path)
    path.write_bytes(b"")
    assert "not an image" in broken_message(path)
    assert "no such file" in broken_message(tmp_path / "none.jpg")
    broken_message(tmp_path)  # a folder


def test_an_image_with_too_many_pixels_is_broken(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise(20, 20).save(path)
    monkeypatch.setattr(open_module, "MAX_PIXELS", 399)
    assert "400 pixels" in broken_message(path)
    monkeypatch.setattr(open_module, "MAX_PIXELS", 400)
    assert FileImages([path]).load(0).size == (20, 20)
    with pytest.raises(TooManyPixelsError, match="400 pixels, more than 399"):
        open_photo(path, max_pixels=399)
    assert open_photo(path, max_pixels=400).size == (20, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # pillow refuses twice as many itself
    broken_message(path)


# Draft mode: a JPEG comes at the smallest 1/2/4/8 of its size whose shorter side still suffices.


@pytest.mark.parametrize(
    ("min_side", "size"),
    [
        (None, (1600, 1200)),
        (1200, (1600, 1200)),
        (601, (1600, 1200)),
        (600, (800, 600)),
        (301, (800, 600)),
        (300, (400, 300)),
        (150, (200, 150)),
        (1, (200, 150)),
        (5000, (1600, 1200)),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_decoded_no_smaller_than_asked(tmp_path, min_side, size, progressive):
    Image.new("RGB", (1600, 1200), (200, 10, 90)).save(tmp_path / "a.jpg", progressive=progressive)
    loaded = FileImages(["a.jpg"], tmp_path, min_side=min_side).load(0)
    assert loaded.size == size
    assert loaded.mode == "RGB"
    assert abs(np.asarray(loaded).astype(int) - [200, 10, 90]).max() <= 3


def test_other_kinds_keep_their_size_in_draft_mode(tmp_path):
    for name in ("a.png", "a.webp", "a.tif"):
        noise(64, 48).save(tmp_path / name)
        assert FileImages([name], tmp_path, min_side=6).load(0).size == (64, 48)


def test_a_draft_shows_what_the_whole_image_shows(tmp_path):
    ramp = np.linspace(0, 255, 320, dtype=np.uint8)
    pixels = np.stack([np.tile(ramp, (240, 1)), np.tile(ramp[:240, None], (1, 320))], axis=2)
    pixels = np.concatenate([pixels, pixels[..., :1]], axis=2)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    draft = FileImages(["a.jpg"], tmp_path, min_side=60).load(0)
    assert draft.size == (80, 60)
    smaller = FileImages(["a.jpg"], tmp_path).load(0).resize((80, 60), Image.Resampling.BOX)
    assert np.abs(np.asarray(draft).astype(int) - np.asarray(smaller).astype(int)).max() <= 4


def test_orientation_is_applied_after_a_draft(tmp_path):
    wide = Image.new("RGB", (400, 200), "black")
    wide.paste("white", (0, 0, 200, 200))
    wide.save(tmp_path / "a.jpg", exif=gps_exif(orientation=6))
    upright = FileImages(["a.jpg"], tmp_path, min_side=50).load(0)
    assert upright.size == (50, 100)
    pixels = np.asarray(upright).mean(axis=(1, 2))
    assert pixels[:48].min() > 200
    assert pixels[52:].max() < 50


@pytest.mark.parametrize("orientation", [*range(10), 65535])
def test_every_orientation_is_turned_upright_and_what_is_none_changes_nothing(orientation):
    upright = noise(6, 4)
    # What the camera wrote: the way back from upright.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    content = encoded(stored, "PNG", exif=gps_exif(orientation=orientation))
    np.testing.assert_array_equal(open_photo(content), upright)


@pytest.mark.parametrize(
    "odd_entry",
    [
        struct.pack("<HHII", 0x8769, 4, 1, 0xFFFFFF),  # a directory beyond the end
        struct.pack("<HHII", 0x8769, 4, 1, 8),  # a directory that contains itself
        struct.pack("<HHII", 0x010F, 2, 0x7FFFFFFF, 0xFFFF),  # a text of two gigabytes
        struct.pack("<HHII", 0x9999, 99, 1, 0),  # a type that does not exist
    ],
)
def test_an_odd_exif_entry_beside_the_orientation_loses_neither(tmp_path, odd_entry):
    orientation = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + orientation + odd_entry + bytes(4)
    noise(6, 4).save(tmp_path / "a.jpg", exif=exif)
    assert FileImages(["a.jpg"], tmp_path).load(0).size == (4, 6)


def test_damaged_exif_data_do_not_break_an_image(tmp_path):
    noise(6, 4).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
    assert FileImages(["a.png"], tmp_path).load(0).size == (6, 4)


def test_an_impossible_least_side_and_a_row_without_a_path_are_refused():
    for min_side in (0, -1):
        with pytest.raises(GeolocError, match=f"min_side.*{min_side}"):
            FileImages([], min_side=min_side)
    with pytest.raises(GeolocError, match="row 1 has nan"):
        FileImages(["a.jpg", float("nan")])
    assert len(FileImages([])) == 0


# Pixels alone decide.


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("min_side", [None, 32])
def test_only_pixels_reach_a_model(tmp_path, name, min_side):
    """One picture with no GPS position and with two different ones is one and the same tensor."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = [
        {},
        {"exif": gps_exif(47.3769, 8.5417)},
        {"exif": gps_exif(-33.9, 151.2, time="2020:01:02 03:04:05"), "icc_profile": profile},
    ]
    for number, option in enumerate(options):
        (tmp_path / str(number)).mkdir()
        lossless = {"lossless": True} if name == "a.webp" else {}
        noise(80, 64).save(tmp_path / str(number) / name, **option, **lossless)
    images = FileImages([f"{n}/{name}" for n in range(3)], tmp_path, min_side=min_side)
    dataset = PhotoDataset(images, np.zeros((3, 2)), np.zeros(3), make_framing(24))
    none, zurich, sydney = (dataset[n]["image"] for n in range(3))
    assert torch.equal(none, zurich)
    assert torch.equal(none, sydney)
    assert none.float().std() > 0


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_loaded_image_carries_nothing_but_pixels(tmp_path, orientation):
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        noise(8, 8).save(tmp_path / name, exif=gps_exif(1.0, 2.0, orientation=orientation))
        loaded = FileImages([name], tmp_path).load(0)
        assert loaded.info == {}
        assert dict(loaded.getexif()) == {}
        assert type(loaded) is Image.Image
        assert not hasattr(loaded, "filename")
        assert not hasattr(loaded, "tag_v2")


# Kinds of images.


def test_an_animation_gives_its_first_picture(tmp_path):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    for name in ("a.gif", "a.png", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        red, _, blue = np.asarray(FileImages([name], tmp_path).load(0))[4, 4]
        assert red > 240 > 15 > blue


def test_a_cmyk_jpeg_is_read_in_its_colours(tmp_path):
    Image.new("RGB", (64, 64), (200, 100, 50)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    for min_side in (None, 16):
        loaded = np.asarray(FileImages(["a.jpg"], tmp_path, min_side=min_side).load(0)).astype(int)
        assert abs(loaded - [200, 100, 50]).max() <= 4


def test_a_heic_photo_is_read_where_its_package_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 48), (200, 100, 50))
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic", quality=95)
    loaded = FileImages(["a.heic"], tmp_path).load(0)
    assert loaded.size == (64, 48)
    assert abs(np.asarray(loaded).astype(int) - [200, 100, 50]).max() <= 6
    assert loaded.info == {}


def test_without_its_package_a_heic_photo_is_broken_and_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    assert "pip install '.[heif]'" in broken_message(tmp_path / "a.jpg")


@pytest.mark.parametrize(("mode", "words"), [("F", "floating-point"), ("I", "32-bit")])
def test_pixels_of_unknown_scale_are_broken(tmp_path, mode, words):
    Image.new(mode, (4, 4), 1).save(tmp_path / "a.tif")
    assert words in broken_message(tmp_path / "a.tif")


MEMORY = """
import sys
from geoloc_models.photos.opening import open_photo
def field(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
for path in sys.argv[2:]:
    content = open(path, "rb").read()
    open_photo(open(sys.argv[1], "rb").read())
    before = field("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    pixels = open_photo(content)
    print((field("VmHWM") - before) / (pixels.width * pixels.height))
    del pixels
"""
KINDS_OF_MEMORY = {
    "grey_16_bit.png": ("I;16", {}),
    "grey_16_bit.tif": ("I;16", {"compression": "tiff_lzw"}),
    "grey_16_bit.pgm": ("I;16", {}),
    "progressive.jpg": ("CMYK", {"progressive": True, "subsampling": 0}),
    "rgba.png": ("RGBA", {}),
    "rgba.webp": ("RGBA", {}),
    "rgba.jp2": ("RGBA", {}),
}
BYTES_A_PIXEL = {".jp2": 25, ".webp": 17}  # and 14 of all others


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux tells a peak")
@pytest.mark.parametrize("name", KINDS_OF_MEMORY)
def test_a_pixel_takes_no_more_memory_than_the_docs_state(tmp_path, name):
    mode, options = KINDS_OF_MEMORY[name]
    grey = noise(50, 50).convert("L").resize((2000, 2000))
    picture = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) << 8)
        if mode == "I;16"
        else grey.convert("RGB").convert(mode)
    )
    picture.save(tmp_path / name, **options)
    picture.resize((8, 8)).save(tmp_path / f"small_{name}", **options)
    done = run_python(MEMORY, tmp_path / f"small_{name}", tmp_path / name)
    assert 4 < float(done.stdout) <= BYTES_A_PIXEL.get(Path(name).suffix, 14)


# Other sources than paths.


def test_bytes_files_images_and_arrays_give_the_same_pixels(tmp_path):
    pixels = np.asarray(noise(6, 4))
    content = encoded(noise(6, 4), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    picture = Image.open(tmp_path / "a.png")
    for source in (content, io.BytesIO(content), tmp_path / "a.png", picture, pixels):
        opened = open_photo(source)
        np.testing.assert_array_equal(np.asarray(opened), pixels)
        assert opened is not source
    picture.close()
    for wrong in (pixels.astype(float), pixels[..., :2], pixels[:0]):
        with pytest.raises(BrokenImageError, match="array must be uint8"):
            open_photo(wrong)


# Tar shards and folder trees; more on tars in test_tar_images.


def test_photos_lie_in_folders_and_tar_shards_alike(tmp_path):
    (tmp_path / "photos" / "00" / "12").mkdir(parents=True)
    noise(8, 6, seed=1).save(tmp_path / "photos" / "00" / "12" / "1.png")
    with io.BytesIO() as file:
        noise(8, 6, seed=2).save(file, "PNG")
        write_tar(tmp_path / "shards" / "00012.tar", {"2.png": file.getvalue()})
    images = FileImages(["photos/00/12/1.png", "shards/00012.tar/2.png"], tmp_path)
    for row, seed in ((0, 1), (1, 2)):
        np.testing.assert_array_equal(np.asarray(images.load(row)), np.asarray(noise(8, 6, seed)))
    assert images.describe(1) == str(tmp_path / "shards" / "00012.tar" / "2.png")


def test_a_pickle_is_about_as_large_as_the_paths(tmp_path):
    noise(5, 4).save(tmp_path / "000001.png")
    images = FileImages([f"{row:06d}.png" for row in range(1000)], tmp_path, min_side=2)
    content = pickle.dumps(images)
    assert len(content) < 1000 * (len("000000.png") + 8) + 1000
    again = pickle.loads(content)
    assert again.load(1).size == (5, 4)
    assert again.min_side == 2
    assert again.describe(999) == images.describe(999)


def test_a_name_that_is_no_utf_8_is_read(tmp_path):
    name = b"\xff\xfe.png".decode("utf-8", "surrogateescape")
    noise(5, 4).save(tmp_path / "a.png")
    try:
        (tmp_path / "a.png").rename(tmp_path / name)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    assert FileImages([name], tmp_path).load(0).size == (5, 4)


def test_a_damaged_avif_is_not_blamed_on_pillow(tmp_path):
    (tmp_path / "a.avif").write_bytes(encoded(noise(8, 8), "AVIF")[:40])
    assert "Pillow" not in broken_message(tmp_path / "a.avif")
