"""Every example of the docstrings, and the Python of the front pages, is run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PACKAGES = ("geocells", "geocells.decoding", "geocells.quality", "geocells.sphere")


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
def test_examples_of_a_module_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    module = imported(name)
    result = doctest.testmod(module, optionflags=FLAGS)
    assert result.attempted > 0 or "doctest: +SKIP" in inspect.getsource(module)
    assert result.failed == 0


def public_objects() -> list[tuple[str, str]]:
    """Classes and functions that the packages of ``geocells`` hand out."""
    found = []
    for module_name in PACKAGES:
        module = importlib.import_module(module_name)
        names = getattr(module, "__all__", ("Report", "gini", "report"))
        for name in names:
            thing = getattr(module, name)
            is_warning = inspect.isclass(thing) and issubclass(thing, Warning)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and not is_warning:
                found.append((module_name, name))
    return found


@pytest.mark.parametrize(("module_name", "name"), public_objects())
def test_public_names_of_geocells_have_an_example(module_name, name):
    thing = getattr(importlib.import_module(module_name), name)
    texts = [inspect.getdoc(thing) or ""]
    if inspect.isclass(thing):
        own = [value for key, value in vars(thing).items() if not key.startswith("_")]
        texts += [inspect.getdoc(value) or "" for value in own]
    assert any(">>> " in text for text in texts), f"{module_name}.{name} has no example"


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_python_of_the_front_pages_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(ROOT / page)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert names["builder"].cells_.n_cells > 1
    assert len(names["builder"].labels_) == len(names["coords"])
