"""A split of a file equals the split of its columns, in batches of any size."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from geoloc_models.tables.parts import assign_parts, split_of_table, subset_ranks
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import PARTS
from geoloc_models.tables.split_file import split_photo_file
from geoloc_models.tables.split_options import SplitOptions


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


def split(folder, frame, target="split.parquet", **options):
    """The report of a split of these photos, and the table that it wrote."""
    report = split_photo_file(write(folder, frame), folder / target, SplitOptions(**options))
    return report, pd.read_parquet(folder / target)


def parts_of(ids, **options):
    return np.array(PARTS)[assign_parts(ids, **options)].tolist()


def write(folder, frame, name="photos.parquet", **options):
    path = folder / name
    if name.endswith(".parquet"):
        frame.to_parquet(path, index=False, **options)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",", **options)
    return path


@pytest.mark.parametrize("by", ["id", "user", "place"])
@pytest.mark.parametrize("exchangeable", [True, False])
def test_the_file_is_split_as_its_columns_are(tmp_path, by, exchangeable):
    frame = photos()
    source = write(tmp_path, frame, row_group_size=50)
    options = {"by": by, "block_km": 5.0, "fractions": (0.6, 0.2, 0.2), "seed": 3}
    options["exchangeable"] = exchangeable
    split_photo_file(source, tmp_path / "split.parquet", SplitOptions(**options))
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


def test_any_column_may_be_split_by(tmp_path):
    frame = photos().assign(camera=[f"c{k % 30}" if k % 5 else None for k in range(300)])
    report, written = split(tmp_path, frame, by="camera")
    assert written.dropna(subset="camera").groupby("camera")["part"].nunique().eq(1).all()
    assert report.n_without_user == 60
    assert written["part"].tolist() == parts_of(frame["id"], by="camera", users=frame["camera"])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("by", ["place", "user"])
def test_a_large_place_or_user_is_trained_on_and_the_others_stay(tmp_path, by, seed):
    frame = photos(1000)
    campus = np.arange(1000) < 200
    frame.loc[campus, ["latitude", "longitude"]] = 47.3765, 8.548
    frame["user"] = np.where(campus, "anna", [f"u{k}" for k in range(1000)])
    report, written = split(tmp_path, frame, by=by, seed=seed)
    assert set(written["part"][campus]) == {"train"}
    assert report.trained_on == {"anna" if by == "user" else "47.377, 8.548": 200}
    rest, axes = frame[~campus], ["latitude", "longitude"]
    units = {"users": rest["user"], "coords": rest[axes]}
    assert written["part"][~campus].tolist() == parts_of(rest["id"], by=by, seed=seed, **units)
    assert all(n <= 3 for _, n in report.fullest.values())


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
    report, written = split(tmp_path, frame, subsets=(20, 100, 5_000))
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
    report, _ = split(tmp_path, frame)
    assert report.parts.sum(axis=1).to_dict() == {"--": 200, "SE": 100}
    report, _ = split(tmp_path, frame.drop(columns="country"))
    assert report.parts.sum(axis=1).to_dict() == {"all": 300}


def test_paths_stand_in_for_ids(tmp_path):
    frame = photos().drop(columns="id")
    report, written = split(tmp_path, frame, "out/split.parquet")
    assert report.key == "path"
    assert written["id"].tolist() == frame["path"].tolist()
    assert written["part"].tolist() == parts_of(frame["path"])


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
    _, first = split(tmp_path, photos(), "photos.parquet", seed=1)
    _, written = split(tmp_path, first, "photos.parquet", seed=2)
    assert list(written.columns) == [*photos().columns, "part", "subset_rank"]
    assert written["part"].tolist() == parts_of(photos()["id"], seed=2)


def test_the_file_says_how_it_was_split(tmp_path):
    split(tmp_path, photos(), by="place", seed=9)
    told = json.loads(pq.read_schema(tmp_path / "split.parquet").metadata[b"geoloc_split"])
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
    _, written = split(tmp_path, photos().assign(id=np.arange(300)))
    assert written["part"].tolist() == parts_of([str(k) for k in range(300)])


def changed(column, row, value):
    frame = photos().astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (photos().drop(columns=["id", "path"]), {}, "neither a column id nor path"),
        (photos().drop(columns="user"), {"by": "user"}, "no column 'user'"),
        (photos().drop(columns="latitude"), {"by": "place"}, "no column 'latitude'"),
        (changed("id", 200, "007"), {}, "row 201 that of row 8, '007'"),
        (changed("id", 200, None), {}, "photos.parquet have none.*row 201"),
        (changed("id", 200, ""), {}, "photos.parquet have none.*row 201"),
        (changed("latitude", 200, 99.0), {"by": "place"}, "Latitude.*row 201, 99"),
        (changed("latitude", 200, None), {"by": "place"}, "needs a latitude.*row 201"),
        (photos().assign(latitude="north"), {"by": "place"}, "'latitude'.*must hold numbers"),
        (photos().iloc[:0], {}, "holds no rows"),
        (photos().iloc[:2], {}, "part empty.*too few photos"),
        (photos().assign(user="anna"), {"by": "user"}, "part empty.*too few users"),
        (photos(), {"by": "place", "block_km": 5_000}, "part empty.*too few blocks"),
        (photos(), {"fractions": (1.0, 0.0, 0.0)}, "three positive numbers"),
        (photos(), {"subsets": (0,)}, "at least 1 photo"),
        (photos(), {"seed": -1}, "seed"),
        (photos(), {"by": "colour"}, "no column 'colour' to split by; choose id, user, place"),
    ],
)
def test_impossible_splits_leave_no_file(tmp_path, frame, options, words):
    source = write(tmp_path, frame)
    with pytest.raises(ValueError, match=words):
        split_photo_file(source, tmp_path / "split.parquet", SplitOptions(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["photos.parquet"]


def test_a_split_is_parquet(tmp_path):
    with pytest.raises(ValueError, match=r"written as \.parquet; got s\.csv"):
        split_photo_file(write(tmp_path, photos()), tmp_path / "s.csv")


def test_other_columns_are_handed_through_unchanged(tmp_path):
    frame = photos().assign(
        code=[f"{k:05d}" for k in range(300)],
        taken=pd.date_range("2020", periods=300, freq="D", tz="Europe/Zurich"),
        tags=[[k, k + 1] for k in range(300)],
    )
    frame.index = pd.Index(range(1000, 1300), name="row")
    frame.to_parquet(tmp_path / "photos.parquet")
    split_photo_file(tmp_path / "photos.parquet", tmp_path / "s.parquet")
    before, after = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("photos", "s"))
    assert after.select(before.column_names).equals(before)
    assert pd.read_parquet(tmp_path / "s.parquet").index.tolist() == frame.index.tolist()


def test_text_stays_text_but_for_the_coordinates(tmp_path):
    frame = photos().assign(code=[f"{k:05d}" for k in range(300)], number=1.50)
    split_photo_file(write(tmp_path, frame, "photos.csv"), tmp_path / "s.parquet")
    written = pq.read_table(tmp_path / "s.parquet")
    assert written["code"].to_pylist() == frame["code"].tolist()
    assert written["number"].to_pylist() == ["1.5"] * 300
    assert written["latitude"].to_pylist() == frame["latitude"].tolist()
    frame = changed("latitude", 200, "north")
    with pytest.raises(ValueError, match=r"'latitude' must hold numbers; row 201.*'north'"):
        split_photo_file(write(tmp_path, frame, "photos.csv"), tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_points_of_geoparquet_stay_points(tmp_path):
    frame = photos()
    points = gpd.points_from_xy(frame["longitude"], frame["latitude"], crs=4326)
    rest = frame.drop(columns=["latitude", "longitude"])
    gpd.GeoDataFrame(rest, geometry=points).to_parquet(tmp_path / "photos.parquet")
    options = {"by": "place", "block_km": 5.0}
    split_photo_file(tmp_path / "photos.parquet", tmp_path / "s.parquet", SplitOptions(**options))
    written = gpd.read_parquet(tmp_path / "s.parquet")
    assert written.crs == "EPSG:4326"
    assert written.columns.tolist() == [*rest.columns, "geometry", "part", "subset_rank"]
    coords = frame[["latitude", "longitude"]]
    assert written["part"].tolist() == parts_of(frame["id"], coords=coords, **options)
