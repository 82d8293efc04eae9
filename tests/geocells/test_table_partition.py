from __future__ import annotations

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import run

from geocells import load_cells, partition_table
from geocells.cli import main
from geocells.tables import TableError

RNG = np.random.default_rng(0)
N = 3000
CENTRES = RNG.uniform((-60, -180), (70, 180), (30, 2))
COORDS = CENTRES[RNG.integers(0, 30, N)] + RNG.normal(0, 0.5, (N, 2))
COORDS[:, 1] = (COORDS[:, 1] + 180) % 360 - 180
PHOTOS = pd.DataFrame(
    {
        "id": [f"{number:05}" for number in range(N)],
        "lat": COORDS[:, 0],
        "lng": COORDS[:, 1],
        "tags": [f'a, "b" {number}' if number % 3 else None for number in range(N)],
    }
)


def write_csv(path):
    PHOTOS.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def write_parquet(path):
    PHOTOS.assign(kind=pd.Categorical(PHOTOS["id"].str[-1])).to_parquet(path)
    return path


def write_geoparquet(path):
    points = gpd.points_from_xy(PHOTOS["lng"], PHOTOS["lat"])
    gpd.GeoDataFrame(PHOTOS[["id", "tags"]], geometry=points, crs=4326).to_parquet(path)
    return path


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_geoparquet])
def test_every_row_stands_in_the_file_of_its_cell_once(write, tmp_path):
    photos = write(tmp_path / "photos.parquet")
    returned = partition_table(photos, tmp_path / "out", min_rows=50, run_bytes=20_000)
    files = sorted((tmp_path / "out").glob("cell=*/*.parquet"))
    cells = load_cells(tmp_path / "out" / "_cells.parquet")
    assert len(files) == cells.n_cells == returned.n_cells > 10
    frames = []
    for file in files:
        frame = gpd.read_parquet(file)
        cell = int(file.parent.name.removeprefix("cell="))
        coords = np.column_stack([frame.geometry.y, frame.geometry.x])
        assert (cells.assign(coords) == cell).all()
        codes = cells.grid.encode(coords)
        assert (np.diff(codes.astype(np.int64)) >= 0).all()
        assert len(frame) == cells.counts[cell] >= 50
        geo = frame.total_bounds
        stored = pq.read_schema(file).metadata[b"geo"]
        assert str(geo[0]).encode() in stored  # the file's bounding box
        frames.append(frame.drop(columns="geometry"))
    back = pd.concat(frames).sort_values("id", ignore_index=True)
    assert back["id"].tolist() == PHOTOS["id"].tolist()
    assert back["tags"].fillna("").tolist() == PHOTOS["tags"].fillna("").tolist()
    axes = ["lat", "lng"] if "lat" in back else ["latitude", "longitude"]
    assert np.array_equal(back[axes].to_numpy(), COORDS)
    hive = f"read_parquet('{tmp_path}/out/*/*.parquet', hive_partitioning=true)"
    assert duckdb.sql(f"SELECT count(*), count(DISTINCT cell) FROM {hive}").fetchall() == [
        (N, len(files))
    ]


def test_the_command_says_what_it_wrote(tmp_path):
    result = run(
        main,
        "partition",
        write_csv(tmp_path / "photos.csv"),
        "-o",
        tmp_path / "out",
        "--min-rows",
        500,
    )
    assert result.exit_code == 0, result.stderr
    assert f"files of {N} rows" in result.stdout
    assert not result.stderr  # nothing about too few cells for a classifier
    assert "lat" in result.stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(lat=t["lat"].where(t.index < 2000, 95)), {}, "row 2001"),
        (lambda t: t.assign(geometry="x"), {}, "'geometry' that is no GeoParquet geometry"),
        (lambda t: t.head(0), {}, "no rows"),
        (lambda t: t, {"min_rows": 0}, "min_rows"),
        (lambda t: t.drop(columns="lat"), {}, "latitude"),
    ],
)
def test_what_cannot_be_partitioned_leaves_nothing(change, options, message, tmp_path):
    change(PHOTOS).to_parquet(tmp_path / "photos.parquet")
    with pytest.raises((TableError, ValueError), match=message):
        partition_table(
            tmp_path / "photos.parquet", tmp_path / "out", **{"min_rows": 50, **options}
        )
    assert [path.name for path in tmp_path.iterdir()] == ["photos.parquet"]


def test_a_folder_with_files_is_refused(tmp_path):
    with pytest.raises(FileExistsError, match="Name a new folder"):
        partition_table(write_csv(tmp_path / "photos.csv"), tmp_path, min_rows=50)
