"""Every public name has an example, and every example of the docstrings is run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from rooms import ROOMS  # noqa: E402

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules_with_examples() -> list[str]:
    """Names of the modules that hold a prompt, found without importing them."""
    names = []
    for package in ("geocells", "geoloc_models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def imported(name: str):
    """Module by name; the test is skipped where it needs an extra that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("geocells", "geoloc_models"):
            raise
        pytest.skip(f"{name} needs {error.name}")


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_a_module_print_what_they_say(name, tmp_path, monkeypatch, request):
    module = imported(name)
    source = inspect.getsource(module)
    folder = tmp_path / "here"
    if re.search(r"\"(photos|split|cells|features|runs)[./]", source):
        shutil.copytree(request.getfixturevalue("workplace"), folder)
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)  # some write files
    result = doctest.testmod(module, optionflags=FLAGS)
    assert result.attempted > 0
    assert result.failed == 0


def public_objects() -> list[tuple[str, str]]:
    """Classes and functions that the rooms hand out."""
    found = []
    for module_name in (*ROOMS, "geocells.quality"):
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ("Report", "gini", "report")):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                found.append((module_name, name))
    return found


def test_every_public_name_has_an_example():
    lacking = []
    for module_name, name in public_objects():
        thing = getattr(importlib.import_module(module_name), name)
        texts = [inspect.getdoc(thing) or ""]
        if inspect.isclass(thing):
            own = [value for key, value in vars(thing).items() if not key.startswith("_")]
            texts += [inspect.getdoc(value) or "" for value in own]
        if not any(">>> " in text for text in texts):
            lacking.append(f"{module_name}.{name}")
    assert lacking == []
