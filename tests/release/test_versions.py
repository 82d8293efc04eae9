"""Every place that names the version names the same one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import geocells
import geoloc_models

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.findall(r"^version: (\S+)$", citation, flags=re.MULTILINE)
    assert [project["version"]] * 2 == [geocells.__version__, geoloc_models.__version__]
    assert cited == [project["version"]]
