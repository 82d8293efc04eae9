"""``geoloc select``: the report, and one sentence for whatever is wrong."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from command_line import geoloc, geoloc_refuses

TABLE = """IMG_ID,LAT,LON,url
1,59.3293,18.0686,http://x/1
2,47.3769,8.5417,http://x/2
2,47.3769,8.5417,http://x/2
3,59.47,18.9,http://x/3
4,,,http://x/4
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_tells_what_was_read_kept_and_dropped_and_the_photos_per_country(folder):
    result = geoloc("select", "photos.csv", "-o", "out.parquet", "--countries", "Sweden,CH")
    for words in (
        "5 rows read",
        "2 photos kept",
        "1 dropped: an id that came before (first: '2')",
        "1 dropped: no coordinate",
        "1 dropped: a place in no country",
        "--tolerance-km 5",
        "SE  1",
        "CH  1",
        "out.parquet, with the columns id, latitude, longitude, country, url",
    ):
        assert words in result.stdout
    assert pd.read_parquet("out.parquet")["id"].tolist() == ["1", "2"]


def test_rows_lost_by_a_quote_are_told_with_the_option_that_keeps_them(folder):
    rows = ["id\tlatitude\tlongitude\ttitle", *(f"{n}\t59.3\t18.1\t{n}" for n in range(9))]
    (folder / "gbif.tsv").write_text("\n".join([*rows, '9\t59.3\t18.1\t"NSG', ""]))
    result = geoloc("select", "gbif.tsv", "-o", "out.parquet")
    assert "1 dropped: a double quote that is not closed" in result.stdout
    assert "--no-quoting keeps such rows" in result.stdout
    result = geoloc("select", "gbif.tsv", "-o", "out.parquet", "--no-quoting")
    assert "10 photos kept" in result.stdout
    assert "--no-quoting" not in result.stdout


def test_every_option_of_columns_and_layout_reaches_the_reader(folder):
    (folder / "own.txt").write_bytes(
        "a|b|c|d|e|f|g|h|i\nÄ|59,|59.3|18.1|u|p.jpg|ann|2012|SE\n".encode("latin-1")
    )
    names = zip(
        ["id", "latitude", "longitude", "url", "path", "user", "time", "country", "group"],
        "acdefghib",
        strict=True,
    )
    options = [word for role, column in names for word in (f"--{role}-column", column)]
    geoloc(
        "select", "own.txt", *options, "--delimiter", "|", "--encoding", "latin-1", "--header",
        "--no-quoting", "--keep-zero", "--root", folder / "images",
    )  # fmt: skip
    row = pd.read_parquet("photos.parquet").iloc[0].to_dict()
    assert row == {
        "id": "Ä", "latitude": 59.3, "longitude": 18.1, "country": "SE", "url": "u",
        "path": "images/p.jpg", "user": "ann", "time": "2012", "group": "59,",
    }  # fmt: skip


def test_countries_of_a_file_like_gadm(folder):
    shapes = [shapely.box(10, 55, 19, 69), shapely.box(6, 45, 10, 48), shapely.box(19, 59, 20, 60)]
    frame = gpd.GeoDataFrame(
        {"GID_0": ["SWE", "CHE", "Z99"], "COUNTRY": ["Sweden", "Switzerland", "Disputed"]},
        geometry=shapes,
        crs=4326,
    )
    frame.to_file(folder / "gadm.gpkg", layer="ADM_0", driver="GPKG")
    frame.to_file(folder / "gadm.gpkg", layer="ADM_1", driver="GPKG")
    options = ["--countries-file", "gadm.gpkg", "--countries-layer", "ADM_0"]
    options += ["--countries-code-column", "GID_0"]
    for wanted in ("SE", "SWE", "Sweden"):
        geoloc("select", "photos.csv", *options, "--countries", wanted)
        frame = pd.read_parquet("photos.parquet")
        assert frame["id"].tolist() == ["1", "3"]
        assert frame["country"].tolist() == ["SE", "SE"]
    assert "no 'NO'" in geoloc_refuses("select", "photos.csv", *options, "--countries", "NO")


def test_options_that_are_wrong_end_with_one_sentence(folder):
    for options in (
        ["--countries", ","],
        ["--encoding", "no"],
        ["--urls", "none.csv"],
        ["-o", "photos.csv/x.parquet"],
    ):
        geoloc_refuses("select", "photos.csv", *options)
    assert not (folder / "photos.parquet").exists()


def test_help_names_the_presets():
    assert "yfcc100m" in geoloc("select", "--help").output
