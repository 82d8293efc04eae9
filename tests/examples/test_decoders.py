from __future__ import annotations

import numpy as np
import pytest


def test_the_table_tells_hits_and_paired_differences():
    pytest.importorskip("torch")
    from decoders import hits, table_of

    truth = np.zeros((40, 2))
    right = truth.copy()
    right[:10, 0] = 5.0  # 556 km away
    wrong = np.full((40, 2), 60.0)
    assert hits(right, truth)["25 km"].mean() == 75.0
    table = table_of({"base": wrong, "better": right}, truth, "base")
    assert table.loc["better", "750 km"] == "100.0 (+100.0: +100.0 to +100.0)"
    assert table.loc["better", "1 km"].startswith("75.0 (+75.0: ")
    assert table.loc["base", "1 km"] == "0.0"
    assert table.loc["better", "median km"] == "0"
