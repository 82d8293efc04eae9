"""KnownPhotos: photos of another kind are told, others rarely are; every kind of model learns it."""

import numpy as np
import pytest
from geoloc_models_bundles import save_small_bundle
from geoloc_models_small import small_table

from geoloc_models import load_model
from geoloc_models.errors import GeolocError
from geoloc_models.inference.familiarity import KNOWN_FILE, UNLIKE, KnownPhotos
from geoloc_models.models.tasks import TASKS

pytestmark = pytest.mark.usefixtures("towns")


def features(n, seed, *, axis=0):
    """Of one kind: around a direction of its own."""
    random = np.random.default_rng(seed)
    kind = np.eye(32)[axis] * 8
    return (random.normal(size=(n, 32)) + kind).astype(np.float32)


def test_one_photo_in_a_hundred_of_the_kind_is_called_unlike_and_all_of_another():
    shares = [
        KnownPhotos.of_validation(features(300, seed)).unlike(features(1000, 100 + seed)).mean()
        for seed in range(10)
    ]
    # 3 of 300 are below: one in a hundred, to a deviation of 0.006 by way of drawing.
    assert abs(np.mean(shares) - 0.01) < 3 * 0.006 / np.sqrt(10)
    known = KnownPhotos.of_validation(features(300, 0))
    assert known.unlike(features(50, 1, axis=1)).all()


def test_many_copies_of_a_photo_make_no_other_strange():
    copies = np.repeat(features(10, 0), 4, axis=0)
    known = KnownPhotos.of_validation(np.concatenate([copies, features(100, 1)]))
    assert known.unlike(features(500, 2)).mean() < 0.05


@pytest.mark.parametrize("n", [0, 19])
def test_of_few_photos_nothing_is_learned(n):
    assert KnownPhotos.of_validation(features(n, 0)) is None


def test_what_is_kept_is_what_was_learned_and_a_garbled_file_is_refused(tmp_path):
    known = KnownPhotos.of_validation(features(1500, 0))
    known.save(tmp_path)
    again = KnownPhotos.load(tmp_path, 32)
    assert len(again.features) == 1000
    new = features(2000, 5)
    np.testing.assert_array_equal(again.unlike(new), known.unlike(new))
    assert KnownPhotos.load(tmp_path / "elsewhere", 32) is None
    with pytest.raises(GeolocError, match="is damaged"):
        KnownPhotos.load(tmp_path, 33)
    (tmp_path / KNOWN_FILE).write_bytes(b"\x08")
    with pytest.raises(GeolocError, match="damaged"):
        KnownPhotos.load(tmp_path, 32)


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_every_kind_of_model_says_so_and_no_town(kind, tmp_path):
    table = small_table(24, folder=tmp_path / "photos")
    model = load_model(save_small_bundle(kind, table, tmp_path / kind))
    assert model.predict(tmp_path / "photos/0.jpg").unlike_training is None
    dim = model.task.encoder.dim
    random = np.random.default_rng(0).normal(size=(50, dim)).astype(np.float32)
    for sign, is_unlike in ((1, False), (-1, True)):  # everything is like these; nothing is
        KnownPhotos(random.astype(np.float16), -sign * 1.01).save(model.folder)
        answers = load_model(model.folder).predict(tmp_path / "photos")
        assert (answers.unlike_training == is_unlike).all()
        frame = answers.to_dataframe()
        if is_unlike:
            unknown = ["place", "probability_within_25_km", "radius_90_km"]
            assert frame[unknown].isna().all().all()
            assert UNLIKE in repr(answers)
            assert not next(answers.mapped()).region
            assert answers.likeliest().empty
        assert answers.to_records()[0]["unlike_training"] is is_unlike
        assert answers.explore(tiles=None).html
