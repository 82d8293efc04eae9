"""Metadata of every kind becomes one clean table; bad rows are counted, bad files refused."""

import re
import warnings

import pandas as pd
import pyarrow.parquet as pq
import pytest

from geoloc_models.tables.photo_table import read_photo_table
from geoloc_models.tables.select import select_photos
from geoloc_models.tables.select_options import SelectOptions

GOOD = """photo_id,lat,lon,url,owner,date_taken
1,59.3293,18.0686,http://x/1.jpg,ann,2012-01-01
2,47.3769,8.5417,http://x/2.jpg,bob,2012-01-02
3,48.8566,2.3522,http://x/3.jpg,ann,2012-01-03
"""


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="photos.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write_text


@pytest.fixture
def select(tmp_path):
    """Select photos, and hold that the report tells what the table holds."""

    def run(metadata, **options):
        report = select_photos(metadata, tmp_path / "out.parquet", SelectOptions(**options))
        assert report.n_read == report.n_kept + sum(report.dropped.values())
        frame = pd.read_parquet(tmp_path / "out.parquet")
        assert len(frame) == report.n_kept == sum(report.countries.values())
        assert frame["id"].is_unique
        return frame, report

    return run


def refusal(metadata, tmp_path, **options):
    with pytest.raises(ValueError, match=" ") as caught:
        select_photos(metadata, tmp_path / "out.parquet", SelectOptions(**options))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()
    assert not list(tmp_path.glob(".part-*"))
    return str(caught.value)


def test_the_columns_of_the_table_are_found_by_their_usual_names(write, select):
    frame, report = select(write(GOOD))
    assert ",".join(frame.columns) == "id,latitude,longitude,country,url,user,time"
    assert frame["id"].tolist() == ["1", "2", "3"]
    assert frame["country"].tolist() == ["SE", "CH", "FR"]
    assert frame["user"].tolist() == ["ann", "bob", "ann"]
    assert frame["latitude"].tolist() == [59.3293, 47.3769, 48.8566]
    assert report.dropped == {}
    assert report.columns == tuple(frame.columns)


def test_only_the_wanted_countries_are_kept_by_code_or_name(write, select):
    for wanted in (["SE", "CH"], ["Sweden", "Schweiz"], ["se", "che"]):
        frame, report = select(write(GOOD), countries=wanted)
        assert frame["country"].tolist() == ["SE", "CH"]
        assert report.dropped == {"a place in another country": 1}
        assert report.countries == {"CH": 1, "SE": 1}


def test_a_folder_of_parquet_files_is_one_table(write, select, tmp_path):
    frame = pd.read_csv(write(GOOD))
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    frame[:1].to_parquet(tmp_path / "folder" / "a.parquet")
    frame[1:].to_parquet(tmp_path / "folder" / "inner" / "b.parquet")
    together, _ = select(tmp_path / "folder")
    pd.testing.assert_frame_equal(together, select(tmp_path / "photos.csv")[0])
    (tmp_path / "empty").mkdir()
    assert "no .parquet files" in refusal(tmp_path / "empty", tmp_path / "empty")


def test_several_files_are_one_table_with_the_columns_of_all(write, select):
    other = "id,latitude,longitude,path\n1,46.9,7.4,a.jpg\n9,46.9,7.4,b.jpg\n"
    frame, report = select([write(GOOD), write(other, "other.csv")])
    assert frame["id"].tolist() == ["1", "2", "3", "9"]
    assert frame["path"].tolist()[3] == "b.jpg"
    assert frame["path"].isna().tolist() == [True, True, True, False]
    assert frame["url"].isna().tolist() == [False, False, False, True]
    assert report.dropped == {"an id that came before": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",59.3,18.1,u,a,t", "no id"),
        ("  ,59.3,18.1,u,a,t", "no id"),
        ("9,,18.1,u,a,t", "no coordinate"),
        ("9,59.3,NA,u,a,t", "no coordinate"),
        ("9,nan,18.1,u,a,t", "no coordinate"),
        (r"9,\N,\N,u,a,t", "no coordinate"),
        ("9,59.3°N,18.1,u,a,t", "a coordinate that is not a number"),
        ('9,"59,3","18,1",u,a,t', "a coordinate that is not a number"),
        ("9,0x3b,18.1,u,a,t", "a coordinate that is not a number"),
        ("9,inf,18.1,u,a,t", "a coordinate that is not a number"),
        ("9,95,18.1,u,a,t", "a coordinate out of range"),
        ("9,59.3,-181,u,a,t", "a coordinate out of range"),
        ("9,0,0.0,u,a,t", "the position 0, 0"),
        ("1,59.3,18.1,u,a,t", "an id that came before"),
        ("9,59.3,18.1,u,a", "another number of fields than the header"),
        (r"\N,59.3,18.1,u,a,t", "no id"),
        ("9,59.3,18.1,u,a,t,more", "another number of fields than the header"),
        ('9,59.3,18.1,"u,a,t', "a double quote that is not closed"),
        ("9,10.0,-150.0,u,a,t", "a place in no country"),
    ],
)
def test_a_bad_row_is_dropped_and_counted_and_the_others_stay(line, reason, write, select):
    lines = GOOD.splitlines()
    for place in (2, 4):
        text = "\n".join([*lines[:place], line, *lines[place:]]) + "\n"
        frame, report = select(write(text))
        assert report.dropped == {reason: 1}
        assert frame["id"].tolist() == ["1", "2", "3"]


def test_the_report_shows_the_first_odd_value(write, select):
    _, report = select(write(GOOD + "8,abc,1,u,a,t\n9,95,1,u,a,t\n1,1,1,u,a,t\n"))
    assert report.examples["a coordinate that is not a number"] == "'abc'"
    assert report.examples["a coordinate out of range"] == "95, 1"
    assert report.examples["an id that came before"] == "'1'"


def test_a_half_written_last_line_is_dropped(write, select):
    frame, _ = select(write(GOOD[:-2]))  # all fields are there
    assert frame["id"].tolist() == ["1", "2", "3"]
    for text, name in (
        (GOOD[:-20], "a.csv"),
        ('{"id":1,"lat":59.3,"lon":18.1}\n{"id":2,"lat":59.3,"lo', "a.jsonl"),
    ):
        _, report = select(write(text, name))
        assert report.dropped == {"half-written last line": 1}


def test_a_line_without_an_id_is_named_by_path_address_or_number(write, select):
    rows = "59.3,18.1,{}\n47.4,8.5,{}\n"
    for name in ("path", "url"):
        frame, _ = select(write(f"lat,lon,{name}\n" + rows.format("a.jpg", "b.jpg")))
        assert frame["id"].tolist() == ["a.jpg", "b.jpg"]
    rows = "lat,lon,x\n59.3,18.1,1\n\n59.3\n47.4,8.5,2\n"
    frame, _ = select(write(rows))
    assert frame["id"].tolist() == ["row-1", "row-3"]
    frame, _ = select([write(rows), write(rows, "more.csv")])
    assert frame["id"].tolist() == ["photos-row-1", "photos-row-3", "more-row-1", "more-row-3"]


def test_paths_are_rewritten_to_start_from_the_folder_of_the_table(write, tmp_path):
    (tmp_path / "in").mkdir()
    whole = ["/else/b.jpg", r"C:\b.jpg", "https://e.org/b.jpg"]
    lines = [f"{row},59.3,18.1,{path},\n" for row, path in enumerate(["a/b.jpg", *whole])]
    source = write("id,lat,lon,path,x\n" + "".join(lines), "in/m.csv")
    for root, first in ((None, "../in/a/b.jpg"), (tmp_path / "out", "a/b.jpg")):
        select_photos(source, tmp_path / "out" / "photos.parquet", SelectOptions(root=root))
        frame = pd.read_parquet(tmp_path / "out" / "photos.parquet")
        assert frame["path"].tolist() == [first, *whole]


def test_named_columns_come_before_guesses_and_a_country_column_before_polygons(write, select):
    text = "id,key,lat,lon,land,x\n1,a,59.3,18.1,Switzerland,\n2,b,59.3,18.1,Atlantis,\n"
    frame, report = select(write(text), id_column="key", country_column="land")
    assert frame["id"].tolist() == ["a"]
    assert frame["country"].tolist() == ["CH"]
    assert report.dropped == {"an unknown country": 1}


def test_a_table_without_a_header_is_read_by_numbers_of_columns(write, select):
    text = "7,18.0686,59.3293,x\n8,8.5417,47.3769,y\n"
    numbers = {"id_column": "1", "longitude_column": "2", "latitude_column": "3"}
    frame, _ = select(write(text), header=False, **numbers)
    assert frame["country"].tolist() == ["SE", "CH"]


def test_another_encoding_is_read_when_it_is_named(write, select, tmp_path):
    text = GOOD.replace("ann", "Åsa")
    for encoding in ("latin-1", "utf-16", "utf-8-sig"):
        path = write(text, encoding=encoding)
        frame, _ = select(path, encoding=None if encoding == "utf-8-sig" else encoding)
        assert frame["user"].tolist() == ["Åsa", "bob", "Åsa"]
    assert "--encoding latin-1" in refusal(write(text, encoding="latin-1"), tmp_path / "none")


def test_one_row_in_many_that_is_no_text_is_dropped_in_silence(write, select, capsys):
    rows = [f"{n},59.3,18.1,u,Åsa,t" for n in range(300)]
    raw = "\n".join([GOOD.splitlines()[0], *rows, ""]).encode()
    place = raw.index("Åsa".encode())
    path = write(raw[:place] + b"\xff\xfe" + raw[place + 2 :])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame, report = select(path)
    assert report.dropped == {"not UTF-8 text": 1}
    assert len(frame) == 299
    assert "Exception" not in capsys.readouterr().err


def test_photos_off_the_shore_are_kept_within_the_tolerance(write, select):
    text = "id,lat,lon,x\n1,59.47,18.9,\n2,59.33,18.07,\n"
    frame, report = select(write(text))
    assert frame["id"].tolist() == ["2"]
    assert report.dropped == {"a place in no country": 1}
    frame, _ = select(write(text), tolerance_km=20)
    assert frame["country"].tolist() == ["SE", "SE"]


def test_both_sides_of_the_antimeridian_belong_to_their_country(write, select):
    text = "id,lat,lon,x\n1,-16.55,179.4,\n2,-16.82,-179.92,\n3,66.0,-175.0,\n4,-16.8,180,\n"
    frame, _ = select(write(text))
    assert frame["country"].tolist() == ["FJ", "FJ", "RU", "FJ"]


# Files whose layout is another.


def test_decimal_commas_and_missing_columns_are_refused(write, tmp_path):
    rows = "".join(f"{n};59,3;18,{n}\n" for n in range(20))
    message = refusal(write("id;lat;lon\n" + rows), tmp_path)
    assert "20 of 20" in message
    assert "'59,3'" in message
    message = refusal(write("id,lat,lon\n" + rows.replace(";", ",")), tmp_path)
    assert "number of fields" in message
    message = refusal(write("id,latitud,lon\n1,2,3\n"), tmp_path)
    assert "'latitude'" in message
    assert "--latitude-column 'latitud'" in message
    assert "'nothing'" in refusal(write(GOOD), tmp_path, user_column="nothing")


def test_swapped_coordinates_are_refused(write, tmp_path, select):
    rows = ["59.3,18.1", "14.6,121.0", "-33.9,151.2", "47.4,8.5"] * 5
    swapped = [",".join(reversed(row.split(","))) for row in rows]
    text = "\n".join(["id,lat,lon,x", *(f"{n},{row}," for n, row in enumerate(swapped)), ""])
    message = refusal(write(text), tmp_path)
    assert "swapped" in message
    assert "--latitude-column lon" in message
    frame, _ = select(write(text), latitude_column="lon", longitude_column="lat")
    assert len(frame) == 20


def test_a_table_of_bad_rows_alone_is_refused(write, tmp_path):
    assert "No row" in refusal(write("id,lat,lon,x\n1,,,\n2,,,\n"), tmp_path)
    assert "no rows" in refusal(write("id,lat,lon\n"), tmp_path)
    assert "empty" in refusal(write(""), tmp_path)
    assert "in SE" in refusal(write("id,lat,lon,x\n1,47.4,8.5,\n"), tmp_path, countries=["SE"])


def test_the_table_can_be_read_for_training_and_stays_when_the_next_one_fails(write, tmp_path):
    select_photos(write(GOOD), tmp_path / "out.parquet")
    table = read_photo_table(tmp_path / "out.parquet", images=False)
    assert table.countries.tolist() == ["SE", "CH", "FR"]
    with pytest.raises(ValueError, match="No row"):
        select_photos(write("id,lat,lon,x\n1,,,\n"), tmp_path / "out.parquet")
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "flicker"}, "preset 'flicker'.*yfcc100m"),
        ({"countries": []}, "at least one country"),
        ({"countries": ["Swedn"]}, "Sweden"),
        ({"tolerance_km": -1}, "tolerance_km"),
        ({"delimiter": "::"}, "one character"),
    ],
)
def test_impossible_options_are_refused(options, words, write, tmp_path):
    assert re.search(words, refusal(write(GOOD), tmp_path, **options))


def test_the_output_is_parquet_and_no_metadata(write, tmp_path):
    with pytest.raises(ValueError, match=r"end out\.csv in \.parquet"):
        select_photos(write(GOOD), tmp_path / "out.csv")
