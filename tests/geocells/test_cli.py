from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from command_line import geocells, run
from command_line import geocells_refuses as refused
from fresh_process import loaded_by

from geocells import CellBuilder, load_cells
from geocells.cli import COMMANDS, main
from geocells.cli.build import BuilderOptions

RNG = np.random.default_rng(0)
COORDS = RNG.normal((47.0, 8.0), 0.3, size=(400, 2))
FEATS = RNG.normal(size=(400, 8)).astype(np.float32)
COUNTRY = np.where(COORDS[:, 1] < 8.0, "NA", "CH")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A table of photos, with columns that are none of ours."""
    path = tmp_path / "photos.csv"
    table = pd.DataFrame(COORDS, columns=["Lat", "lng"])
    table.assign(name=[f"{row}.jpg" for row in range(400)], country=COUNTRY).to_csv(
        path, index=False
    )
    return path


@pytest.fixture
def feats(tmp_path: Path) -> Path:
    path = tmp_path / "feats.npy"
    np.save(path, FEATS)
    return path


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    path = tmp_path / "built.parquet"
    CellBuilder(30, method="consolidated").fit(COORDS).cells_.save(path)
    return path


# -------------------------------------------------------------------------------------------- build


def test_build_makes_the_cells_that_the_library_makes(photos, feats, tmp_path):
    out = tmp_path / "cells.parquet"
    result = geocells(
        "build", photos, "--features", feats, "--min-images", 30, "--group-column", "country",
        "--location", "medoid", "-o", out,
    )  # fmt: skip
    expected = CellBuilder(30, location="medoid").fit(COORDS, FEATS, groups=COUNTRY).cells_
    built = load_cells(out)
    assert np.array_equal(built.locations, expected.locations)
    assert built.groups.tolist() == expected.groups.tolist()
    assert set(built.groups) == {"CH", "NA"}  # Namibia is not a missing value
    assert f"{built.n_cells} cells of 400 photos" in result.stdout


def test_build_reads_the_columns_that_are_named(photos, tmp_path):
    source = tmp_path / "other.parquet"
    columns = {"Lat": "breite", "lng": "laenge"}
    pd.read_csv(photos).rename(columns=columns).to_parquet(source)
    out = tmp_path / "cells.parquet"
    geocells(
        "build", source, "--latitude-column", "breite", "--longitude-column", "laenge",
        "--method", "top_down", "--min-images", 30, "-o", out,
    )  # fmt: skip
    expected = CellBuilder(30, method="top_down").fit(COORDS)
    assert np.array_equal(load_cells(out).counts, expected.counts_)


def test_build_counts_a_column_of_weights(photos, tmp_path):
    table = pd.read_csv(photos).assign(n=3)
    table.to_csv(photos, index=False)
    out = tmp_path / "cells.parquet"
    options = ["--method", "consolidated", "--min-images", 30, "-o", out]
    geocells("build", photos, "--weight-column", "n", *options)
    assert load_cells(out).counts.sum() == 1200


def test_build_writes_geojson_and_csv(photos, tmp_path):
    for suffix in (".geojson", ".csv"):
        out = tmp_path / f"cells{suffix}"
        options = ["--method", "consolidated", "--min-images", 30, "-o", out]
        geocells("build", photos, *options)
    outlines = gpd.read_file(tmp_path / "cells.geojson")
    plain = pd.read_csv(tmp_path / "cells.csv")
    assert outlines.geometry.is_valid.all()
    assert plain["count"].sum() == outlines["count"].sum() == 400
    assert "geometry" not in plain.columns


# ------------------------------------------------------------------------------- assign, report, map


def test_assign_adds_the_cell_and_its_location_and_keeps_the_rest(photos, cells, tmp_path):
    out = tmp_path / "out.csv"
    geocells("assign", cells, photos, "-o", out)
    table, partition = pd.read_csv(out, keep_default_na=False), load_cells(cells)
    labels = partition.assign(COORDS)
    assert table["cell"].tolist() == labels.tolist()
    assert np.allclose(table[["cell_latitude", "cell_longitude"]], partition.locations[labels])
    assert table["name"].tolist() == [f"{row}.jpg" for row in range(400)]
    assert table["country"].tolist() == COUNTRY.tolist()


def test_assign_writes_parquet_and_points(photos, cells, tmp_path):
    for suffix in (".parquet", ".geojson"):
        geocells("assign", cells, photos, "-o", tmp_path / f"out{suffix}")
    table = pd.read_parquet(tmp_path / "out.parquet")
    points = gpd.read_file(tmp_path / "out.geojson")
    assert table["cell"].tolist() == points["cell"].tolist()
    assert np.allclose(points.geometry.y, COORDS[:, 0])


def test_groups_of_text_and_of_numbers_are_the_same_groups(tmp_path):
    frame = pd.DataFrame(COORDS, columns=["lat", "lon"]).assign(dep=np.arange(400) % 2)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    options = ["--group-column", "dep"]
    out = tmp_path / "cells.parquet"
    for built in ("a.parquet", "a.csv"):
        geocells("build", tmp_path / built, *options, "--min-images", 30, "-o", out)
        labels = []
        for assigned in ("a.parquet", "a.csv"):
            arguments = [out, tmp_path / assigned, *options, "-o", tmp_path / "o.csv"]
            geocells("assign", *arguments)
            labels.append(pd.read_csv(tmp_path / "o.csv")["cell"].tolist())
        assert labels[0] == labels[1]


def test_assign_far_from_every_cell_does_as_it_is_told(cells, tmp_path):
    far = tmp_path / "far.csv"
    pd.DataFrame({"latitude": [-30.0], "longitude": [100.0]}).to_csv(far, index=False)
    out = tmp_path / "out.csv"
    geocells("assign", cells, far, "--outside", "noise", "-o", out)
    row = pd.read_csv(out).iloc[0]
    assert row["cell"] == -1
    assert np.isnan(row["cell_latitude"])
    assert "No cell holds 1 of 1" in refused("assign", cells, far, "--outside", "raise", "-o", out)


def test_report_prints_what_the_library_reports(photos, feats, cells, tmp_path):
    result = geocells("report", cells, photos, "--features", feats, "-o", tmp_path / "report.csv")
    expected = load_cells(cells).report(COORDS, FEATS)
    assert repr(expected) in result.stdout
    written = pd.read_csv(tmp_path / "report.csv", index_col=0)
    assert np.allclose(written["value"], expected.frame["value"])


def test_report_shows_the_curve_to_choose_min_images_by(photos, cells, tmp_path):
    numbers = ["--min-images", "40,20"]
    result = geocells("report", cells, photos, *numbers, "-o", tmp_path / "curve.csv")
    assert max(map(len, result.stdout.splitlines()[:3])) <= 80
    curve = pd.read_csv(tmp_path / "curve.csv", index_col=0)
    assert curve.index.tolist() == [20, 40]
    parameters = load_cells(cells).parameters
    for number, row in curve.iterrows():
        made = CellBuilder(**{**parameters, "min_images": number}).fit(COORDS).cells_
        assert row["cells"] == made.n_cells
        assert row["least"] == made.counts.min()
        assert row["25 km %"] == pytest.approx(100 * made.report(COORDS).oracle(25))
    assert ".csv" in refused("report", cells, photos, *numbers, "-o", "curve.png")
    assert "such as 5,10" in refused("report", cells, photos, "--min-images", "few")


def test_report_draws_a_picture(photos, cells, tmp_path):
    geocells("report", cells, photos, "-o", tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"


def test_map_draws_a_picture_or_a_page(cells, tmp_path):
    geocells("map", cells, "--color-by", "count", "-o", tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    result = geocells("map", cells, "--max-cells", 3, "-o", tmp_path / "map.html")

    assert "Note: The map shows the 3 fullest" in result.stderr
    assert "leaflet" in (tmp_path / "map.html").read_text()


# ------------------------------------------------------------------------------------------- errors


def test_missing_files_are_named(photos, tmp_path):
    gone = tmp_path / "gone.csv"
    assert refused("build", gone) == f"Error: There is no file {gone}."
    out = tmp_path / "out.csv"
    assert refused("assign", gone, photos, "-o", out) == f"Error: There is no file {gone}."
    assert refused("build", photos, "--features", gone).endswith(f"There is no file {gone}.")


def test_missing_columns_are_named(photos, cells, tmp_path):
    out = tmp_path / "out.csv"
    assert "has no column 'breite'" in refused("build", photos, "--latitude-column", "breite")
    assert "has no column 'land'" in refused("build", photos, "--group-column", "land", "-o", out)
    assert "has no column 'n'" in refused("build", photos, "--weight-column", "n", "-o", out)
    bare = tmp_path / "bare.csv"
    bare.write_text("name,Lat\na,1\n")
    assert "no column 'longitude'" in refused("assign", cells, bare, "-o", out)


def test_unsound_rows_are_named(tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.write_text("lat,lon,land,n\n1,2,NA,1\n1,3,NULL,few\n")
    message = refused("build", table, "--group-column", "land", "-o", out)
    assert "'land'; 1 of 2 rows of table.csv have none (first: row 2)" in message
    message = refused("build", table, "--weight-column", "n", "-o", out)
    assert "1 of 2 rows of table.csv do not (first: row 2, 'few'). Correct" in message


def test_options_that_cannot_be_are_refused_before_anything_is_read(tmp_path):
    gone = tmp_path / "gone.csv"
    assert "bottom_up" in refused("build", gone, "--method", "magic")
    assert "min_images must be at least 1; got 0" in refused("build", gone, "--min-images", 0)
    assert "max_images belongs to" in refused("build", gone, "--max-images", 5)
    assert "medoid" in refused("build", gone, "--location", "middle")


def test_features_must_fit_the_photos(photos, tmp_path):
    feats = tmp_path / "feats.npy"
    np.save(feats, FEATS[:399])
    message = refused("build", photos, "--features", feats)
    assert f"one row of features for each of the 400 photos of {photos}; it has 399" in message
    np.save(feats, FEATS[:, 0])
    assert "its shape is (400,)" in refused("build", photos, "--features", feats)
    feats.write_bytes(b"nonsense")
    assert "is no .npy file of features" in refused("build", photos, "--features", feats)
    assert refused("build", photos, "--features", photos).endswith("is no .npy file of features.")
    np.save(feats, np.where(np.arange(400)[:, None] == 7, np.nan, FEATS))
    assert "row 7 is not" in refused("build", photos, "--features", feats, "--min-images", 30)


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(cells, tmp_path):
    gone = tmp_path / "gone.csv"
    assert "The output must end in .parquet, .geojson, .gpkg, .fgb, .csv" in refused(
        "build", gone, "-o", "cells.xyz"
    )
    assert "There is no folder" in refused("build", gone, "-o", tmp_path / "no" / "cells.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be written" in refused("assign", cells, gone, "-o", tmp_path / "folder.csv")
    assert "must end in .png" in refused("map", cells, "-o", "map.jpg")


def test_a_table_with_cells_already_is_not_overwritten(photos, cells, tmp_path):
    out = tmp_path / "out.csv"
    geocells("assign", cells, photos, "-o", out)
    assert "has a column 'cell' already" in refused("assign", cells, out, "-o", tmp_path / "b.csv")


# --------------------------------------------------------------------------------------------- help


def test_the_help_lists_every_command():
    words = geocells("--help").stdout.split()
    assert set(COMMANDS) <= set(words)


def test_the_options_of_build_are_the_parameters_of_the_builder():
    parameters = inspect.signature(CellBuilder).parameters
    fields = {field.name: field.default for field in dataclasses.fields(BuilderOptions)}
    assert fields.pop("min_images") is None  # by the number of photos
    others = {name for name in parameters if name not in ("bounds", "min_images")}
    assert fields == {name: parameters[name].default for name in others}
    help_text = " ".join(geocells("build", "--help").stdout.replace("│", " ").split())
    assert "[default: mean_wcss]" in help_text
    for name in fields:
        assert f"--{name.replace('_', '-')} " in help_text


def test_an_interruption_ends_with_130(photos, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(CellBuilder, "fit", interrupted)
    result = run(main, "build", photos)
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr


def test_the_command_starts_without_loading_the_heavy_libraries():
    heavy = ["pandas", "geopandas", "numba", "matplotlib"]
    assert loaded_by("import geocells.cli", heavy) == []


@pytest.mark.parametrize(
    ("n_rows", "weight", "least"), [(300, 1, 10), (3000, 1, 30), (300, 10, 30), (30_000, 1, 200)]
)
def test_cells_need_a_hundredth_of_the_photos_by_default(tmp_path, n_rows, weight, least):
    coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, (n_rows, 2))
    frame = pd.DataFrame(coords, columns=["lat", "lon"]).assign(photos=weight)
    frame.to_csv(tmp_path / "photos.csv", index=False)
    build = ["build", tmp_path / "photos.csv", "-o", tmp_path / "cells.parquet"]
    result = run(main, *build, "--weight-column", "photos")
    assert result.exit_code == 0, result.output
    cells = load_cells(tmp_path / "cells.parquet")
    assert cells.parameters["min_images"] == least
