"""Hierarchy: the product over the levels decides."""

import numpy as np
import pytest
from geoloc_models_small import small_table, small_task

from geocells import CellHierarchy
from geoloc_models.errors import GeolocError
from geoloc_models.models.encoders import build_encoder
from geoloc_models.models.tasks import HierarchyTask

TABLE = small_table(48)


def test_the_parent_decides_between_equal_children():
    task = small_task("hierarchy", TABLE)
    coarse, fine = task.hierarchy.partitions_
    assert fine.n_cells > coarse.n_cells
    parents = task.hierarchy.parents_[0]
    likely = coarse.n_cells - 1
    level_0 = np.full((1, coarse.n_cells), 0.1 / max(coarse.n_cells - 1, 1), dtype=np.float32)
    level_0[0, likely] = 0.9
    level_1 = np.full((1, fine.n_cells), 1 / fine.n_cells, dtype=np.float32)
    answer = task.answer({"level_0": level_0, "level_1": level_1}, np.arange(1))
    best = int(answer.probabilities[0].argmax())
    assert parents[best] == likely
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(answer.coords[0], fine.locations[best])


def test_partitions_that_are_not_nested_are_refused():
    builders = [{"min_images": 4, "method": "top_down"}, {"min_images": 8, "method": "top_down"}]
    upside_down = CellHierarchy(builders).fit(TABLE.coords, groups=TABLE.countries)
    with pytest.raises(GeolocError, match="nested"):
        HierarchyTask(build_encoder("tiny"), upside_down, hidden=8)
