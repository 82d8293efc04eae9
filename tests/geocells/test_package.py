from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fresh_process import loaded_by, run_python

import geocells

HEAVY = ["torch", "geopandas", "pandas", "sklearn", "matplotlib", "pyarrow", "numba"]


def test_every_public_name_is_there():
    for name in geocells.__all__:
        assert getattr(geocells, name) is not None
    assert set(geocells.__all__) <= set(dir(geocells))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="CellBilder"):
        geocells.CellBilder  # noqa: B018


def test_importing_loads_nothing_heavy():
    assert loaded_by("import geocells", HEAVY) == []


def test_fitting_needs_no_torch():
    code = "from geocells import CellBuilder; CellBuilder(1).fit([(47.0, 8.0)])"
    assert loaded_by(code, ["torch"]) == []


def test_a_fit_walks_through_at_most_18_files():
    package, entered = str(Path(geocells.__file__).parent), set()
    builder = geocells.CellBuilder(min_images=200)
    coords = np.random.default_rng(0).normal((47.0, 8.0), 0.5, size=(10_000, 2))
    sys.setprofile(lambda frame, event, _: entered.add(frame.f_code.co_filename))
    try:
        builder.fit(coords)
    finally:
        sys.setprofile(None)
    walked = sorted(name for name in entered if name.startswith(package))
    assert 10 < len(walked) <= 18, walked


def test_another_process_with_other_threads_gives_the_same_bits():
    code = (
        "import numpy as np, geocells, geocells.jit as jit; jit.ROWS_WORTH_A_THREAD = 64\n"
        "coords = np.random.default_rng(5).normal((47, 8), 0.8, size=(3000, 2))\n"
        "builder = geocells.CellBuilder(40, method='consolidated').fit(coords)\n"
        "print(builder.labels_.sum(), builder.centroids_.tobytes().hex())"
    )
    here = geocells.CellBuilder(40, method="consolidated").fit(
        np.random.default_rng(5).normal((47, 8), 0.8, size=(3000, 2))
    )
    there = run_python(code, GEOCELLS_NUM_THREADS="3").stdout.split()
    assert there == [str(here.labels_.sum()), here.centroids_.tobytes().hex()]
