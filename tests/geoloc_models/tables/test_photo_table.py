import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geoloc_models.tables.photo_table import PhotoTable, read_photo_table

STOCKHOLM = (59.3293, 18.0686)
ZURICH = (47.3769, 8.5417)
GOOD = """path,latitude,longitude
a.jpg,59.3293,18.0686
b.jpg,47.3769,8.5417
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "a.jpg").touch()

    def write_text(text, name="photos.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write_text


def read_error(path, **options):
    with pytest.raises(ValueError, match=" ") as caught:
        read_photo_table(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_csv_gives_paths_coordinates_and_countries_by_polygon(write, tmp_path):
    table = read_photo_table(write(GOOD))
    assert table.n_rows == len(table) == 2
    np.testing.assert_array_equal(table.coords, [STOCKHOLM, ZURICH])
    assert table.coords.dtype == np.float64
    assert table.countries.tolist() == ["SE", "CH"]
    assert table.groups is None
    assert table.ids is None
    assert table.frame["path"].tolist() == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]


def test_paths_start_from_root_and_absolute_ones_stay(write, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    text = GOOD.replace("b.jpg", "/elsewhere/b.jpg")
    table = read_photo_table(write(text), root=tmp_path / "images")
    assert table.frame["path"].tolist() == [
        str(tmp_path / "images" / "a.jpg"),
        "/elsewhere/b.jpg",
    ]


def test_named_columns_are_used_and_others_ignored(write):
    text = "file,lat,lng,land,who,note\na.jpg,59.3,18.1,Sweden,7,x\na.jpg,-22.6,17.1,na,8,y\n"
    table = read_photo_table(
        write(text),
        path_column="file",
        latitude_column="lat",
        longitude_column="lng",
        country_column="land",
        group_column="who",
    )
    assert table.countries.tolist() == ["SE", "NA"]
    assert table.groups.tolist() == ["7", "8"]
    assert list(table.frame.columns) == ["latitude", "longitude", "path", "group", "country"]


def test_a_table_of_coordinates_alone_is_read_when_no_path_is_wanted(write):
    table = read_photo_table(write("latitude,longitude\n47.3769,8.5417\n"), images=False)
    assert "path" not in table.frame.columns
    assert table.countries.tolist() == ["CH"]


def test_a_photo_a_little_off_the_shore_gets_the_nearest_country(write, caplog):
    text = "path,latitude,longitude\na.jpg,59.47,18.9\na.jpg,59.33,18.07\n"
    assert read_photo_table(write(text)).countries.tolist() == ["SE", "SE"]
    assert read_photo_table(write(text), sea_tolerance_km=0).countries.tolist() == ["SE"]
    assert "row 1 (59.47, 18.9)" in caplog.text


def test_photos_on_the_high_seas_are_left_out_and_listed(write, caplog):
    sea = "b.jpg,0,0\nc.jpg,-16.52,146.00\n"
    text = f"path,latitude,longitude\na.jpg,59.33,18.07\n{sea}"
    assert read_photo_table(write(text)).countries.tolist() == ["SE"]
    (message,) = caplog.messages
    assert "2 of 3 rows of photos.csv" in message
    assert "row 2 (0, 0), row 3 (-16.52, 146). They are left out." in message
    whole = read_photo_table(write(text), countries=False)
    assert whole.countries.tolist() == [None, None, None]
    message = read_error(write(f"path,latitude,longitude\n{sea}"), images=False)
    assert "country column" in message
    assert "no position" in message


def test_a_country_that_is_missing_comes_from_the_coordinates(write):
    rows = "a.jpg,59.33,18.07,NO\nb.jpg,47.38,8.54,\nc.jpg,-16.52,146.00,AU\nd.jpg,-16.52,146.00,\n"
    rows += "e.jpg,59,18,NA\n"  # Namibia
    table = read_photo_table(write(f"path,latitude,longitude,country\n{rows}"))
    assert table.countries.tolist() == ["NO", "CH", "AU", "NA"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("b.jpg,95,8.5", ["Latitude", "[-90, 90]", "1 of 2 rows", "photos.csv", "row 2, 95"]),
        ("b.jpg,,8.5", ["latitude", "row 2", "Fill in or remove"]),
        ('b.jpg,"47,3",8.5', ["'latitude'", "row 2", "'47,3'", "decimals with a point"]),
        (",47,8.5", ["'path'", "row 2"]),
        ("b.jpg,47,8.5,7", ["Row 2", "photos.csv", "number of fields"]),
        ("b.jpg,59,18,,2", ["'group'", "row 2"]),
        ("b.jpg,59,18,x,1", ["1 of 2 rows", "row 2 that of row 1, '1'"]),
        ("b.jpg,59,18,x,", ["'id'", "row 2"]),
    ],
)
def test_a_bad_row_is_named_with_its_remedy(write, line, words):
    header, first = "path,latitude,longitude", "a.jpg,59.3293,18.0686"
    if line.count(",") == 4:
        header, first = f"{header},group,id", f"{first},x,1"
    message = read_error(write(f"{header}\n{first}\n{line}\n"))
    for word in words:
        assert word in message, message


def test_missing_columns_are_named_with_those_that_are_there(write):
    message = read_error(write(GOOD.replace("path,latitude,longitude", "a,b,c")))
    for word in ("'latitude' or 'longitude' or 'path'", "'a', 'b', 'c'", "--path-column"):
        assert word in message, message
    assert "'land'" in read_error(write(GOOD), country_column="land")
    assert "'who'" in read_error(write(GOOD), group_column="who")


def test_an_unknown_country_is_named_with_its_row_and_close_matches(write):
    text = "path,latitude,longitude,country\na.jpg,59,18,SE\na.jpg,59,18,Swedn\na.jpg,1,1,Swedn\n"
    message = read_error(write(text))
    assert "Row 2 of photos.csv and 1 more" in message
    assert "'Swedn'" in message
    assert "Sweden (SE)" in message


def test_paths_that_all_lead_nowhere_are_refused(write, tmp_path):
    text = GOOD.replace("a.jpg", "none.jpg")
    message = read_error(write(text))
    assert "None of the first 2" in message
    assert "none.jpg" in message
    assert "root" in read_error(write(text), root=tmp_path)
    assert "no folder" in read_error(write(text), root=tmp_path / "nowhere")


def test_taking_rows_keeps_their_order_and_numbers_them_anew():
    table = PhotoTable.from_arrays(
        [STOCKHOLM, ZURICH, STOCKHOLM], ["SE", "CH", "SE"], groups=[5, 6, 5], paths=["a", "b", "c"]
    )
    part = table.take([2, 1])
    np.testing.assert_array_equal(part.coords, [STOCKHOLM, ZURICH])
    assert part.countries.tolist() == ["SE", "CH"]
    assert part.groups.tolist() == [5, 6]
    assert part.frame["path"].tolist() == ["c", "b"]
    assert part.frame.index.tolist() == [0, 1]
    assert table.take([]).n_rows == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"countries": ["SE"]}, "country.*2 coordinates but 1"),
        ({"countries": ["SE", "CH"], "groups": [1]}, "group.*2 coordinates but 1"),
        ({"countries": ["SE", "CH"], "paths": ["a", "b", "c"]}, "path.*2 coordinates but 3"),
    ],
)
def test_mismatched_lengths_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        PhotoTable.from_arrays([STOCKHOLM, ZURICH], **arguments)


def test_a_frame_without_the_columns_or_with_impossible_values_is_refused():
    with pytest.raises(ValueError, match="'country'"):
        PhotoTable(pd.DataFrame({"latitude": [1.0], "longitude": [1.0]}))
    with pytest.raises(ValueError, match="row 1, 95"):
        PhotoTable.from_arrays([[1.0, 1.0], [95.0, 1.0]], ["SE", "SE"])
    with pytest.raises(ValueError, match="row 0"):
        PhotoTable.from_arrays([[np.nan, 1.0]], ["SE"])


def test_columns_of_other_steps_are_kept(write, tmp_path):
    text = (
        "id,path,latitude,longitude,country,user,time,url,part,subset_rank,note\n"
        "007,a.jpg,59.3293,18.0686,SE,ann,2012,http://x/1,train,4,x\n"
        "8.0,a.jpg,47.3769,8.5417,CH,,NULL,,test,-1,y\n"
    )
    path = write(text)
    table = read_photo_table(path)
    assert table.ids.tolist() == ["007", "8"]
    assert table.frame["part"].tolist() == ["train", "test"]
    assert table.frame["subset_rank"].astype(int).tolist() == [4, -1]
    for name in ("user", "time", "url"):
        assert table.frame[name].isna().tolist() == [False, True]
    assert set(table.frame.columns) == set(text.splitlines()[0].split(",")) - {"note"}
    table.frame.to_parquet(tmp_path / "photos.parquet")
    again = read_photo_table(tmp_path / "photos.parquet")
    assert again.ids.tolist() == ["007", "8"]
    assert table.take([1]).ids.tolist() == ["8"]


def test_whole_numbers_of_a_group_stay_numbers(tmp_path):
    path = tmp_path / "photos.parquet"
    columns = {"latitude": [59.33] * 2, "longitude": [18.07] * 2, "group": [10, 9]}
    pq.write_table(pa.table(columns), path)
    assert read_photo_table(path, images=False).groups.tolist() == [10, 9]


def test_what_pandas_noted_in_a_parquet_table_is_left_aside(tmp_path):
    path = tmp_path / "photos.parquet"
    table = pa.table({"latitude": [59.33], "longitude": [18.07], "country": ["SE"]})
    pq.write_table(table.replace_schema_metadata({"pandas": b"\xa0"}), path)
    assert read_photo_table(path, images=False).n_rows == 1
