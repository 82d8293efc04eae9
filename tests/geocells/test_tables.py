"""The one reader of tables: every kind of file, and one sentence for what is none."""

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from awkward_tables import PLAIN, awkward_tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geocells.tables import (
    TableError,
    coordinates,
    find_columns,
    ids,
    open_table,
    read_table,
    texts,
    write_table,
)
from geocells.tables.rows import NOT_JSON, NOT_TEXT, UNBALANCED, WRONG_FIELDS

COORDS = [[59.3293, 18.0686], [47.3769, 8.5417], [48.8566, 2.3522]]
AXES = {"latitude": None, "longitude": None}


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="photos.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def read_coordinates(path, **options):
    file = open_table(path, **options)
    columns = file.find_columns(AXES)
    return coordinates(file.read(), columns, where=path.name)


def refusal(path, **options):
    with pytest.raises(TableError) as caught:
        read_coordinates(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "plain.csv", "tabs.tsv", "tabs.txt", "byte_order_mark.csv", "windows_ends.csv", "blank_lines.csv",
        "trailing_comma.csv", "semicolons.csv", "utf16.csv", "packed.csv.gz", "packed.csv.zst", "packed.csv.zip",
        "plain.parquet", "indexed.parquet", "latitude_in_index.parquet", "nullable.parquet", "categories.parquet",
        "columns_and_points.parquet", "points.parquet", "points.geojson",
    ],
)  # fmt: skip
def test_every_kind_of_file_gives_the_same_rows(name, write):
    file = open_table(write(awkward_tables()[name], name))
    columns = file.find_columns({"id": None, **AXES})
    table = file.read()
    np.testing.assert_allclose(coordinates(table, columns), COORDS, rtol=0, atol=1e-9)
    wanted = ["1", "2", "3"] if name == "nullable.parquet" else ["007", "8", "9"]
    assert ids(table[columns["id"]]).to_pylist() == wanted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("decimal_comma.csv", ["Row 1", "'47,2666,8,7739'", "decimals with a point"]),
        ("extra_value.csv", ["Row 1", "number of fields"]),
        ("one_short_row.csv", ["Row 4", "'10,47.1,8.1'"]),
        ("title_with_comma.csv", ["Row 1", "'Bern, old,47.2666,8.7739'", "double quotes"]),
        ("open_quote.csv", ["Row 4", "not closed", "--no-quoting"]),
        ("quotes_in_text.tsv", ["Row 2", "BIG FLOCK", "--no-quoting"]),
        ("cut_off.csv", ["Row 2", "half-written", "'2,59.3'"]),
        ("half.jsonl", ["Row 2", "half-written"]),
        ("latin1.csv", ["Row 1", "not UTF-8"]),
        ("missing_latitude.csv", ["latitude", "1 of 4 rows of missing_latitude.csv", "row 4"]),
        ("word_for_latitude.csv", ["'latitude'", "row 4, 'north'", "decimal degrees"]),
        ("off_the_globe.csv", ["[-90, 90]", "row 4, 95"]),
        ("swapped.csv", ["row 1, 120.98", "swapped?"]),
        ("one_column.csv", ["'coordinates' holds both", "split it"]),
        ("repeated_names.csv", ["'lat' twice"]),
        ("repeated_names.parquet", ["'longitude' twice"]),
        ("two_pairs.csv", ["'latitude', 'lat'", "--latitude-column"]),
        ("array.json", ["one JSON array", "one object a line"]),
        ("no_header.csv", ["no header line", "007, 59.3293"]),
        ("header_alone.csv", ["no rows"]),
        ("empty.csv", ["is empty"]),
        ("damaged.csv.gz", ["damaged", "Copy or download it again"]),
        ("damaged.parquet", ["cannot be read as Parquet", "Write it again"]),
        ("invalid_text.parquet", ["UTF8", "Write it again"]),
    ],
)
def test_a_bad_file_is_refused_with_its_row_its_value_and_a_remedy(name, words, write):
    message = refusal(write(awkward_tables()[name], name))
    for word in [name, *words]:
        assert word in message, message


def test_other_refusals(write, tmp_path):
    assert "no file" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe")
    assert "not a table of text" in refusal(write(b"PK\x03\x04\0\0\0", "photos.xlsx"))
    assert "no encoding 'klingon'" in refusal(write(PLAIN), encoding="klingon")
    assert "not text in ascii" in refusal(write(PLAIN.replace("ann", "Å")), encoding="ascii")
    assert "line feed" in refusal(write(b"latitude,longitude\r1,2\r3,4\r"))
    assert "subtract 360" in refusal(write("lat,lon\n1,200\n"))
    assert "Correct or remove" in refusal(write("lat,lon\n1,-200\n"))
    assert "'47,3'" in refusal(write('lat,lon\n"47,3",8\n'))
    assert "--latitude-column 'latitud'" in refusal(write("latitud,lon\n1,2\n"))
    assert "1, 2" not in refusal(write("a,b\n1,2\n"))
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    features = [{"type": "Feature", "properties": {}, "geometry": line}]
    lines = json.dumps({"type": "FeatureCollection", "features": features})
    assert "row 1 is a LineString" in refusal(write(lines, "lines.geojson"))
    assert "GeoJSON" in refusal(write("hello", "a.geojson"))


def test_a_slip_among_good_rows_is_not_called_swapped(write):
    message = refusal(write("latitude,longitude\n35.7,139.7\n473.8,8.5\n"))
    assert "row 2, 473.8" in message
    assert "swapped" not in message


def test_text_stays_as_it_stands(write):
    text = "id,lat,lon,flag,phone,note\n007,1,2,FALSE,+4179,NULL\n5e5,1,2,TRUE,, x \n"
    table = read_table(write(text))
    assert table.column_names == text.splitlines()[0].split(",")
    assert table["id"].to_pylist() == ["007", "5e5"]
    assert table["flag"].to_pylist() == ["FALSE", "TRUE"]
    assert table["phone"].to_pylist() == ["+4179", ""]
    assert table["note"].to_pylist() == ["NULL", " x "]


def test_quotes_are_plain_characters_on_request(write):
    path = write(awkward_tables()["quotes_in_text.tsv"], "gbif.tsv")
    table = read_table(path, quoting=False)
    assert table["locality"].to_pylist() == ["plain", '"BIG FLOCK', '"a" b "c"']


def test_quoted_line_breaks_are_read_and_a_stray_quote_loses_its_line_alone(write):
    header, good = "id,lat,lon,note\n", '1,1,1,"two\nlines, ""so"""\n2,2,2,5" lens\n'
    bad = '3,3,3,"stray\n4,4,4,four\n5,5,5,"more",6\n' + "6,6,6,six\n" * 3
    (batch,) = open_table(write(header + good + bad)).batches()
    assert batch.table["id"].to_pylist() == ["1", "2", "4", "6", "6", "6"]
    assert batch.table["note"].to_pylist()[:2] == ['two\nlines, "so"', '5" lens']
    assert batch.rows.tolist() == [1, 2, 4, 6, 7, 8]
    assert [(lost.row, lost.reason) for lost in batch.lost] == [(3, UNBALANCED), (5, WRONG_FIELDS)]


def test_values_of_json_lines_come_from_all_objects(write):
    lines = '{"id": 7}\n{"id": 7.50, "b": true}\n\n[1]\n{"c": [1, {"d": 2}], "id": null}\n'
    (batch,) = open_table(write(lines, "a.jsonl")).batches()
    assert batch.table.to_pydict() == {
        "id": ["7", "7.50", None],
        "b": [None, "true", None],
        "c": [None, None, '[1, {"d": 2}]'],
    }
    assert batch.rows.tolist() == [1, 2, 4]
    assert [(lost.row, lost.reason) for lost in batch.lost] == [(3, NOT_JSON)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                b"1,2,3\n",
                b"\n",
                b'a,"b\nc",d\n',
                b'"x,1,2\n',
                b"1,2\n",
                b'5",2,3\r\n',
                b"\xff,2,3\n",
            ]
        ),
        max_size=12,
    ),
    end=st.sampled_from([b"", b"9,9,9", b"9,9", b'9,9,"']),
    block_bytes=st.integers(1, 40),
)
def test_rows_do_not_depend_on_how_much_is_read_at_a_time(pieces, end, block_bytes, tmp_path):
    path = tmp_path / "photos.csv"
    path.write_bytes(b"a,b,c\n" + b"".join(pieces) + end)

    def rows(**options):
        batches = list(open_table(path, **options).batches())
        table = pa.concat_tables([batch.table for batch in batches]).to_pylist()
        lost = [fault for batch in batches for fault in batch.lost]
        numbers = np.concatenate([batch.rows for batch in batches]).tolist()
        assert sorted([*numbers, *(fault.row for fault in lost)]) == list(
            range(1, 1 + len(numbers) + len(lost))
        )
        return table, numbers, lost

    assert rows(block_bytes=block_bytes) == rows()


def test_lines_that_are_no_text_are_listed(write):
    (batch,) = open_table(write(b"a,b\n1,2\n\xff\xfe,1\n3\n")).batches()
    assert [fault.reason for fault in batch.lost] == [NOT_TEXT, WRONG_FIELDS]
    assert batch.table["a"].to_pylist() == ["1"]


def test_a_column_without_values_is_not_taken_while_another_has_some(write):
    text = "identifier\tuuid\tlat\tlatitude\tlon\n" + "\tNULL\t\\N\t1\t2\n" * 3 + "\tu\t\t1\t2\n"
    file = open_table(write(text, "a.tsv"))
    assert file.find_columns({"id": None, **AXES}) == {
        "id": "uuid",
        "latitude": "latitude",
        "longitude": "lon",
    }


def test_the_address_of_the_picture_goes_before_that_of_its_page():
    for names, wanted in (
        (["url", "image_url"], "image_url"),
        (["photo_url", "photo_image_url"], "photo_image_url"),
        (["page_url", "download_url"], "download_url"),
    ):
        assert find_columns(names, {"url": None}) == {"url": wanted}


@pytest.mark.parametrize(
    ("names", "given", "hint"),
    [
        (["title", "longitude"], None, None),  # shares five letters with latitude
        (["longitude", "altitude"], None, None),
        (["latitud", "longitude"], None, "latitud"),
        (["Lat_deg", "longitude"], None, "Lat_deg"),
        (["latitude_wgs84", "longitude"], None, "latitude_wgs84"),
        (["yes", "year", "longitude"], None, None),
        (["breite", "longitude"], "brite", "breite"),
        (["y_centre", "longitude"], "y-center", "y_centre"),
    ],
)
def test_a_hint_names_a_column_that_may_be_meant_or_none(names, given, hint):
    wanted = {"latitude": given, "longitude": None}
    with pytest.raises(TableError) as error:
        find_columns(names, wanted)
    assert ("Perhaps" in str(error.value)) == (hint is not None)
    if hint is not None:
        assert str(error.value).endswith(f"Perhaps --latitude-column {hint!r}?")


def test_given_columns_must_be_there():
    assert find_columns(["a", "lat"], {"latitude": "a"}) == {"latitude": "a"}
    with pytest.raises(TableError, match=r"'b'.*--id-column"):
        find_columns(["a"], {"id": "b"})


def test_ids_are_text_with_one_rule_for_gaps():
    column = pa.chunked_array([["007", " 8 ", "9.0", r"\N", "NULL", "nan", "", None, "5e5", "NA"]])
    assert ids(column).to_pylist() == ["007", "8", "9", *[None] * 5, "5e5", None]
    assert ids(pa.chunked_array([[12345678901.0, np.nan, 0.5]])).to_pylist() == [
        "12345678901",
        None,
        "0.5",
    ]
    assert texts(pa.chunked_array([["NA", "NULL"]]), keep_na=True).to_pylist() == ["NA", None]
    assert ids(pa.chunked_array([[b"one"]])).to_pylist() == ["one"]
    with pytest.raises(TableError, match="no UTF-8 text"):
        ids(pa.chunked_array([[b"\xff"]]))
    for value in ("5.37E+10", 1.5e17):
        with pytest.raises(TableError, match="lost digits"):
            ids(pa.chunked_array([[value]]))


def test_the_columns_of_a_text_table_are_written_unchanged(write, tmp_path):
    text = 'id,lat,lon,flag,phone,note\n007,1,2,FALSE,+4179,"a, ""b"""\n5e5,01.50,2,null,,NULL\n'
    table = read_table(write(text)).append_column("cell", pa.array([3, -1]))
    for name in ("out.csv", "out.csv.gz"):
        write_table(table, tmp_path / name)
        raw = (tmp_path / name).read_bytes()
        lines = (gzip.decompress(raw) if name.endswith("gz") else raw).decode().splitlines()
        ends = [",cell", ",3", ",-1"]
        assert lines == [line + end for line, end in zip(text.splitlines(), ends, strict=True)]
    write_table(table, tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text().startswith("id\tlat\tlon\tflag\tphone\tnote\tcell\n")


def test_index_and_types_of_parquet_survive_a_new_column(tmp_path):
    frame = pd.read_csv(io.StringIO(PLAIN), dtype={"id": "str"})
    frame["user"] = frame["user"].astype("category")
    frame = frame.assign(n=pd.array([1, None, 3], dtype="Int64")).set_index(["user", "id"])
    frame.to_parquet(tmp_path / "in.parquet")
    table = read_table(tmp_path / "in.parquet").append_column("cell", pa.array([3, -1, 2]))
    write_table(table, tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out.parquet"), frame.assign(cell=[3, -1, 2])
    )


def test_geoparquet_stays_geoparquet(write, tmp_path):
    import geopandas as gpd

    for name in ("columns_and_points.parquet", "points.parquet"):
        table = read_table(write(awkward_tables()[name], name))
        write_table(table.append_column("cell", pa.array([3, -1, 2])), tmp_path / "out.parquet")
        before, after = (
            gpd.read_parquet(tmp_path / name),
            gpd.read_parquet(tmp_path / "out.parquet"),
        )
        assert after.crs == before.crs
        assert after.geometry.tolist() == before.geometry.tolist()
        assert after["cell"].tolist() == [3, -1, 2]


def test_geojson_gets_the_points_and_other_endings_are_refused(write, tmp_path):
    table = read_table(write(PLAIN))
    write_table(table, tmp_path / "out.geojson", coords=np.array(COORDS))
    feature = json.loads((tmp_path / "out.geojson").read_text())["features"][0]
    assert feature["geometry"]["coordinates"] == [18.0686, 59.3293]
    assert feature["properties"]["id"] == "007"
    with pytest.raises(TableError, match="is written as"):
        write_table(table, tmp_path / "out.xyz")


def test_numbers_of_parquet_are_read_whatever_their_type(tmp_path):
    path = tmp_path / "a.parquet"
    latitude = pa.array([60, 2**63 - 1], pa.int64())
    pq.write_table(pa.table({"latitude": latitude, "longitude": [16, 16]}), path)
    assert "row 2, 9.22337e+18" in refusal(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_ends_too_early_is_refused(pack, write):
    name = f"a.csv.{ {gzip.compress: 'gz', bz2.compress: 'bz2', lzma.compress: 'xz'}[pack] }"
    text = PLAIN + "".join(f"{n},59.3,18.{n},u,a\n" for n in range(10, 5000))
    half = text.index("\n2") + 1
    raw = pack(text[:half].encode()) + pack(text[half:].encode())  # as parallel packers write
    assert read_table(write(raw, name)).num_rows == 4993
    assert "damaged" in refusal(write(raw[:-200], name))


@pytest.mark.parametrize("damage", ["name", "position", "password", "compression"])
def test_a_zip_that_cannot_be_unpacked_is_refused(damage, tmp_path):
    path = tmp_path / "photos.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos.csv", "id,latitude,longitude\na,59.33,18.07\n")
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    if damage == "name":
        content[entry + 46] ^= 0x20  # it differs from the name beside the content
    elif damage == "position":
        content[entry + 42 : entry + 46] = (0xFFFFFF00).to_bytes(4, "little")
    elif damage == "password":
        content[entry + 8] |= 1
    else:
        content[entry + 10] = 99
    path.write_bytes(content)
    assert "cannot be unpacked" in refusal(path)
