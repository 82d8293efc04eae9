"""The example of decoders: its tables."""

import numpy as np
from decoders import table_of


def test_the_table_tells_hits_and_paired_differences():
    truth = np.zeros((40, 2))
    right = truth.copy()
    right[:10, 0] = 5.0  # 556 km away
    wrong = np.full((40, 2), 60.0)
    table = table_of({"base": wrong, "better": right}, truth)
    assert table.loc["better", "750 km"] == "100.0 (+100.0: +100.0 to +100.0)"
    assert table.loc["better", "1 km"].startswith("75.0 (+75.0: ")
    assert table.loc["base", "1 km"] == "0.0"
    assert table.loc["better", "median_km"].startswith("0.0 (")
