"""A few dozen damaged inputs a reader, the same in every run; ``make fuzz`` tries many more."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the package tests, where pytest runs alone

from geoloc_models.photos import opening as _open
from tests.fuzz.mutate import another
from tests.fuzz.targets import TARGETS

N_INPUTS = {"tables": 40, "photos": 60, "cells": 60, "bundles": 20}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_documented_errors(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_open, "MAX_PIXELS", _open.MAX_PIXELS)  # a target lowers it
    target = TARGETS[name](tmp_path)
    for count in range(N_INPUTS[name]):
        number, content = another(target.files, random.Random(f"short-{count}"))
        path = tmp_path / target.files[number][0]
        path.write_bytes(content)
        target.read(path, count, number)  # raises what is no documented error
