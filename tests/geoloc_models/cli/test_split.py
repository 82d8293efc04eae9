"""``geoloc split`` and ``geoloc leakage``, and one sentence for bad input."""

import numpy as np
import pandas as pd
import pytest
from command_line import geoloc, geoloc_refuses
from geoloc_models_photos import noise

from geoloc_models.tables.parts import split_of_table, subset_rows
from geoloc_models.tables.photo_table import PhotoTable


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [f"p{k}" for k in range(120)],
            "latitude": rng.uniform(46, 47, 120).round(1),
            "longitude": rng.uniform(7, 8, 120).round(1),
            "country": rng.choice(["CH", "SE"], 120),
            "path": [f"images/{k}.png" for k in range(120)],
            "user": [f"u{k % 30}" if k % 7 else None for k in range(120)],
        }
    )
    (tmp_path / "images").mkdir()
    for k in range(120):
        noise(16, 16, k % 100).save(tmp_path / f"images/{k}.png")
    (tmp_path / "images" / "5.png").write_bytes(b"broken")
    frame.to_parquet(tmp_path / "photos.parquet", index=False)
    return tmp_path / "photos.parquet"


def test_a_split_is_written_and_its_sizes_are_told(table):
    output = table.parent / "split.parquet"
    result = geoloc("split", table, "-o", output, "--subsets", 10, 50, 1000)
    parts = pd.read_parquet(output)["part"].value_counts()
    words = result.stdout.split()
    assert "120 photos, split by photo" in result.stdout
    for part in ("train", "validation", "test"):
        assert f"{parts[part] / 120:.2%}" in words
    assert "Nested subsets of the training part" in result.stdout
    assert f"The training part ({parts['train']} photos)" in result.stdout
    assert "smaller than the subsets of 1,000;" in result.stdout
    assert str(output) in result.stdout


def test_users_out_of_training_may_be_dealt_photo_by_photo(table):
    output = table.parent / "split.parquet"
    asked = ["-o", output, "--by", "user", "--fractions", "0.4", "0.3", "0.3", "--exchangeable"]
    told = geoloc("split", table, *asked).stdout
    assert "smaller than the subsets" not in told  # of the usual subsets, which nobody asked for
    frame = pd.read_parquet(output).dropna(subset="user")
    parts = frame.groupby("user")["part"].agg(lambda part: "".join(sorted(set(part))))
    assert set(parts) >= {"train", "testvalidation"}
    assert not parts.str.contains("train.", regex=True).any()
    assert not parts.str.contains(".train", regex=True).any()


def test_the_written_table_can_be_read_and_cut(table):
    output = table.parent / "split.parquet"
    by_user = ["--by", "user", "--fractions", "0.6", "0.2", "0.2"]
    told = geoloc("split", table, "-o", output, *by_user).stdout
    assert "18 photos without a user are dealt out one by one" in told
    frame = pd.read_parquet(output)
    assert frame.dropna(subset="user").groupby("user")["part"].nunique().eq(1).all()
    photos = PhotoTable(frame)
    assert set(subset_rows(photos, 20)) < set(split_of_table(photos).train)


def test_parts_far_from_their_shares_are_told(table):
    result = geoloc("split", table, "-o", table, "--fractions", "0.4", "0.3", "0.3")
    assert "Far from the fractions" not in result.stdout
    frame = pd.read_parquet(table)
    frame["user"] = ["anna"] * 90 + frame["user"].tolist()[90:]
    frame.to_parquet(table, index=False)
    result = geoloc("split", table, "-o", table.parent / "split.parquet", "--by", "user")
    assert "Far from the fractions: validation" in result.stdout
    assert "Some users hold many photos" in result.stdout
    assert "Moved to training, as too large to hold out: anna (90 photos)" in result.stdout
    few = ["--by", "user", "--fractions", "0.1", "0.3", "0.6"]
    result = geoloc("split", table, "-o", table.parent / "split.parquet", *few)
    assert "photos are of one user: anna." in result.stdout


def test_leaks_are_counted_with_examples_and_listed(table):
    output = table.parent / "split.parquet"
    geoloc("split", table, "-o", output, "--fractions", "0.5", "0.25", "0.25")
    result = geoloc("leakage", output)
    pairs = pd.read_parquet(table.parent / "leakage.parquet")
    counts = pairs.groupby(["reason", "part", "other_part"]).size()
    for reason in ("same image", "same coordinate", "same user"):
        assert reason.capitalize() in result.stdout
        count = counts[reason, "test", "train"]
        assert count > 0
        assert f"test photos with one in train: {count} (" in result.stdout
    first = pairs[pairs["reason"] == "same image"].iloc[0]
    assert f"{first['id']} and {first['other_id']}" in result.stdout
    assert "120 images read; 1 are broken" in result.stdout
    assert "5.png" in result.stdout


def test_leaks_of_places_and_users_are_found_without_images(table):
    output = table.parent / "split.parquet"
    geoloc("split", table, "-o", output, "--by", "place")
    result = geoloc("leakage", output, "--no-images", "-o", table.parent / "found.parquet")
    assert "Same image" not in result.stdout
    assert "--exchangeable" not in result.stdout
    geoloc("split", table, "-o", output, "--by", "place", "--exchangeable")
    again = geoloc("leakage", output, "--no-images", "-o", table.parent / "exchangeable.parquet")
    assert "are expected with --exchangeable" in again.stdout
    # Blocks keep one coordinate on one side.
    pairs = pd.read_parquet(table.parent / "found.parquet")
    assert set(pairs["reason"]) == {"same user"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["split", "no.parquet"], "There is no file no.parquet"),
        (["split", "TABLE", "--fractions", "0.9", "0.1"], "--fractions"),
        (["split", "TABLE", "--fractions", "a", "b", "c"], "--fractions"),
        (["split", "TABLE", "--subsets", "many"], "--subsets"),
        (["split", "TABLE", "--by", "place", "--block-km", "9000"], "part empty"),
        (["leakage", "no.parquet"], "There is no file"),
    ],
)
def test_bad_input_is_one_sentence(table, arguments, words):
    arguments = [a.replace("TABLE", str(table)) for a in arguments]
    if arguments[0] == "split" and "-o" not in arguments:
        arguments += ["-o", str(table.parent / "split.parquet")]
    assert words in geoloc_refuses(*arguments)
    assert not (table.parent / "split.parquet").exists()
