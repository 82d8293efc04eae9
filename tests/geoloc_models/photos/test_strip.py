"""Stripped photos show the same and tell nothing else."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from geoloc_models_photos import encoded, gps_exif, noise
from PIL import Image, ImageCms, PngImagePlugin

from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.photos.exif import read_exif
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.strip import check_stripped, reencode_photo, strip_file, strip_photo

# The tests make one themselves.
pytestmark = pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO file")

SECRET = b"my-home-address"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def segment(marker, payload):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind, payload):
    body = kind + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))


def secret_exif(orientation=None):
    exif = gps_exif(47.3769, 8.5417, orientation=orientation, time="2019:07:01 12:34:56")
    exif[0x010E] = SECRET.decode()
    return exif


def full_jpeg(orientation=None, *, size=(40, 24), mode="RGB", **options):
    """A JPEG with metadata wherever a JPEG can have them."""
    image = noise(*size).convert(mode)
    content = encoded(
        image, exif=secret_exif(orientation), icc_profile=PROFILE, comment=SECRET, **options
    )
    extra = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + SECRET + b"</x>")
    extra += segment(0xED, b"Photoshop 3.0\0" + SECRET) + segment(0xE2, b"MPF\0" + SECRET)
    extra += segment(0xE0, b"JFXX\0" + SECRET) + segment(0xEB, SECRET)
    return content[:2] + extra + content[2:] + b"\0\0a video" + SECRET


def full_png(orientation=None):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_text("Compressed", SECRET.decode(), zip=True)
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    options = {"exif": secret_exif(orientation), "icc_profile": PROFILE, "pnginfo": text}
    content = encoded(noise(40, 24), "PNG", **options)
    unknown = chunk(b"tIME", b"\x07\xe3\x07\x01\x0c\x22\x38") + chunk(b"seCr", SECRET)
    return content[:33] + unknown + content[33:] + SECRET


def full_webp(orientation=None, **options):
    options |= {"exif": secret_exif(orientation), "icc_profile": PROFILE, "xmp": SECRET}
    content = encoded(noise(40, 24), "WEBP", **options)
    body = content[8:] + b"seCr" + struct.pack("<I", len(SECRET)) + SECRET + b"\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body + SECRET


MAKERS = {
    "JPEG": full_jpeg,
    "progressive JPEG": lambda orientation=None: full_jpeg(orientation, progressive=True),
    "grey JPEG": lambda orientation=None: full_jpeg(orientation, mode="L"),
    "CMYK JPEG": lambda orientation=None: full_jpeg(orientation, mode="CMYK"),
    "PNG": full_png,
    "WebP": full_webp,
    "lossless WebP": lambda orientation=None: full_webp(orientation, lossless=True),
}


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_but_the_picture_is_left(kind):
    before = MAKERS[kind]()
    assert SECRET in before
    after = strip_photo(before, "a")
    assert SECRET not in after
    old, new = opened(before), opened(after)
    assert (old.format, old.mode, old.size) == (new.format, new.mode, new.size)
    assert old.tobytes() == new.tobytes()
    assert new.info["icc_profile"] == PROFILE
    assert dict(new.getexif()) == {}
    assert not {"exif", "xmp", "comment", "photoshop"} & set(new.info)
    assert read_exif(io.BytesIO(before)).has_position
    assert not read_exif(io.BytesIO(after)).has_position


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_which_way_is_up_is_kept_and_nothing_else_of_exif(tmp_path, kind, orientation):
    before = MAKERS[kind](orientation)
    after = strip_photo(before, "a")
    assert SECRET not in after
    assert dict(opened(after).getexif()) == {0x0112: orientation}
    (tmp_path / "before").write_bytes(before)
    (tmp_path / "after").write_bytes(after)
    images = FileImages(["before", "after"], tmp_path)
    np.testing.assert_array_equal(np.asarray(images.load(0)), np.asarray(images.load(1)))


BARE = {
    **{f"plain {kind}": encoded(noise(40, 24), kind) for kind in ("JPEG", "PNG", "WEBP")},
    **{kind: strip_photo(make(6), "a") for kind, make in MAKERS.items()},
    "restarts and stuffed bytes": encoded(noise(120, 80), quality=98, restart_marker_rows=1),
}


@pytest.mark.parametrize("kind", BARE)
def test_a_photo_without_metadata_stays_as_it_is(kind):
    assert strip_photo(BARE[kind], "a") == BARE[kind]


def test_coded_pixels_are_copied_not_coded_again():
    before = full_jpeg()
    scan = before[before.index(b"\xff\xda") : before.index(b"\xff\xd9") + 2]
    assert scan in strip_photo(before, "a")
    restarts = BARE["restarts and stuffed bytes"]
    assert b"\xff\xd0" in restarts
    assert b"\xff\x00" in restarts


def test_the_thumbnail_in_a_jfif_header_is_dropped():
    content = encoded(noise(16, 16))
    thumbnail = segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\x02\x02" + b"\x99" * 12)
    length = 2 + int.from_bytes(content[4:6], "big")
    with_thumbnail = content[:2] + thumbnail + content[2 + length :]
    after = strip_photo(with_thumbnail, "a")
    assert b"\x99" * 12 not in after
    assert opened(after).tobytes() == opened(content).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_stay_whole(kind):
    frames = [noise(20, 12, seed) for seed in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    before = encoded(
        frames[0], kind, save_all=True, append_images=frames[1:], exif=secret_exif(), **options
    )
    after = strip_photo(before, "a")
    assert SECRET not in after
    moving = Image.open(io.BytesIO(after))
    assert moving.n_frames == 3
    moving.seek(2)
    np.testing.assert_array_equal(np.asarray(moving.convert("RGB")), np.asarray(frames[2]))


def test_of_several_pictures_in_a_jpeg_the_first_stays():
    before = encoded(
        noise(40, 24), "MPO", save_all=True, append_images=[noise(40, 24, 1)], exif=secret_exif()
    )
    after = strip_photo(before, "a")
    assert opened(after).format == "JPEG"
    assert len(after) < 0.6 * len(before)
    assert SECRET not in after


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_a_truncated_photo_is_refused(kind):
    whole = MAKERS[kind]()
    picture, n_refused = opened(whole).tobytes(), 0
    for length in range(0, len(whole), 97):
        try:
            after = strip_photo(whole[:length], "a.jpg")
        except BrokenImageError:
            n_refused += 1
        else:  # only what follows the picture is missing
            assert opened(after).tobytes() == picture
    assert n_refused > 10


def test_other_kinds_are_refused_with_a_word_on_what_helps():
    with pytest.raises(BrokenImageError, match=r"a: is a TIFF image.*--reencode"):
        strip_photo(encoded(noise(8, 8), "TIFF"), "a")
    with pytest.raises(BrokenImageError, match="not an image"):
        strip_photo(b"nothing", "a")


def test_another_picture_or_leftover_metadata_is_noticed():
    plain = encoded(noise(40, 24), "PNG")
    with pytest.raises(BrokenImageError, match="not look the same"):
        check_stripped(plain, encoded(noise(40, 24, 1), "PNG"), "a")
    with pytest.raises(BrokenImageError, match="not look the same"):
        check_stripped(encoded(noise(8, 8), "PNG", exif=gps_exif(orientation=6)), plain, "a")
    for kind, maker in MAKERS.items():
        whole = maker()
        with pytest.raises(BrokenImageError, match="still holds metadata"):
            check_stripped(whole, whole, kind)


# Files.


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_file_is_stripped_into_another(tmp_path):
    source = write(tmp_path / "a.jpg", full_jpeg())
    source.chmod(0o640)
    before = source.read_bytes()
    target = strip_file(source, tmp_path / "out" / "a.jpg")
    assert target == tmp_path / "out" / "a.jpg"
    assert SECRET not in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    assert source.read_bytes() == before


def test_a_file_is_stripped_in_place_and_through_a_link(tmp_path):
    source = write(tmp_path / "a.jpg", full_jpeg())
    (tmp_path / "link.jpg").symlink_to(source)
    strip_file(tmp_path / "link.jpg")
    assert SECRET not in source.read_bytes()
    assert (tmp_path / "link.jpg").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "link.jpg"]


def test_a_file_that_cannot_be_stripped_stays_as_it_was(tmp_path):
    with pytest.raises(BrokenImageError, match=r"none\.jpg: cannot be read \(no such file"):
        strip_file(tmp_path / "none.jpg")
    content = full_jpeg()[:600]
    source = write(tmp_path / "a.jpg", content)
    with pytest.raises(BrokenImageError, match=r"a\.jpg"):
        strip_file(source)
    assert source.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_an_existing_target_is_replaced_on_request_only(tmp_path):
    source = write(tmp_path / "a.jpg", full_jpeg())
    target = write(tmp_path / "b.jpg", b"precious")
    with pytest.raises(GeolocError, match=r"b\.jpg exists already"):
        strip_file(source, target)
    assert target.read_bytes() == b"precious"
    strip_file(source, target, overwrite=True)
    assert target.read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize(("kind", "suffix"), [("TIFF", ".png"), ("BMP", ".png"), ("HEIF", ".jpg")])
def test_other_kinds_are_coded_anew_on_request(tmp_path, kind, suffix):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    options = {} if kind == "BMP" else {"exif": secret_exif(6 if kind == "TIFF" else None)}
    smooth = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    source = write(tmp_path / "a.xyz", encoded(smooth, kind, **options))
    with pytest.raises(GeolocError, match="--output"):
        strip_file(source, reencode=True)
    written = strip_file(source, tmp_path / "out" / "a.xyz", reencode=True)
    assert written == tmp_path / "out" / f"a{suffix}"
    assert SECRET not in written.read_bytes()
    assert dict(opened(written.read_bytes()).getexif()) == {}
    images = FileImages([source, written])
    old, new = (np.asarray(images.load(row)).astype(int) for row in range(2))
    assert np.abs(old - new).max() <= (3 if suffix == ".jpg" else 0)


def test_an_animation_of_another_kind_is_not_cut_short(tmp_path):
    content = encoded(
        noise(8, 8), "GIF", save_all=True, append_images=[noise(8, 8, 1)], comment=SECRET
    )
    with pytest.raises(BrokenImageError, match="several pictures"):
        strip_file(write(tmp_path / "a.gif", content), tmp_path / "b.gif", reencode=True)


def test_a_tiff_whose_next_picture_is_damaged_is_refused():
    content = bytearray(encoded(noise(8, 8), "TIFF"))
    directory = int.from_bytes(content[4:8], "little")
    n_entries = int.from_bytes(content[directory : directory + 2], "little")
    at = directory + 2 + 12 * n_entries
    content[at : at + 4] = len(content).to_bytes(4, "little")
    content += bytes(6)  # a directory of nothing
    with pytest.raises(BrokenImageError):
        reencode_photo(bytes(content), "a.tif")
