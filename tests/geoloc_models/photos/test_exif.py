"""Position, time and orientation, from sound and from damaged EXIF data."""

import io
import struct

import pytest
from geoloc_models_photos import encoded, gps_exif, noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from geoloc_models.errors import BrokenImageError
from geoloc_models.photos.exif import PhotoExif, exif_of, read_exif
from geoloc_models.photos.opening import open_header, open_photo

ZURICH = (47.3769, 8.5417)
SECOND = 1 / 3600


def read_gps(gps):
    """What a JPEG with this GPS directory says."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return read_exif(io.BytesIO(encoded(noise(8, 8), exif=exif)))


def read_time(**tags):
    exif = Image.Exif()
    for name, value in tags.items():
        tag = getattr(ExifTags.Base, name)
        if name == "DateTime":
            exif[tag] = value
        else:
            exif.get_ifd(ExifTags.IFD.Exif)[tag] = value
    return read_exif(io.BytesIO(encoded(noise(8, 8), exif=exif))).time


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP", "AVIF", "HEIF"])
def test_every_kind_of_file_gives_place_time_and_orientation(tmp_path, kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = gps_exif(*ZURICH, orientation=6, time="2019:07:01 12:34:56", offset="+02:00")
    try:
        content = encoded(noise(16, 16), kind, exif=exif)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    (tmp_path / "a").write_bytes(content)
    found = read_exif(tmp_path / "a")
    assert (found.latitude, found.longitude) == pytest.approx(ZURICH, abs=1e-7)
    assert found.time == "2019-07-01T12:34:56+02:00"
    assert found.orientation == (1 if kind == "HEIF" else 6)  # HEIF turns its pixels itself
    assert found.has_position


@pytest.mark.parametrize("latitude", [33.9, -33.9])
@pytest.mark.parametrize("longitude", [151.2, -151.2])
def test_the_references_give_the_signs(latitude, longitude):
    exif = gps_exif(latitude, longitude)
    found = read_exif(io.BytesIO(encoded(noise(8, 8), exif=exif)))
    assert (found.latitude, found.longitude) == pytest.approx((latitude, longitude), abs=1e-7)


@pytest.mark.parametrize(
    ("south", "west"),
    [("S", "W"), ("s", "w"), ("S\0", "W\0"), (b"S\0", b"W\0"), (" S", " W"), ("South", "West")],
)
def test_references_are_read_as_devices_write_them(south, west):
    found = read_gps({1: south, 2: (1.0, 30.0, 0.0), 3: west, 4: (2.0, 0.0, 36.0)})
    assert (found.latitude, found.longitude) == pytest.approx((-1.5, -2.01))


@pytest.mark.parametrize(
    ("latitude", "degrees"),
    [
        ((IFDRational(47, 1), IFDRational(22, 1), IFDRational(3684, 100)), 47.3769),
        ((IFDRational(47, 1), IFDRational(22614, 1000), IFDRational(0, 1)), 47.3769),
        ((IFDRational(47, 1), IFDRational(22614, 1000)), 47.3769),
        ((IFDRational(473769, 10000), IFDRational(0, 1), IFDRational(0, 1)), 47.3769),
        ((IFDRational(473769, 10000),), 47.3769),
        ((47.0, 59.0, 60.0), 48.0),  # rounded up
        ((0.0, 0.0, 0.0), 0.0),  # on the equator
        ((90.0, 0.0, 0.0), 90.0),
    ],
)
def test_degrees_minutes_seconds_and_decimals_are_read(latitude, degrees):
    found = read_gps({1: "N", 2: latitude, 3: "W", 4: (180.0, 0.0, 0.0)})
    assert (found.latitude, found.longitude) == (pytest.approx(degrees), -180)


NOTHING_OVER_ZERO = (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {1: "N", 3: "E"},
        {1: "N", 2: (47.0, 0.0, 0.0)},
        {1: "N", 2: (47.0, 0.0, 0.0), 3: "E"},
        {2: (47.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (47.0, 0.0, 0.0), 4: (8.0, 0.0, 0.0)},
        {1: "", 2: (47.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "E", 2: (47.0, 0.0, 0.0), 3: "N", 4: (8.0, 0.0, 0.0)},
        {1: "?", 2: (47.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: NOTHING_OVER_ZERO, 3: "E", 4: NOTHING_OVER_ZERO},
        {1: "N", 2: (IFDRational(47, 0), 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (47.0, 10.0, IFDRational(0, 0)), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (90.0, 0.0, 1.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (47.0, 0.0, 0.0), 3: "E", 4: (180.0, 30.0, 0.0)},
        {1: "N", 2: (47.0, 61.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (47.0, 0.0, 3684.0), 3: "E", 4: (8.0, 0.0, 0.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (1.0, 2.0, 3.0, 4.0), 3: "E", 4: (8.0, 0.0, 0.0)},
    ],
)
def test_what_is_no_whole_position_is_none(gps):
    found = read_gps(gps)
    assert (found.latitude, found.longitude) == (None, None)
    assert not found.has_position


@pytest.mark.parametrize(
    ("latitude", "expected"),
    [
        ("33 54 0", -33.9),
        ("33,54,0", -33.9),
        (b"33.9\0", -33.9),
        (33.9, -33.9),
        ([33.9], -33.9),
        ("somewhere", None),
        ("", None),
        ((33.9, "x"), None),
        (float("inf"), None),
        ({}, None),
    ],
)
def test_text_and_bare_numbers_are_read_as_a_coordinate(latitude, expected):
    """As other writers leave them, and Pillow's parser hands them on."""
    image = noise(8, 8)
    gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    gps.update({1: "S", 2: latitude, 3: "E", 4: "151.2"})
    found = exif_of(image)
    assert found.latitude == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (("S", -33.9), ("E", 151.2), (-33.9, 151.2)),
        (("N", -33.9), ("E", 151.2), (None, None)),
        (("N", 33.9), ("E", -118.2), (None, None)),
        (("N", 33.9), ("W", -118.2), (33.9, -118.2)),
        (("", -33.9), ("E", 151.2), (-33.9, 151.2)),  # speaks for itself
    ],
)
def test_a_negative_number_with_a_positive_reference_is_a_contradiction(
    latitude, longitude, expected
):
    image = noise(8, 8)
    gps = {1: latitude[0], 2: latitude[1], 3: longitude[0], 4: longitude[1]}
    image.getexif().get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    found = read_exif(image)
    assert (found.latitude, found.longitude) == expected


def test_the_time_of_taking_comes_before_that_of_scanning():
    times = {"DateTimeOriginal": "2001:02:03 04:05:06", "DateTimeDigitized": "2002:02:03 04:05:06"}
    assert read_time(**times) == "2001-02-03T04:05:06"
    times["DateTimeOriginal"] = "0000:00:00 00:00:00"
    assert read_time(**times) == "2002-02-03T04:05:06"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2019:07:01 12:34:56\0", "2019-07-01T12:34:56"),
        ("2019-07-01 12:34:56", "2019-07-01T12:34:56"),
        ("2019-07-01T12:34:56Z", "2019-07-01T12:34:56"),
        ("    :  :     :  :  ", None),
        ("2019:02:30 12:00:00", None),
        ("2019:07:01 24:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_read_as_devices_write_them(text, time):
    assert read_time(DateTimeOriginal=text) == time


@pytest.mark.parametrize(("offset", "end"), [("-03:30", "-03:30"), ("   :  ", ""), ("+99:00", "")])
def test_an_offset_is_kept_where_it_is_one(offset, end):
    time = read_time(DateTimeOriginal="2019:07:01 12:34:56", OffsetTimeOriginal=offset)
    assert time == "2019-07-01T12:34:56" + end


def test_without_exif_data_or_with_the_last_change_alone_nothing_is_known():
    assert read_time(DateTime="2019:07:01 12:34:56") is None
    assert read_exif(io.BytesIO(encoded(noise(8, 8)))) == PhotoExif(None, None, None, 1)


def test_what_is_no_photo_is_broken(tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(BrokenImageError, match=r"a\.jpg: is not an image"):
        read_exif(tmp_path / "a.jpg")
    with pytest.raises(BrokenImageError, match="no such file"):
        read_exif(tmp_path / "b.jpg")


SOUND = gps_exif(*ZURICH, orientation=6, time="2019:07:01 12:34:56").tobytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.lists(
        st.tuples(st.integers(6, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=12
    ),
    length=st.integers(0, len(SOUND)),
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
)
def test_damaged_exif_data_never_raise(changes, length, kind):
    damaged = bytearray(SOUND)
    for place, value in changes:
        damaged[place] = value
    content = encoded(noise(8, 8), kind, exif=bytes(damaged[: max(length, 6)]))
    found = read_exif(io.BytesIO(content))
    assert (found.latitude is None) == (found.longitude is None)
    if found.latitude is not None:
        assert abs(found.latitude) <= 90
        assert abs(found.longitude) <= 180
    assert 1 <= found.orientation <= 8


PIXELS = [  # of a grey TIFF of 8 x 6 pixels
    (256, 4, 1, 8), (257, 4, 1, 6), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
    (278, 4, 1, 6), (279, 4, 1, 48),
]  # fmt: skip


def many_tags(first=(), n_tags=3000, n_bytes=20_000):
    """EXIF data whose tags all hold the same bytes: 60 MB in 36 kB."""
    entries = [*first, *((40_000 + n, 7, n_bytes, 8) for n in range(n_tags))]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_tags_that_hold_the_same_bytes_end_before_they_fill_memory(kind):
    content = many_tags(PIXELS)
    if kind != "TIFF":
        content = encoded(noise(8, 6), kind, exif=b"Exif\0\0" + many_tags())
    with open_header(content) as image:
        assert 0 < len(image.getexif()) < 20
    assert open_photo(content).size == (8, 6)
    assert read_exif(content) == PhotoExif()


@settings(max_examples=60, deadline=None)
@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
def test_a_position_comes_back_to_a_ten_thousandth_of_a_second(latitude, longitude):
    exif = gps_exif(latitude, longitude)
    found = read_exif(io.BytesIO(encoded(noise(8, 8), exif=exif)))
    if found.latitude is None:  # 0, 0 is none
        assert max(abs(latitude), abs(longitude)) < 1e-4 * SECOND
    else:
        assert found.latitude == pytest.approx(latitude, abs=1e-4 * SECOND)
        assert found.longitude == pytest.approx(longitude, abs=1e-4 * SECOND)
