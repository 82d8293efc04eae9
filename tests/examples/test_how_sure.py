from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_parting_single_images_holds_what_is_promised():
    from how_sure import N_PARTINGS, _held

    scores = np.random.default_rng(0).permutation(1000) / 1000.0
    held = _held(scores, np.arange(1000), n_calibration=600)
    assert held.shape == (N_PARTINGS,)
    # Deviation of a single share: sqrt(0.09 (1 / 600 + 1 / 400)) = 0.019.
    assert abs(held.mean() - 0.9) < 3 * 0.019 / np.sqrt(N_PARTINGS)
    assert 0.013 < held.std() < 0.026


def test_whole_blocks_are_parted_as_one():
    from how_sure import _held

    # Ten blocks of fifty images, all images of a block with one score: a block is held or it is not.
    blocks = np.repeat(np.arange(10), 50)
    held = _held(blocks.astype(float), blocks, n_calibration=250)
    np.testing.assert_allclose(held * 5, np.round(held * 5), atol=1e-12)
    # Five blocks calibrate: what is held are those below the greatest of them.
    assert held.std() > 0.1


def test_splits_are_counted_by_both_intervals():
    from how_sure import held_by_split

    from geoloc_models.evaluation.coverage import chance_interval
    from geoloc_models.inference.calibration_report import CalibrationReport, Coverage

    low, high = chance_interval(200)

    def of(n_held: int) -> dict[str, CalibrationReport]:
        found = Coverage(200, n_held, 0.9, low, high, 30.0)
        return {
            "cells_top_down": CalibrationReport(200, "argmax", "mass", 200, 1.0, found, None, None)
        }

    # 188 of 200 is the most of the binomial interval, 191 of that of both draws.
    text = held_by_split(dict(enumerate([of(180), of(188), of(189), of(191), of(192)])))
    assert "Within the binomial interval: 2 of 5." in text
    assert "Within that of both draws: 4 of 5." in text
    assert "94.5" in text
    assert "85.5 to 94.0" in text
    with pytest.raises(SystemExit, match="too few"):
        held_by_split(
            {0: {"country": CalibrationReport(9, "argmax", "fixed", 5, 1.0, None, None, None)}}
        )
