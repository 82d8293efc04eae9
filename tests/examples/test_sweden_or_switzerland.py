"""The demo on a tenth of its places, by its command."""

import json

import numpy as np
import pytest
from command_line import run

from geoloc_models.cli import main
from geoloc_models.serve import read_examples
from geoloc_models.tables import demo as data


@pytest.fixture
def few_places(monkeypatch):
    places = data.demo_places()
    few = places.take(np.arange(0, places.n_rows, 10))
    monkeypatch.setattr(data, "demo_places", lambda region, seed=0: few)


def test_the_demo_leaves_table_pictures_and_results_of_every_model(few_places, tmp_path):
    output = tmp_path / "demo"
    arguments = ["demo", "--output", output, "--epochs", 1, "--min-images", 10]
    result = run(main, *arguments)
    assert result.exit_code == 0, result.output
    assert "stand in for photos" in result.stdout
    names = ["country", "cells_top_down", "cells_consolidated"]
    names += [f"{name}_pretrained" for name in ("cells_consolidated", "cells_bottom_up", "pooled")]
    content = json.loads((output / "results.json").read_text())
    models = list(content["models"])
    assert [name for name in models if not name.endswith("_plain")] == names
    assert models[-1] == "pooled_pretrained_plain"
    assert content["n_test"] > 10
    table = (output / "table.txt").read_text()
    assert table in result.stdout
    for name in ("cells_map", "errors", "examples", "training"):
        assert str(output / f"{name}.png") in result.stdout
        assert (output / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert (output / f"{name}.pdf").read_bytes()[:4] == b"%PDF"
    # The served page offers test images to click on.
    assert len(read_examples(output / "country" / "bundle" / "examples")) == 8
    # Resumed, it trains nothing and prints the same table.
    weights = [output / name / "bundle" / "model.safetensors" for name in names]
    before = [path.stat().st_mtime_ns for path in weights]
    again = run(main, *arguments, "--resume")
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert table in again.stdout
    # A run of the demo can be evaluated again: its places are made anew.
    assert run(main, "evaluate", output / "country").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--min-images", 0], "min_images must be"),
        (["--region", "atlantis"], "sweden-switzerland"),
        (["--seed", -1], "--seed"),
    ],
)
def test_unsound_options_are_refused_before_anything_is_trained(
    few_places, tmp_path, arguments, words
):
    result = run(main, "demo", "--output", tmp_path / "demo", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "demo").exists()
