"""Run the tests with the lowest releases that pyproject.toml allows (``make lowest``), on Python 3.11.

Those of geocells, with ``lowest.txt``; with ``--models`` those of geoloc_models, with
``lowest_models.txt`` beside it, which downloads an old torch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ROOT, make_environment, pythons

HERE = Path(__file__).parent
VERSION = "3.11"
RUNNERS = (
    "pytest", "pytest-xdist", "hypothesis", "pyproj", "s2geometry", "s2sphere", "duckdb", "polars",
)  # fmt: skip

# The page's and the export's packages are not among those tried.
MODELS_TESTS = [
    "tests/geoloc_models",
    "--ignore=tests/geoloc_models/serve",
    "--deselect=tests/geoloc_models/cli/test_predict.py::"
    "test_export_says_what_it_wrote_and_refuses_in_one_sentence",
]


def main() -> int:
    """Make the environment, run the tests; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", action="store_true", help="the models extra too")
    chosen = parser.parse_args()
    python = pythons((VERSION,)).get(VERSION)
    if python is None:
        raise SystemExit(f"Python {VERSION} was not found, by pyenv or on PATH.")
    lists = ["lowest.txt", *(["lowest_models.txt"] if chosen.models else [])]
    wanted = MODELS_TESTS if chosen.models else ["tests/geocells"]
    with tempfile.TemporaryDirectory(prefix="geocells-lowest-") as folder:
        pins = [f"--requirement={HERE / name}" for name in lists]
        extras = "plot,dask,models,timm,download,places,demo" if chosen.models else "plot,dask"
        # Against the pins, pip itself says where a bound of pyproject.toml lies above its pin.
        constraints = [f"--constraint={HERE / name}" for name in lists]
        package = [f"geocells[{extras}] @ {ROOT.as_uri()}", *constraints]
        interpreter = make_environment(
            python, Path(folder) / "environment", [*pins, *RUNNERS], package
        )
        # Beside copies of the tests, so that geocells comes from the environment alone.
        copy = Path(folder) / "copy"
        copy.mkdir()
        shutil.copy(ROOT / "pyproject.toml", copy)
        for name in ("tests", "examples"):
            shutil.copytree(ROOT / name, copy / name)
        environ = {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}
        tests = [interpreter, "-m", "pytest", "-q", "-n", "2", *wanted]
        return subprocess.run(tests, cwd=copy, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
