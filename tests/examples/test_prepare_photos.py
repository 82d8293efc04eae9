"""The way from a metadata file to trained models, on few photos."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import made_up_metadata
import numpy as np
import pandas as pd
import prepare_photos
import pytest
from photo_server import mixed_faults

from geoloc_models._errors import GeolocError
from geoloc_models.download import State, read_ledger
from geoloc_models.tables.split import place_blocks

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")
    for package in ("geoclip", "mpl_toolkits", "aiohttp")
]
N_PLACES = 2 * prepare_photos.QUICK.n_a_country


class Prepared:
    """Folder, reports and printed text of a preparation."""

    def __init__(self, output):
        self.output = output
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.reports = prepare_photos.prepare(output, prepare_photos.QUICK)
        self.text = printed.getvalue()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("prepare"))


@pytest.fixture(scope="module")
def selected(prepared):
    return pd.read_parquet(prepared.output / "photos.parquet")


@pytest.fixture(scope="module")
def ledger(prepared):
    return read_ledger(prepared.output / "images").to_pandas().set_index("id")


@pytest.fixture(scope="module")
def split(prepared):
    return pd.read_parquet(prepared.output / "split.parquet")


def test_every_line_of_the_metadata_is_kept_or_dropped_for_its_fault(prepared, selected):
    report = prepared.reports["select"]
    assert report.n_kept == len(selected) == N_PLACES
    assert report.countries == {"CH": N_PLACES // 2, "SE": N_PLACES // 2}
    dropped = dict(report.dropped)
    elsewhere = dropped.pop("a place in another country") + dropped.pop("a place in no country")
    assert elsewhere == prepare_photos.QUICK.n_elsewhere
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
    assert report.n_read == report.n_kept + elsewhere + sum(dropped.values())
    for line in (f"{report.n_read:,} rows read", f"{N_PLACES} photos kept", "in Sweden"):
        assert line in prepared.text


def test_the_kept_photos_are_those_that_were_made_up(selected):
    size = prepare_photos.QUICK
    photos = made_up_metadata.photos_to_be(size.n_a_country, size.n_elsewhere)
    expected = photos[photos["country"] != ""].set_index("id").loc[selected["id"]]
    for column in ("country", "user", "time"):
        assert selected[column].tolist() == expected[column].tolist()
    for column in ("latitude", "longitude"):  # written with six decimals
        np.testing.assert_allclose(selected[column], expected[column], rtol=0, atol=5.1e-7)


def test_the_dead_share_is_that_of_the_servers_faults(prepared, selected, ledger):
    faults = mixed_faults(selected["id"], mix=prepare_photos.QUICK.faults)
    dead = {photo_id for photo_id, fault in faults.items() if fault in prepare_photos.DEAD}
    assert set(ledger.index[ledger["state"] == State.GONE]) == dead
    summary = prepared.reports["download"]["first"]
    assert summary.counts[State.GONE] == prepared.reports["download"]["n_dead"] == len(dead)
    assert summary.dead_share == len(dead) / N_PLACES
    assert 0.12 < summary.dead_share < 0.28  # a fifth, give or take 3.5 deviations
    assert f"{100 * len(dead) / N_PLACES:.1f} % of the links are dead" in prepared.text
    # What the server serves as it is, is there.
    healthy = selected.loc[~selected["id"].isin(list(faults)), "id"]
    assert (ledger.loc[healthy, "state"] == State.OK).all()


def test_nothing_is_fetched_twice_and_nothing_from_elsewhere(prepared, selected):
    download = prepared.reports["download"]
    assert download["asked_again"] == 0
    assert download["again"].counts == download["first"].counts
    assert download["again"].n_now == 0
    faults = mixed_faults(selected["id"], mix=prepare_photos.QUICK.faults)
    assert set(download["requests"]) == set(selected["id"])
    healthy = [n for photo_id, n in download["requests"].items() if photo_id not in faults]
    assert set(healthy) == {1}
    assert "The same once more: the server was asked 0 times." in prepared.text


def test_a_block_is_in_one_part_and_subsets_are_nested(prepared, split, ledger):
    assert set(split["id"]) == set(ledger.index[ledger["state"] == State.OK])
    block = place_blocks(split[["latitude", "longitude"]].to_numpy(), prepare_photos.BLOCK_KM)
    assert split.groupby(block)["part"].nunique().max() == 1
    is_train = split["part"] == "train"
    assert sorted(split.loc[is_train, "subset_rank"]) == list(range(is_train.sum()))
    assert (split.loc[~is_train, "subset_rank"] == -1).all()
    report = prepared.reports["split"]
    assert report.parts.sum().to_dict() == split["part"].value_counts().to_dict()
    assert report.subsets.sum().to_dict() == {n: n for n in prepare_photos.QUICK.subsets}


def test_no_image_and_no_place_is_on_both_sides_and_the_map_is_drawn(prepared):
    leakage = prepared.reports["leakage"]
    assert leakage.n_broken == 0
    for reason in ("same image", "same coordinate"):
        assert leakage.count(reason, "test", "train") == 0
    assert (prepared.output / "leakage.parquet").is_file()
    assert (prepared.output / "photos_map.png").read_bytes()[:4] == b"\x89PNG"


def test_each_subset_has_a_model_and_all_are_tested_on_the_same_photos(prepared, split):
    n_train = int((split["part"] == "train").sum())
    evaluations = prepared.reports["evaluations"]
    assert list(evaluations) == ["40 photos", "100 photos", f"all {n_train} photos"]
    tested = [
        pd.read_parquet(prepared.output / f"cells_{name}" / "predictions.parquet")
        for name in (40, 100, "all")
    ]
    is_test = split["part"] == "test"
    assert {len(predictions) for predictions in tested} == {int(is_test.sum())}
    assert tested[-1]["row"].tolist() == np.flatnonzero(is_test).tolist()
    assert all(name in prepared.text for name in evaluations)


def test_a_second_call_keeps_what_takes_long(prepared):
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for name in ("features.npy", "cells_all/bundle/card.json")
        for path in [prepared.output / name]
    }
    again = Prepared(prepared.output)
    assert again.reports["download"]["asked"] == 0
    assert again.reports["embed"].n_embedded == 0
    assert again.reports["evaluations"] == prepared.reports["evaluations"]
    for path, then in before.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == then


def test_other_photos_do_not_go_into_the_same_folder(prepared):
    with pytest.raises(GeolocError, match="another file"):
        prepare_photos.prepare(prepared.output, prepare_photos.QUICK, seed=1)
