"""geoloc train on cached features and subsets, and from a file of options."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from command_line import geoloc, geoloc_refuses
from geoloc_models_small import save_small_photos

from geocells import CellBuilder, ClusteredCells, RegionCells, load_cells
from geoloc_models import load_model
from geoloc_models.models.tasks import labels_of_cells

N_ROWS = 60


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A table with ids, split into parts and subsets, and a cache of its features."""
    folder = tmp_path_factory.mktemp("prepared")
    save_small_photos(folder, N_ROWS, "photos.parquet")
    split = ["split", folder / "photos.parquet", "-o", folder / "split.parquet", "--subsets", "20"]
    geoloc(*split)
    encoder = ["--encoder", "tiny", "--weights", folder / "tiny.safetensors", "--image-size", "32"]
    geoloc("embed", folder / "split.parquet", *encoder, "-o", folder / "features.npy")
    return folder


def train(folder, output, *more):
    quick = ["--min-images", "4", "--epochs", "2", "--learning-rate", "1e-3", "--hidden", "16"]
    features = ["--features", folder / "features.npy", "--output", output]
    return geoloc("train", folder / "split.parquet", *features, *quick, *more)


def test_features_bring_their_encoder_with_them(prepared, tmp_path):
    result = train(prepared, tmp_path / "run", "--task", "cells", "--method", "bottom_up")
    assert "Cells, bottom-up" in result.stdout
    counts = load_cells(tmp_path / "run" / "cells.parquet").counts
    photos = f"{counts.min()} to {counts.max()} training photos"
    assert f"{len(counts)} cells of {photos} (min_images 4)." in result.stdout
    again = geoloc("evaluate", tmp_path / "run")
    # The same test photos, from the same cache: the same table.
    table = result.stdout[result.stdout.index("Model ") : result.stdout.index("The run is in")]
    assert table.strip().splitlines()[2] in again.stdout


def test_a_subset_trains_on_so_many_and_tests_on_all(prepared, tmp_path):
    result = train(prepared, tmp_path / "run", "--task", "country", "--subset", "20")
    parts = pd.read_parquet(prepared / "split.parquet")["part"].value_counts()
    n_rest = parts["validation"] + parts["test"]
    assert f"{20 + n_rest} photos: 20 to train" in result.stdout
    split = pd.read_parquet(tmp_path / "run" / "split.parquet")
    assert (split["part"] == "test").sum() == parts["test"]


def test_the_parts_of_the_table_are_the_runs(prepared, tmp_path):
    train(prepared, tmp_path / "run", "--task", "nearest")
    rows = pd.read_parquet(tmp_path / "run" / "split.parquet").sort_values("row")
    table = pd.read_parquet(prepared / "split.parquet")
    np.testing.assert_array_equal(rows["part"].to_numpy(), table["part"].to_numpy())


def test_a_runs_options_are_those_of_another(prepared, tmp_path):
    train(prepared, tmp_path / "run", "--seed", "3")
    options = tmp_path / "run" / "options.json"
    geoloc("train", "--config", options, "--output", tmp_path / "again", "--epochs", 1)
    first, second = (
        json.loads((tmp_path / name / "options.json").read_text()) for name in ("run", "again")
    )
    assert second["plan"] == first["plan"]
    assert second["training"] == {**first["training"], "epochs": 1}
    assert second["source"] == first["source"]
    (tmp_path / "run.yaml").write_text("min_images: 4\nepoch: 3\n")
    config = ["train", prepared / "split.parquet", "--config", tmp_path / "run.yaml"]
    assert "epoch" in geoloc_refuses(*config)
    (tmp_path / "run.yaml").write_text("- 3\n")
    assert "options by name" in geoloc_refuses(*config)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--features", "nothing.npy"], "nothing.npy"),
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--min-images", "0"], "min_images must be"),
        (["--sigmas", "one"], "--sigmas"),
        (["--task", "retrieval", "--projection", "mercator"], "mercator"),
        (["--train-encoder", "half"], '"half"'),
        (["--augment", "more"], '"more"'),
        (["--subset", "5000"], "5000"),
        (["--devices", "3"], "multiple"),
        (["--method", "top_down", "--rank-by", "taste"], "taste"),
    ],
)
def test_bad_input_ends_in_one_sentence(prepared, tmp_path, arguments, words):
    small = ["--encoder", "tiny", "--image-size", "32", "--output", tmp_path / "run"]
    assert words in geoloc_refuses("train", prepared / "split.parquet", *small, *arguments)
    assert not (tmp_path / "run").exists()


def test_cells_of_any_kind_can_be_trained_on(prepared, tmp_path):
    table = pd.read_parquet(prepared / "split.parquet")
    coords = table[["latitude", "longitude"]]
    boxes = shapely.box([-10, -10, 12], [35, 52, 35], [12, 30, 30], [52, 72, 52])
    code = {"CH": "CHE", "SE": "SWE"}
    by_country = gpd.GeoDataFrame(
        {"GID_0": ["CHE", "SWE"]}, geometry=[boxes[0] | boxes[2], boxes[1]], crs=4326
    )
    partitions = {
        "regions": RegionCells(boxes, min_images=2).fit(coords),
        "gadm": RegionCells(by_country, min_images=2, max_images=20, group="GID_0").fit(
            coords, groups=table["country"].map(code)
        ),
        "clustered": ClusteredCells(min_images=5).fit(coords),
        "s2": CellBuilder(5, grid="s2").fit(coords, groups=table["country"]),
    }
    for name, builder in partitions.items():
        builder.cells_.save(tmp_path / f"{name}.parquet")
        result = train(prepared, tmp_path / name, "--cells", tmp_path / f"{name}.parquet")
        assert f"{builder.n_cells_} cells" in result.stdout, name
        model = load_model(tmp_path / name)
        assert set(model.task.classes.countries) <= {"CH", "SE", ""}, name
        labels = labels_of_cells(model.task.cells, coords, table["country"])
        assert labels.tolist() == builder.labels_.tolist(), name
    cells = ["--cells", tmp_path / "s2.parquet"]
    run = ["train", prepared / "split.parquet", "--features", prepared / "features.npy"]
    run += ["--label", "given"]
    train(prepared, tmp_path / "first", "--label", "given", *cells)
    again = ["-o", tmp_path / "first", "--resume", "--min-images", "4", "--epochs", "2"]
    again += ["--learning-rate", "1e-3", "--hidden", "16"]
    assert "other cells" in geoloc_refuses(*run, *again, "--cells", tmp_path / "gadm.parquet")
    wrong = [*run, "-o", tmp_path / "x", *cells]
    assert "takes no cells" in geoloc_refuses(*wrong, "--task", "country")
    far = CellBuilder(5).fit(coords, groups=np.full(len(coords), "Bern"))
    far.cells_.save(tmp_path / "s2.parquet")
    assert "'Bern' say, must be countries" in geoloc_refuses(*wrong)


def test_cells_are_made_on_the_grid_and_with_the_location_that_are_asked_for(prepared, tmp_path):
    train(prepared, tmp_path / "run", "--grid", "s2", "--location", "medoid")
    cells = load_cells(tmp_path / "run" / "cells.parquet")
    assert "S2" in repr(cells.grid)
    np.testing.assert_array_equal(cells.locations, cells.medoids)
