"""JPEG files that have their decoder walk over the pixels without end are refused by every reader."""

import io
import struct

import pytest
from geoloc_models_photos import (
    encoded,
    jpeg_in_tiff,
    many_scans,
    noise,
    sequential_scans,
    write_tar,
)
from PIL import Image

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos import open_photo
from geoloc_models.photos.gates import MOST_SCANS, has_many_scans
from geoloc_models.photos.images import FileImages
from geoloc_models.photos.opening import is_photo

SIZE = (64, 48)
KINDS = {
    "progressive": lambda n: many_scans(n - 10, SIZE),
    "sequential": lambda n: sequential_scans(n, SIZE),
    "in a TIFF": lambda n: jpeg_in_tiff(many_scans(n - 10, SIZE), SIZE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_so_many_scans_are_decoded(kind):
    assert open_photo(KINDS[kind](MOST_SCANS)).size == SIZE
    with pytest.raises(BrokenImageError, match="more than 50 scans"):
        open_photo(KINDS[kind](MOST_SCANS + 1))


def strips_in_tiff(n_rows, bytes_of_strip):
    """A grey TIFF of a strip a row, all of which begin alike and have so many bytes."""
    start = 8 + 2 + 8 * 12 + 4
    entries = [(256, 4, 1, 8), (257, 4, 1, n_rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, n_rows, start), (278, 4, 1, 1), (279, 4, n_rows, start + 4 * n_rows)]
    ifd = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    numbers = [start + 8 * n_rows] * n_rows + [bytes_of_strip] * n_rows
    head = b"II*\0" + struct.pack("<I", 8) + ifd + bytes(4)
    return head + struct.pack(f"<{2 * n_rows}I", *numbers) + bytes(2000)


def test_a_tiff_of_overlapping_strips_is_refused():
    assert open_photo(strips_in_tiff(100, 8)).size == (8, 100)
    with pytest.raises(BrokenImageError, match="strips overlap"):
        open_photo(strips_in_tiff(100, 2000))
    whole = encoded(Image.new("RGB", (200, 900)), "TIFF", compression="tiff_lzw")  # of many strips
    assert open_photo(whole).size == (200, 900)


def test_files_and_members_of_tars_are_looked_at_too(tmp_path):
    (tmp_path / "a.jpg").write_bytes(many_scans(60, SIZE))
    write_tar(tmp_path / "0.tar", {"a.jpg": many_scans(60, SIZE)})
    images = FileImages(["a.jpg", "0.tar/a.jpg"], tmp_path)
    for row in range(2):
        with pytest.raises(BrokenImageError, match=r"a\.jpg: is a JPEG of more than 50 scans"):
            images.load(row)
    assert is_photo(str(tmp_path / "a.jpg"), "a.jpg")  # counted among the broken ones


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_counted_and_those_of_the_thumbnail_are_not(progressive):
    def has_exactly(content, n_scans):
        file = io.BytesIO(content)
        is_so = not has_many_scans(file, most=n_scans)
        return is_so and (not n_scans or has_many_scans(file, most=n_scans - 1))

    thumbnail = many_scans(90)
    content = encoded(noise(80, 60), "JPEG", progressive=progressive, comment=thumbnail[:40_000])
    n_scans = 10 if progressive else 0  # the one of a photo as cameras write it never is too many
    assert has_exactly(content, n_scans)
    assert has_exactly(content + thumbnail, n_scans)  # an MPO's second picture
    assert has_exactly(thumbnail, 100)
    assert has_exactly(encoded(noise(8, 6), "PNG"), 0)
    for end in range(0, len(content), 97):
        assert not has_many_scans(io.BytesIO(content[:end]), most=10)


def test_of_a_photo_as_cameras_write_it_the_head_is_read_only():
    file = io.BytesIO(encoded(noise(400, 400), quality=100))
    assert not has_many_scans(file, most=0)
    assert file.tell() == 1 << 16 < len(file.getvalue())
