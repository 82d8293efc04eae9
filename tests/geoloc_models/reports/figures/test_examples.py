"""Sheets of test images."""

import numpy as np

from geoloc_models.reports import figures

PIXELS = np.zeros((8, 8, 3), dtype=np.uint8)
STOCKHOLM, UPPSALA, ZURICH = (59.3293, 18.0686), (59.8586, 17.6389), (47.3769, 8.5417)
RIGHT = figures.Example(PIXELS, "Sweden", "Sweden", STOCKHOLM, UPPSALA)
WRONG = figures.Example(PIXELS, "Sweden", "Switzerland", STOCKHOLM, ZURICH)


def test_right_and_wrong_stand_apart_with_their_distance():
    assert RIGHT.text == "✓ Sweden, 64 km off"
    assert WRONG.text == "✗ Sweden, guessed Switzerland, 1,468 km off"
    sheet = figures.example_sheet({"Right": [RIGHT] * 7, "Wrong": [WRONG]}, title="Examples")
    axes = [axis for axis in sheet.axes if axis.images]
    assert len(axes) == 8
    titles = [axis.get_title(loc="left").replace("\n", " ") for axis in axes]
    assert titles == [RIGHT.text] * 7 + [WRONG.text]
    assert axes[0].spines["left"].get_edgecolor() != axes[-1].spines["left"].get_edgecolor()


def test_a_map_shows_truth_and_guess():
    sheet = figures.example_sheet({"": [WRONG]}, width_mm=80)
    _, drawn = sheet.axes
    points = [line.get_xydata().round(9).tolist() for line in drawn.lines[-3:]]
    (south, north), (west, east) = drawn.get_ylim(), drawn.get_xlim()
    assert points == [
        [[18.0686, 59.3293], [8.5417, 47.3769]],
        [[18.0686, 59.3293]],
        [[8.5417, 47.3769]],
    ]
    assert south < 47.3769 < 59.3293 < north
    assert west < 8.5417 < 18.0686 < east
    assert drawn.collections  # borders


def test_a_pair_across_the_antimeridian_is_drawn_side_by_side():
    pair = figures.Example(PIXELS, "Fiji", "Fiji", (-17.0, 179.5), (-17.0, -179.5))
    _, drawn = figures.example_sheet({"": [pair]}, width_mm=80).axes
    assert drawn.lines[-1].get_xdata() == [180.5]
    assert np.ptp(drawn.get_xlim()) < 4


def test_a_kind_without_images_says_so():
    sheet = figures.example_sheet({"Right": [], "Wrong": []}, title="Examples")
    words = [text.get_text() for part in sheet.subfigs for text in part.texts]
    assert words.count("There is no such image.") == 2
    assert not sheet.axes
