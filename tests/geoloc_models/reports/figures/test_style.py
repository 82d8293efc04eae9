"""Every figure at the width of a column and of a page, on white and on black."""

import io

import matplotlib.style
import numpy as np
import pytest
from geoloc_models_small import small_cells, small_table
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from geocells.decoding import risk_coverage
from geoloc_models.evaluation import Evaluation
from geoloc_models.evaluation.scores import Interval
from geoloc_models.inference.calibration_report import Bin
from geoloc_models.reports import figures, model_title

NAMES = ("cells_bottom_up_pretrained", "cells_consolidated_pretrained", "pooled_pretrained")
SHARE = Interval(50.0, 40.0, 60.0)
EVALUATION = Evaluation(10, SHARE, {25.0: SHARE, 200.0: SHARE}, SHARE, SHARE)
HISTORY = [
    {"epoch": epoch, **dict.fromkeys(("train_loss", "val_loss", "val_accuracy"), 1 / epoch)}
    for epoch in range(1, 5)
]
EXAMPLE = figures.Example(
    np.zeros((8, 8, 3), np.uint8), "United Kingdom", "Switzerland", (51.5, 0.1), (47.4, 8.5)
)
KM = np.geomspace(0.3, 3000, 60)


def maps(width_mm):
    table = small_table()
    cells = {f"{name}: 100 cells": small_cells(table) for name in ("Top-down", "Consolidated")}
    yield figures.map_of_cells(cells, table.coords, title="Cells", width_mm=width_mm)
    yield figures.map_of_photos(table.coords, table.countries, width_mm=width_mm)


DRAWN = {
    "maps": maps,
    "curves": lambda width_mm: [
        figures.error_curves(dict.fromkeys(NAMES, KM), width_mm=width_mm),
        figures.error_against_distance(dict.fromkeys(NAMES, KM), KM, width_mm=width_mm),
        figures.accuracy_by_dataset_size(
            {name: {100: EVALUATION, 1000: EVALUATION} for name in NAMES}, width_mm=width_mm
        ),
        figures.training_curves(dict.fromkeys(NAMES, HISTORY), width_mm=width_mm),
        figures.risk_coverage_curves(
            dict.fromkeys(NAMES, risk_coverage(KM, KM < 25)), width_mm=width_mm
        ),
        figures.reliability_diagrams(
            {model_title(name): [Bin(9, 0.3, 0.25, 0.14, 0.40)] for name in NAMES},
            width_mm=width_mm,
        ),
    ],
    "confusion": lambda width_mm: [
        figures.confusion(["United Kingdom", "Sweden"], ["Sweden"] * 2, width_mm=width_mm),
        figures.confusion(
            list("ABCDEFGHIJKLMNOPQR"), list("BBCDEFGHIJKLMNOPQR"), width_mm=width_mm
        ),
    ],
    "features": lambda width_mm: [
        figures.tsne_of_features(np.eye(12), ["CH", "SE"] * 6, width_mm=width_mm)
    ],
    "examples": lambda width_mm: [
        figures.example_sheet({"Wrong": [EXAMPLE] * 4}, title="Drawn at random", width_mm=width_mm)
    ],
}


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("width_mm", [80.0, 170.0])
@pytest.mark.parametrize("name", DRAWN)
def test_words_lie_inside_the_figure_and_stand_out(name, width_mm, style):
    with matplotlib.style.context(style):
        drawn = list(DRAWN[name](width_mm))
    for figure in drawn:
        figure.savefig(io.BytesIO())
        assert figure.get_figwidth() == pytest.approx(width_mm / 25.4)
        drawn_box, paper_box = figure.get_tightbbox(), figure.bbox_inches
        assert (drawn_box.min >= paper_box.min - 0.02).all()
        assert (drawn_box.max <= paper_box.max + 0.02).all()
        paper = np.mean(to_rgb(figure.get_facecolor()))
        on_pictures = {text for axis in figure.axes if axis.images for text in axis.texts}
        for text in set(figure.findobj(Text)) - on_pictures:
            assert abs(np.mean(to_rgb(text.get_color())) - paper) > 0.4, text
