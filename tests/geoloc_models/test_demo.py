"""The demo on a tenth of its places."""

import json

import numpy as np
import pytest

from geoloc_models import demo
from geoloc_models._errors import GeolocError


@pytest.fixture
def few_places(monkeypatch):
    places = demo.demo_places()
    few = places.take(np.arange(0, places.n_rows, 10))
    monkeypatch.setattr(demo, "demo_places", lambda region, seed=0: few)
    return few


def test_the_demo_leaves_table_pictures_and_results_of_every_model(few_places, tmp_path):
    lines = []
    options = {"epochs": 1, "min_images": 10, "say": lines.append, "progress": False}
    result = demo.run_demo(tmp_path / "demo", **options)
    assert "stand in for photos" in lines[0]
    names = ["country", "cells_top_down", "cells_consolidated"]
    names += ["cells_consolidated_pretrained", "cells_bottom_up_pretrained"]
    content = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert list(content["models"]) == names
    assert content["n_test"] > 10
    assert all(path.stat().st_size > 0 for path in result.files)
    pictures = {path.name for path in (tmp_path / "demo").glob("*.png")}
    assert pictures == {
        "cells_map_top_down.png",
        "cells_map.png",
        "cells_map_bottom_up.png",
        "errors.png",
        "examples.png",
        "training.png",
    }
    # Resumed, it trains nothing and says the same.
    weights = [tmp_path / "demo" / name / "bundle" / "model.safetensors" for name in names]
    before = [path.stat().st_mtime_ns for path in weights]
    again = demo.run_demo(tmp_path / "demo", resume=True, **options)
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert again.table == result.table


def test_unsound_options_are_refused_before_anything_is_trained(few_places, tmp_path):
    with pytest.raises(GeolocError, match="min_images must be at least 1; got 0"):
        demo.run_demo(tmp_path / "demo", min_images=0, say=str, progress=False)
    assert not (tmp_path / "demo").exists()


def test_an_unknown_region_is_refused(tmp_path):
    with pytest.raises(GeolocError, match="atlantis"):
        demo.run_demo(tmp_path, region="atlantis")
