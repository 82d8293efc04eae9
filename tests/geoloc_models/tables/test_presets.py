"""Each preset reads a file laid out as the data set it stands for."""

import bz2

import pandas as pd
import pytest

from geoloc_models.errors import GeolocError
from geoloc_models.tables.select import select_photos
from geoloc_models.tables.select_options import SelectOptions


@pytest.fixture
def select(tmp_path):
    def run(text, name, preset, **options):
        path = tmp_path / name
        path.write_bytes(bz2.compress(text.encode()) if name.endswith("bz2") else text.encode())
        options = SelectOptions(preset=preset, **options)
        report = select_photos(path, tmp_path / "out.parquet", options)
        return pd.read_parquet(tmp_path / "out.parquet"), report

    return run


def yfcc_line(photo_id, longitude, latitude, marker="0", n_columns=23, title="a+%22quote"):
    head = [photo_id, "10002@N00", "ann", "2012-07-14 10:22:05.0", "1342", "Canon", title]
    head.append('say "hi')
    rest = ["tag,tag", "", longitude, latitude, "16", "http://www.flickr.com/photos/1/2/"]
    tail = [f"http://farm1.staticflickr.com/2/{photo_id}_a.jpg", "Licence", "http://cc", "2", "1"]
    fields = [*head, *rest, *tail, "secret", "original", "jpg", marker]
    if n_columns == 25:
        fields = ["17", photo_id, "hash", *fields[1:]]
    assert len(fields) == n_columns
    return "\t".join(fields) + "\n"


@pytest.mark.parametrize("n_columns", [23, 25])
@pytest.mark.parametrize("name", ["yfcc100m_dataset-0.bz2", "yfcc100m_dataset", "part.txt"])
def test_yfcc100m_is_a_headless_tsv_of_photos_and_videos(n_columns, name, select):
    text = yfcc_line("501", "18.0686", "59.3293", n_columns=n_columns)
    text += yfcc_line("502", "", "", n_columns=n_columns)
    text += yfcc_line("503", "8.5417", "47.3769", marker="1", n_columns=n_columns)
    text += yfcc_line("504", "8.5417", "47.3769", n_columns=n_columns, title='"open')
    frame, report = select(text, name, "yfcc100m")
    assert frame["id"].tolist() == ["501", "504"]
    assert frame["country"].tolist() == ["SE", "CH"]
    assert frame["url"][0] == "http://farm1.staticflickr.com/2/501_a.jpg"
    assert frame["user"][0] == "10002@N00"
    assert frame["time"][0] == "2012-07-14 10:22:05.0"
    assert report.dropped == {"no coordinate": 1, "a video, not a photo": 1}


def test_another_number_of_columns_is_no_yfcc100m(select):
    with pytest.raises(GeolocError, match="3 columns; YFCC100M has 23 or 25"):
        select("1\t2\t3\n", "x.tsv", "yfcc100m")


def test_im2gps3k_has_the_file_name_for_an_id(select):
    text = (
        "IMG_ID,AUTHOR,LON,LAT,S3_Label\n"
        "1000269685_a.jpg,788@N00,18.0686,59.3293,2\n"
        "1000304467_b.jpg,788@N00,8.5417,47.3769,0\n"
    )
    frame, _ = select(text, "im2gps3k_places365.csv", "im2gps3k")
    assert frame["id"].tolist() == ["1000269685_a.jpg", "1000304467_b.jpg"]
    assert frame["path"].tolist() == frame["id"].tolist()
    assert frame["user"].tolist() == ["788@N00"] * 2
    assert frame["country"].tolist() == ["SE", "CH"]


MP16 = "IMG_ID,LAT,LON,Prob_indoor\n3f/a3/11.jpg,59.3293,18.0686,0.1\n3f/a4/12.jpg,47.3769,8.5417,0.2\n"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_mp16_has_the_path_for_an_id(kind, select):
    text = MP16
    if kind == "jsonl":
        text = '{"IMG_ID": "3f/a3/11.jpg", "LAT": 59.3293, "LON": 18.0686}\n'
        text += '{"IMG_ID": "3f/a4/12.jpg", "LAT": 47.3769, "LON": 8.5417}\n'
    frame, _ = select(text, f"mp16_places365.{kind}", "mp16")
    assert frame["id"].tolist() == frame["path"].tolist() == ["3f/a3/11.jpg", "3f/a4/12.jpg"]
    assert frame["country"].tolist() == ["SE", "CH"]


@pytest.mark.parametrize("header", ["", "image_id,url\n"])
def test_the_addresses_of_mp16_are_joined_by_id(header, select, tmp_path):
    urls = tmp_path / "mp16_urls.csv"
    urls.write_text(header + "3f/a4/12.jpg,http://x/12.jpg\n3f/a4/13.jpg,http://x/13.jpg\nz,\n")
    frame, _ = select(MP16, "mp16_places365.csv", "mp16", urls=urls)
    assert frame["url"].isna().tolist() == [True, False]
    assert frame["url"][1] == "http://x/12.jpg"


def test_a_list_of_addresses_without_any_is_refused(select, tmp_path):
    (tmp_path / "urls.csv").write_text("a,\nb,\n")
    with pytest.raises(GeolocError, match="no row with an id and an address"):
        select(MP16, "mp16.csv", "mp16", urls=tmp_path / "urls.csv")


def test_osv5m_keeps_the_sequence_as_the_group(select):
    text = (
        "id,latitude,longitude,thumb_original_url,country,sequence,captured_at,creator_username\n"
        "3859149887465501,59.3293,18.0686,http://x/1.jpg,SE,s1,1412345678000,road\n"
        "3859149887465502,47.3769,8.5417,,XX,s1,1412345678000,road\n"
    )
    frame, _ = select(text, "train.csv", "osv5m")
    assert frame["country"].tolist() == ["SE", "CH"]  # by the polygons
    assert frame["group"].tolist() == ["s1", "s1"]
    assert frame["time"].tolist() == ["1412345678000"] * 2
    assert frame["url"].isna().tolist() == [False, True]
    assert frame["user"].tolist() == ["road", "road"]


def test_wws_makes_the_address_from_server_and_secret(select):
    text = (
        "photo_id,owner,server,farm,secret,latitude,longitude,accuracy,date_taken,tags\n"
        "77,ann@N00,2345,3,abcdef,59.3293,18.0686,16,2009-01-01,sweden\n"
    )
    frame, _ = select(text, "metadata.csv", "wws")
    assert frame["url"].tolist() == ["https://live.staticflickr.com/2345/77_abcdef.jpg"]
    assert frame["user"].tolist() == ["ann@N00"]
    text = "id,lat,lon,url\n77,59.3,18.1,http://x/1.jpg\n"
    frame, _ = select(text, "metadata.csv", "WWS")
    assert frame["url"].tolist() == ["http://x/1.jpg"]
