"""geoloc embed: features of a table's photos, and one sentence for bad input."""

import numpy as np
import pytest
from command_line import geoloc, geoloc_refuses
from geoloc_models_small import save_small_photos

from geoloc_models.features.cache import FeatureCache
from geoloc_models.models.encoders import build_encoder


@pytest.fixture
def folder(tmp_path):
    """A table of 12 photos with ids, one of them broken, and weights of the tiny encoder."""
    save_small_photos(tmp_path, 12, broken=[3])
    return tmp_path


def words_of(folder, *arguments):
    encoder = ["--encoder", "tiny", "--weights", folder / "tiny.safetensors", "--image-size", 32]
    return ["embed", folder / "photos.csv", *encoder, "-o", folder / "features.npy", *arguments]


def embed(folder, *arguments):
    return geoloc(*words_of(folder, *arguments))


def test_features_are_kept_and_the_next_step_is_named(folder):
    result = embed(folder)
    assert "12 photos, 128 numbers each, of tiny at 32 pixels" in result.stdout
    assert "11 images in" in result.stdout
    assert "images a second" in result.stdout
    assert "1 broken image was skipped" in result.stdout
    assert "photos/3.jpg: is not an image of a known kind" in result.stdout
    assert "features.broken.csv" in result.stdout
    assert "geoloc train" in result.stdout
    cache = FeatureCache.open(folder / "features.npy")
    cache.require_finished()
    assert cache.broken_rows.tolist() == [3]
    weights = cache.card.weights  # enough to build the same encoder again
    again = build_encoder("tiny", weights=weights, image_size=32)
    cache.require_encoder(again.fingerprint())


def test_float16_and_a_fixed_batch_size(folder):
    result = embed(folder, "--dtype", "float16", "--batch-size", "5")
    assert "5 at a time" in result.stdout
    assert np.load(folder / "features.npy").dtype == np.float16


def test_a_mended_photo_is_tried_again(folder):
    embed(folder)
    (folder / "photos" / "3.jpg").write_bytes((folder / "photos" / "4.jpg").read_bytes())
    assert "All had been embedded before." in embed(folder).stdout
    result = embed(folder, "--retry-broken")
    assert "\n1 image in" in result.stdout
    assert "broken" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image-size", "40"], "features of two encoders don't mix"),
        (["--weights", "none"], "nothing could be trained on these features"),
        (["--weights", "imagenet"], "no ImageNet weights for the encoder 'tiny'"),
        (["--precision", "7"], 'Invalid value "7" for --precision'),
        (["--shard", "3/2"], "one of 1/k to k/k"),
        (["--shard", "two"], "one of 1/k to k/k"),
        (["--shard", "1/2", "--retry-broken"], "leave --shard out"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(folder, arguments, words):
    embed(folder)
    assert words in geoloc_refuses(*words_of(folder, *arguments))


def test_shards_say_what_is_missing_and_the_last_one_puts_together(folder):
    first = embed(folder, "--shard", "1/2")
    assert "6 photos, 128 numbers each" in first.stdout
    assert "Still missing" in first.stdout
    assert "shards 2." in first.stdout
    last = embed(folder, "--shard", "2/2")
    assert "12 photos, 128 numbers each" in last.stdout
    assert "1 broken image was skipped" in last.stdout
    assert "geoloc train" in last.stdout


def test_quotes_may_be_plain_characters(folder):
    table = (folder / "photos.csv").read_text().splitlines()
    rows = [table[0] + ",title", *(f'{row},"a' for row in table[1:])]
    (folder / "photos.csv").write_text("\n".join(rows) + "\n")
    assert "(--no-quoting)" in geoloc_refuses(*words_of(folder))
    result = embed(folder, "--no-quoting")
    assert "12 photos" in result.stdout
    assert "photos.csv --no-quoting" in result.stdout


def test_a_missing_table_and_a_name_that_is_no_cache_are_refused(folder):
    assert "nowhere.csv" in geoloc_refuses("embed", folder / "nowhere.csv")
    words = ["embed", folder / "photos.csv", "-o", folder / "features.bin"]
    assert "is a .npy file" in geoloc_refuses(*words)
