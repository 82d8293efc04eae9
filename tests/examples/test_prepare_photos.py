"""The way from a metadata file to trained models, on few photos: what a step leaves fits the next, and is kept."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import made_up_metadata
import pandas as pd
import prepare_photos
import pytest
from photo_server import mixed_faults

from geoloc_models.download import State, read_ledger
from geoloc_models.errors import GeolocError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")
    for package in ("geoclip", "mpl_toolkits", "aiohttp")
]
QUICK = prepare_photos.QUICK
N_PLACES = 2 * QUICK.n_a_country


def prepare(output):
    """Reports and printed text."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        reports = prepare_photos.prepare(output, QUICK)
    return reports, printed.getvalue()


def test_metadata_become_models_of_nested_subsets_and_nothing_is_done_twice(tmp_path):
    reports, text = prepare(tmp_path)
    selected = pd.read_parquet(tmp_path / "photos.parquet")
    dropped = dict(reports["select"].dropped)
    elsewhere = dropped.pop("a place in another country") + dropped.pop("a place in no country")
    assert (len(selected), elsewhere) == (N_PLACES, QUICK.n_elsewhere)
    assert dropped == {
        "no coordinate": made_up_metadata.N_WITHOUT_PLACE,
        "a video, not a photo": made_up_metadata.N_VIDEOS,
        "an id that came before": made_up_metadata.N_REPEATED,
        "the position 0, 0": made_up_metadata.N_AT_ZERO,
        "another number of fields than the header": 2 * made_up_metadata.N_BROKEN_IN_TWO,
        "a coordinate out of range": made_up_metadata.N_OUT_OF_RANGE,
        "a coordinate that is not a number": made_up_metadata.N_NOT_NUMBERS,
        "half-written last line": 1,
    }

    # The dead links are those that the server lost; the server is asked for no photo twice, but for its faults.
    faults = mixed_faults(selected["id"], mix=QUICK.faults)
    dead = {photo_id for photo_id, fault in faults.items() if fault in prepare_photos.DEAD}
    ledger = read_ledger(tmp_path / "images").to_pandas().set_index("id")
    assert set(ledger.index[ledger["state"] == State.GONE]) == dead
    assert f"{100 * len(dead) / N_PLACES:.1f} % of the links are dead" in text
    requests = reports["download"]["requests"]
    assert set(requests) == set(selected["id"])
    assert {requests[photo_id] for photo_id in selected["id"] if photo_id not in faults} == {1}
    assert "The same once more: the server was asked 0 times." in text

    split = pd.read_parquet(tmp_path / "split.parquet")
    assert set(split["id"]) == set(ledger.index[ledger["state"] == State.OK])
    for reason in ("same image", "same coordinate"):
        assert reports["leakage"].count(reason, "test", "train") == 0
    n_train = int((split["part"] == "train").sum())
    names = ["40 photos", "100 photos", f"all {n_train} photos"]
    assert list(reports["evaluations"]) == names
    assert all(name in text for name in names)
    assert (tmp_path / "photos_map.png").read_bytes()[:4] == b"\x89PNG"

    slow = [tmp_path / name for name in ("features.npy", "cells_all/bundle/card.json")]
    before = [path.stat().st_mtime_ns for path in slow]
    again, _ = prepare(tmp_path)
    assert (again["download"]["asked"], again["embed"].n_embedded) == (0, 0)
    assert again["evaluations"] == reports["evaluations"]
    assert [path.stat().st_mtime_ns for path in slow] == before
    with pytest.raises(GeolocError, match="another file"):
        prepare_photos.prepare(tmp_path, QUICK, seed=1)
