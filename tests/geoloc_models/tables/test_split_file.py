"""A split of a file equals the split of its columns, in batches of any size."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from geoloc_models._errors import GeolocError
from geoloc_models.tables.parts import assign_parts, split_of_table, subset_ranks
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import PARTS
from geoloc_models.tables.split_file import split_photo_file


def photos(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"{k:03d}" for k in range(n)],
            "latitude": rng.uniform(46, 47, n),
            "longitude": rng.uniform(7, 8, n),
            "country": rng.choice(["CH", "SE", "NA"], n, p=[0.6, 0.3, 0.1]),
            "path": [f"shards/{k % 7}.tar/{k}.jpg" for k in range(n)],
            "user": [f"u{k % 40}" if k % 5 else None for k in range(n)],
        }
    )


def write(folder, frame, name="photos.parquet", **options):
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path, index=False, **options)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",", **options)
    return path


@pytest.mark.parametrize("by", ["id", "user", "place"])
@pytest.mark.parametrize(("batch_rows", "exchangeable"), [(7, True), (1_000, False)])
def test_the_file_is_split_as_its_columns_are(tmp_path, by, batch_rows, exchangeable):
    frame = photos()
    source = write(tmp_path, frame, row_group_size=50)
    options = {"by": by, "block_km": 5.0, "fractions": (0.6, 0.2, 0.2), "seed": 3}
    options["exchangeable"] = exchangeable
    split_photo_file(source, tmp_path / "split.parquet", batch_rows=batch_rows, **options)
    part = assign_parts(
        frame["id"],
        users=frame["user"],
        coords=frame[["latitude", "longitude"]],
        **options,
    )
    expected = frame.assign(
        part=np.array(PARTS)[part], subset_rank=subset_ranks(frame["id"], part, seed=3)
    )
    written = pd.read_parquet(tmp_path / "split.parquet")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    assert written["subset_rank"].dtype == np.int64
    split_of_table(PhotoTable(written))


@pytest.mark.parametrize("name", ["photos.csv", "photos.tsv", "photos.csv.gz"])
def test_text_and_parquet_give_one_split(tmp_path, name):
    frame = photos()
    split_photo_file(write(tmp_path, frame), tmp_path / "a.parquet")
    split_photo_file(write(tmp_path, frame, name), tmp_path / "b.parquet")
    a, b = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    pd.testing.assert_frame_equal(
        a, b.assign(user=b["user"].where(b["user"] != "")), check_dtype=False
    )
    assert b["id"].iloc[0] == "000"  # no number
    assert "NA" in set(b["country"])  # Namibia, no gap


def test_the_report_counts_countries_parts_and_subsets(tmp_path):
    frame = photos()
    report = split_photo_file(
        write(tmp_path, frame), tmp_path / "split.parquet", subsets=[20, 100, 5_000]
    )
    written = pd.read_parquet(tmp_path / "split.parquet")
    assert report.n_rows == 300
    assert report.parts.index[0] == "CH"  # the most frequent first
    expected = pd.crosstab(written["country"], written["part"])
    for country in ("CH", "SE", "NA"):
        for part in PARTS:
            assert report.parts.loc[country, part] == expected.loc[country, part]
        for size in (20, 100):
            subset = written[written["subset_rank"].between(0, size - 1)]
            assert report.subsets.loc[country, size] == (subset["country"] == country).sum()
    assert report.subsets.sum().tolist() == [20, 100]
    assert report.too_large == (5_000,)


def test_photos_without_a_country_are_counted_together(tmp_path):
    frame = photos().assign(country=[None, "SE", ""] * 100)
    report = split_photo_file(write(tmp_path, frame), tmp_path / "split.parquet")
    assert report.parts.sum(axis=1).to_dict() == {"--": 200, "SE": 100}
    report = split_photo_file(
        write(tmp_path, frame.drop(columns="country")), tmp_path / "split.parquet"
    )
    assert report.parts.sum(axis=1).to_dict() == {"all": 300}


def test_paths_stand_in_for_ids(tmp_path):
    frame = photos().drop(columns="id")
    report = split_photo_file(write(tmp_path, frame), tmp_path / "out" / "split.parquet")
    written = pd.read_parquet(tmp_path / "out" / "split.parquet")
    assert report.key == "path"
    assert written["id"].tolist() == frame["path"].tolist()
    np.testing.assert_array_equal(written["part"], np.array(PARTS)[assign_parts(frame["path"])])


def test_relative_paths_follow_the_table_to_another_folder(tmp_path):
    frame = photos()
    frame.loc[0, "path"] = "/elsewhere/a.jpg"
    frame.loc[1, "path"] = None
    (tmp_path / "images").mkdir()
    source = write(tmp_path / "images", frame)
    split_photo_file(source, tmp_path / "split.parquet")
    paths = pd.read_parquet(tmp_path / "split.parquet")["path"]
    assert paths[0] == "/elsewhere/a.jpg"
    assert paths.isna()[1]
    assert paths[2] == "images/shards/2.tar/2.jpg"
    split_photo_file(tmp_path / "split.parquet", tmp_path / "images" / "again.parquet")
    again = pd.read_parquet(tmp_path / "images" / "again.parquet")["path"]
    assert (tmp_path / "images" / again[2]).resolve() == tmp_path / "images/shards/2.tar/2.jpg"


def test_a_second_split_replaces_the_first_in_place(tmp_path):
    path = write(tmp_path, photos())
    split_photo_file(path, path, seed=1)
    split_photo_file(path, path, seed=2)
    written = pd.read_parquet(path)
    assert list(written.columns) == [*photos().columns, "part", "subset_rank"]
    np.testing.assert_array_equal(
        written["part"], np.array(PARTS)[assign_parts(photos()["id"], seed=2)]
    )


def test_the_file_says_how_it_was_split(tmp_path):
    split_photo_file(write(tmp_path, photos()), tmp_path / "s.parquet", by="place", seed=9)
    told = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"geoloc_split"])
    assert told == {
        "by": "place",
        "block_km": 1.0,
        "fractions": [0.8, 0.1, 0.1],
        "exchangeable": False,
        "seed": 9,
        "key": "id",
        "hash_version": 1,
    }


def test_whole_numbers_are_ids_too(tmp_path):
    frame = photos().assign(id=np.arange(300))
    split_photo_file(write(tmp_path, frame), tmp_path / "s.parquet")
    written = pd.read_parquet(tmp_path / "s.parquet")
    np.testing.assert_array_equal(
        written["part"], np.array(PARTS)[assign_parts([str(k) for k in range(300)])]
    )


def changed(column, row, value):
    frame = photos().astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (photos().drop(columns=["id", "path"]), {}, "neither a column id nor path"),
        (photos().drop(columns="user"), {"by": "user"}, "needs a column user"),
        (photos().drop(columns="latitude"), {"by": "place"}, "needs a column latitude"),
        (changed("id", 200, "007"), {}, "row 201 that of row 8, '007'"),
        (changed("id", 200, None), {}, "row 201 of photos.parquet has none"),
        (changed("id", 200, ""), {}, "row 201 of photos.parquet has none"),
        (changed("latitude", 200, 99.0), {"by": "place"}, "Latitude.*row 201, 99"),
        (changed("latitude", 200, None), {"by": "place"}, "needs a latitude.*row 201"),
        (photos().assign(latitude="north"), {"by": "place"}, "'latitude'.*must hold numbers"),
        (photos().iloc[:0], {}, "has no rows"),
        (photos().iloc[:2], {}, "part empty.*too few photos"),
        (photos().assign(user="anna"), {"by": "user"}, "part empty.*too few users"),
        (photos(), {"by": "place", "block_km": 5_000}, "part empty.*too few blocks"),
        (photos().assign(id=np.linspace(0, 1, 300)), {}, "texts or whole numbers"),
        (photos(), {"fractions": (1.0, 0.0, 0.0)}, "three positive numbers"),
        (photos(), {"subsets": [0]}, "at least 1 photo"),
        (photos(), {"seed": -1}, "seed"),
        (photos(), {"by": "colour"}, "by must be"),
    ],
)
def test_impossible_splits_leave_no_file(tmp_path, frame, options, words):
    source = write(tmp_path, frame)
    with pytest.raises(GeolocError, match=words):
        split_photo_file(source, tmp_path / "split.parquet", batch_rows=64, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["photos.parquet"]


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(GeolocError, match="There is no file"):
        split_photo_file(tmp_path / "no.parquet", tmp_path / "s.parquet")
    with pytest.raises(GeolocError, match=r"photos\.xls must be"):
        split_photo_file(tmp_path / "photos.xls", tmp_path / "s.parquet")
    with pytest.raises(GeolocError, match=r"written as \.parquet; got s\.csv"):
        split_photo_file(write(tmp_path, photos()), tmp_path / "s.csv")


def test_damaged_files_are_refused(tmp_path):
    whole = write(tmp_path, photos())
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-200])
    text = write(tmp_path, photos(), "photos.csv").read_text()
    (tmp_path / "cut.csv").write_text(text + "300,46.5")
    (tmp_path / "semicolon.csv").write_text(text.replace(",", ";"))
    (tmp_path / "latin.csv").write_bytes(text.replace("u1", "ü1").encode("latin-1"))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:-500])
    for name, words in [
        ("cut.parquet", "cannot be read"),
        ("cut.csv", "cannot be read.*columns"),
        ("semicolon.csv", "neither a column id nor path"),
        ("latin.csv", "cannot be read.*UTF8"),
        ("empty.csv", "cannot be read"),
        ("cut.csv.gz", "cannot be read"),
    ]:
        with pytest.raises(GeolocError, match=words):
            split_photo_file(tmp_path / name, tmp_path / "split.parquet")
    assert not (tmp_path / "split.parquet").exists()


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([["a", "b"], ["c", "d"]], names=["id", "id"])
    pq.write_table(table, tmp_path / "photos.parquet")
    with pytest.raises(GeolocError, match="two columns 'id'"):
        split_photo_file(tmp_path / "photos.parquet", tmp_path / "s.parquet")
