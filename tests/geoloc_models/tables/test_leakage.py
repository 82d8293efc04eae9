"""Twins across the parts of a split: all of them, against comparing all pairs."""

import numpy as np
import pandas as pd
import pytest
from geoloc_models_photos import scene
from PIL import Image

from geoloc_models.tables.fingerprints import content_hash, perceptual_hash
from geoloc_models.tables.leakage import find_leakage
from geoloc_models.tables.split import PARTS
from geoloc_models.tables.split_options import LeakageOptions

SIDES = [("validation", "train"), ("test", "train"), ("test", "validation")]


def write_photos(folder, images, **columns):
    """Images as PNG (no loss) and the table that names them."""
    for row, image in enumerate(images):
        if image is not None:
            image.save(folder / f"{row}.png")
    frame = pd.DataFrame({"path": [f"{row}.png" for row in range(len(images))], **columns})
    frame.to_parquet(folder / "split.parquet", index=False)
    return folder / "split.parquet"


def write_table(folder, **columns):
    pd.DataFrame(columns).to_parquet(folder / "split.parquet", index=False)
    return folder / "split.parquet"


def listed(report, reason):
    pairs = report.pairs[report.pairs["reason"] == reason]
    return set(zip(pairs["row"], pairs["other_row"], strict=True))


def twins_slowly(parts, is_twin):
    """Of every row the first row of each earlier part that is its twin, by all pairs."""
    found = set()
    for part, other_part in SIDES:
        for row in np.flatnonzero(parts == part).tolist():
            others = [o for o in np.flatnonzero(parts == other_part).tolist() if is_twin(row, o)]
            if others:
                found.add((row, others[0]))
    return found


@pytest.mark.parametrize("max_distance", [0, 3, 6, 12])
def test_images_are_compared_as_by_all_pairs(tmp_path, max_distance):
    rng = np.random.default_rng(1)
    images = []
    for row in range(120):
        image = scene(int(rng.integers(0, 25)), (64, 64))
        kind = row % 4
        if kind == 1:  # slightly noisy
            noise = rng.integers(-4, 5, (64, 64, 3)) + np.asarray(image).astype(int)
            image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        elif kind == 2:  # a little shifted
            image = image.transform(image.size, Image.Transform.AFFINE, (1, 0, 2, 0, 1, 1))
        images.append(image)
    parts = rng.choice(PARTS, 120, p=[0.5, 0.2, 0.3])
    report = find_leakage(
        write_photos(tmp_path, images, part=parts), LeakageOptions(max_distance=max_distance)
    )

    content = [content_hash(image) for image in images]
    look = [perceptual_hash(image)[0] for image in images]
    same = twins_slowly(parts, lambda row, other: content[row] == content[other])
    assert listed(report, "same image") == same
    expected = set()
    for part, other_part in SIDES:
        for row in np.flatnonzero(parts == part).tolist():
            others = np.flatnonzero(parts == other_part).tolist()
            if any(content[row] == content[other] for other in others):
                continue
            distance = [(look[row] ^ look[other]).bit_count() for other in others]
            if min(distance) <= max_distance:
                expected.add((row, others[int(np.argmin(distance))], min(distance)))
    pairs = report.pairs[report.pairs["reason"] == "near duplicate"]
    assert set(zip(pairs["row"], pairs["other_row"], pairs["distance"], strict=True)) == expected
    assert len(same) > 10
    assert len(expected) > (0 if max_distance < 3 else 10)


def test_a_worked_case(tmp_path):
    images = [
        scene(0, (64, 64)),
        scene(1, (64, 64)),
        scene(0, (64, 64)),
        scene(2, (64, 64)),
        scene(1, (64, 64)).resize((48, 48)),
        scene(3, (64, 64)),
    ]
    path = write_photos(
        tmp_path,
        images,
        id=["a", "b", "c", "d", "e", "f"],
        part=["train", "train", "validation", "validation", "test", "test"],
        latitude=[47.0, 47.1, 47.2, 47.3, 47.3, 47.5],
        longitude=[8.0] * 6,
        user=["anna", "bert", None, "", "anna", None],
    )
    report = find_leakage(path)
    assert report.n_photos == {"train": 2, "validation": 2, "test": 2}
    assert (report.n_images, report.n_broken, report.n_flat) == (6, 0, 0)
    told = report.pairs[["reason", "id", "other_id", "part", "other_part"]].to_numpy().tolist()
    assert told == [
        ["same image", "c", "a", "validation", "train"],
        ["near duplicate", "e", "b", "test", "train"],
        ["same coordinate", "e", "d", "test", "validation"],
        ["same user", "e", "a", "test", "train"],
    ]
    assert report.count("near duplicate", "test", "train") == 1
    assert report.count("near duplicate", "test", "validation") == 0
    assert report.pairs["distance"].isna().tolist() == [False, False, True, True]
    report.save(tmp_path / "leakage.parquet")
    written = pd.read_parquet(tmp_path / "leakage.parquet")
    assert written["row"].tolist() == [2, 4, 4, 4]
    assert written["distance"].iloc[0] == 0


def test_flat_images_are_twins_only_pixel_for_pixel(tmp_path):
    def blank(grey):
        return Image.new("RGB", (64, 64), (grey, grey, grey))

    images = [blank(255), blank(254), blank(255), blank(0), scene(0, (64, 64))]
    parts = ["train", "train", "test", "test", "validation"]
    report = find_leakage(write_photos(tmp_path, images, part=parts))
    assert report.n_flat == 4
    assert listed(report, "same image") == {(2, 0)}
    assert listed(report, "near duplicate") == set()


def test_broken_and_absent_images_are_counted_and_passed_over(tmp_path):
    images = [scene(0, (64, 64)), None, scene(0, (64, 64)), scene(1, (64, 64))]
    path = write_photos(tmp_path, images, part=["train", "train", "test", "test"])
    frame = pd.read_parquet(path)
    frame.loc[3, "path"] = None  # was never downloaded
    frame.to_parquet(path, index=False)
    report = find_leakage(path)
    assert (report.n_images, report.n_broken) == (3, 1)
    assert "1.png" in report.broken[0]
    assert listed(report, "same image") == {(2, 0)}


def test_coordinates_and_users_are_compared_as_by_all_pairs(tmp_path):
    rng = np.random.default_rng(0)
    parts = rng.choice(PARTS, 200, p=[0.6, 0.2, 0.2])
    coords = rng.integers(0, 15, (200, 2)) / 10
    users = rng.choice(["a", "b", "c", "", None], 200)
    path = write_table(
        tmp_path, part=parts, latitude=coords[:, 0], longitude=coords[:, 1], user=users
    )
    report = find_leakage(path)
    assert report.reasons == ("same coordinate", "same user")
    assert listed(report, "same coordinate") == twins_slowly(
        parts, lambda row, other: bool((coords[row] == coords[other]).all())
    )
    assert listed(report, "same user") == twins_slowly(
        parts, lambda row, other: bool(users[row]) and users[row] == users[other]
    )


def test_one_meridian_one_pole_and_one_zero_are_one_place(tmp_path):
    path = write_table(
        tmp_path,
        part=["train", "train", "train", "test", "test", "test", "validation", "test"],
        latitude=[10.0, 90.0, 0.0, 10.0, 90.0, -0.0, np.nan, np.nan],
        longitude=[180.0, 0.0, -0.0, -180.0, 55.0, 0.0, 8.0, 8.0],
    )
    assert listed(find_leakage(path), "same coordinate") == {(3, 0), (4, 1), (5, 2)}


def test_images_may_lie_elsewhere_or_be_left_out(tmp_path):
    (tmp_path / "images").mkdir()
    path = write_photos(
        tmp_path / "images", [scene(0, (64, 64))] * 2, part=["train", "test"], user=["a", "a"]
    )
    moved = tmp_path / "split.parquet"
    path.rename(moved)
    report = find_leakage(moved, LeakageOptions(images_root=tmp_path / "images"))
    assert report.pairs["reason"].tolist() == ["same image", "same user"]
    assert find_leakage(moved, LeakageOptions(images=False)).reasons == ("same user",)
    with pytest.raises(ValueError, match=r"None of the first 2 images can be read"):
        find_leakage(moved)
    with pytest.raises(ValueError, match="There is no folder"):
        find_leakage(moved, LeakageOptions(images_root=tmp_path / "nowhere"))


def test_a_split_without_leaks_has_an_empty_list(tmp_path):
    path = write_table(tmp_path, part=list(PARTS), user=["a", "b", "c"])
    report = find_leakage(path)
    assert len(report.pairs) == 0
    report.save(tmp_path / "leakage.parquet")
    assert "other_part" in pd.read_parquet(tmp_path / "leakage.parquet").columns


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"user": ["a"]}, {}, "no column 'part'"),
        ({"part": ["train", "dev"], "user": ["a", "b"]}, {}, "1 of 2 rows of split.*row 2, 'dev'"),
        ({"part": ["train", None], "user": ["a", "b"]}, {}, "row 2, None"),
        ({"part": ["train"], "id": ["a"]}, {}, "nothing to compare"),
        ({"part": [], "user": []}, {}, "split.parquet holds no rows"),
        ({"part": ["train"], "user": ["a"]}, {"max_distance": 13}, "0 and 12; got 13"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(tmp_path, columns, options, words):
    with pytest.raises(ValueError, match=words):
        find_leakage(write_table(tmp_path, **columns), LeakageOptions(**options))
