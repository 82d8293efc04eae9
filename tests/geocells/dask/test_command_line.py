"""``geocells build`` and ``geocells assign`` with ``--dask``."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from command_line import geocells
from command_line import geocells_refuses as refused

from geocells import CellBuilder, load_cells

RNG = np.random.default_rng(3)
COORDS = RNG.normal((47.0, 8.0), 0.3, size=(600, 2))
FEATS = RNG.normal(size=(600, 4)).astype(np.float32)
COUNTRY = np.where(COORDS[:, 1] < 8.0, "NA", "CH").astype(object)


@pytest.fixture
def photos(tmp_path):
    """Glob of a dataset of three files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(600), 3)):
        table = pd.DataFrame(COORDS[rows], columns=["Lat", "lng"])
        table = table.assign(country=COUNTRY[rows], n=2, a=FEATS[rows, 0], b=FEATS[rows, 1])
        table.assign(vector=list(FEATS[rows])).to_parquet(folder / f"{number}.parquet", index=False)
    return str(folder / "*.parquet")


def test_a_scheduler_builds_and_assigns_what_one_process_does(cluster, photos, tmp_path):
    out, assigned = tmp_path / "cells.parquet", tmp_path / "assigned"
    scheduler = ["--dask", cluster.scheduler_address]
    result = geocells(
        "build", photos, "--min-images", 60, "--feature-column", "vector", "--group-column",
        "country", "--weight-column", "n", "-o", out, *scheduler,
    )  # fmt: skip
    one = CellBuilder(60).fit(COORDS, FEATS, COUNTRY, np.full(600, 2))
    cells = load_cells(out)
    assert f"{one.n_cells_} cells of 600 photos" in result.stdout
    assert np.array_equal(cells.centroids, one.centroids_)
    result = geocells(
        "assign", out, photos, "--group-column", "country", "-o", assigned, *scheduler
    )
    assert "600 photos" in result.stdout
    table = pd.read_parquet(assigned)
    assert table["cell"].tolist() == one.labels_.tolist()
    assert table["country"].tolist() == COUNTRY.tolist()
    result = geocells("build", photos, "--weight-column", "n", "-o", out, *scheduler)
    assert "Of 12 photos at least." in result.stdout  # a hundredth of 1 200
    columns = ["--feature-column", "a", "--feature-column", "b"]
    geocells("build", photos, "--min-images", 60, *columns, "-o", out, *scheduler)
    two = CellBuilder(60).fit(COORDS, FEATS[:, :2])
    assert np.array_equal(load_cells(out).centroids, two.centroids_)


def test_workers_of_this_machine_are_started_and_stopped(photos, tmp_path):
    out = tmp_path / "cells.parquet"
    code = "from geocells.cli import main; main()"
    command = [sys.executable, "-c", f"if __name__ == '__main__':\n    {code}"]
    done = subprocess.run(
        [
            *command, "build", photos, "--method", "consolidated", "--min-images", "60",
            "-o", str(out), "--dask", "local",
        ],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    one = CellBuilder(60, method="consolidated").fit(COORDS)
    assert np.array_equal(load_cells(out).counts, one.counts_)


def test_errors_are_one_sentence(cluster, photos, tmp_path, monkeypatch):
    out = tmp_path / "cells.parquet"
    scheduler = ["--dask", cluster.scheduler_address]
    feats = tmp_path / "feats.npy"
    np.save(feats, FEATS)
    assert "name a column of the dataset by --feature-column" in refused(
        "build", photos, "--features", feats, "-o", out, *scheduler
    )
    assert "--feature-column belongs to --dask" in refused(
        "build", photos, "--feature-column", "vector", "-o", out
    )
    assert "without a column 'land'" in refused(
        "build", photos, "--group-column", "land", "-o", out, *scheduler
    )
    gone = tmp_path / "gone-*.parquet"
    assert "no Parquet file at" in refused("build", gone, "-o", out, *scheduler)
    bad = tmp_path / "bad.parquet"
    pd.DataFrame({"lat": [1.0, 99.0], "lon": [2.0, 3.0]}).to_parquet(bad)
    assert "Partition 0" in refused("build", bad, "-o", out, *scheduler)
    CellBuilder(60).fit(COORDS).cells_.save(out)
    assert "exists already" in refused("assign", out, photos, "-o", tmp_path, *scheduler)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install '.[dask]'" in refused("build", photos, "-o", out, "--dask", "local")


def test_an_address_without_a_scheduler_is_told(photos, tmp_path, monkeypatch):
    import distributed

    def no_answer(address, **_):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", no_answer)
    told = refused("build", photos, "-o", tmp_path / "cells.parquet", "--dask", "tcp://127.0.0.1:1")
    assert "No Dask scheduler answers at tcp://127.0.0.1:1" in told
