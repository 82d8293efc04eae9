"""Sheets of test images."""

import numpy as np

from geoloc_models.reports import figures

PIXELS = np.zeros((8, 8, 3), dtype=np.uint8)


def test_an_example_says_truth_guess_and_distance():
    example = figures.Example(PIXELS, "Sweden", "Switzerland", 1234.5)
    sheet = figures.example_sheet({"": [example]}, title="Examples")
    assert sheet.axes[0].get_title() == "True: Sweden"
    assert "Switzerland, 1,23" in sheet.axes[0].get_xlabel()


def shown(figure):
    return [axis for axis in figure.axes if axis.axison]


def test_right_and_wrong_stand_apart_with_their_distance():
    right = [figures.Example(PIXELS, "Sweden", "Sweden", 3.25)] * 7
    wrong = [figures.Example(PIXELS, "Sweden", "Switzerland", 1234.5)]
    sheet = figures.example_sheet({"Right": right, "Wrong": wrong}, title="Examples")
    axes = shown(sheet)
    assert len(axes) == 8
    assert axes[0].get_xlabel() == "✓ Sweden, 3.2 km"
    assert axes[-1].get_xlabel() == "✗ Switzerland, 1,234\nkm"
    assert axes[0].spines["left"].get_edgecolor() != axes[-1].spines["left"].get_edgecolor()


def test_a_kind_without_images_says_so():
    sheet = figures.example_sheet({"Right": [], "Wrong": []}, title="Examples")
    words = [text.get_text() for part in sheet.subfigs for text in part.texts]
    assert words.count("There is no such image.") == 2
    assert not shown(sheet)


def test_long_names_are_broken_into_lines():
    example = figures.Example(PIXELS, "United States of America", "Sweden", 12.0)
    sheet = figures.example_sheet({"": [example]}, title="One")
    assert sheet.axes[0].get_title() == "True: United States of\nAmerica"
