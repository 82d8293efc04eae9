"""The pages: links lead somewhere, pictures are there, every public name has its place in the reference."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))
from rooms import ROOMS  # noqa: E402

PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "generated", "gallery", "reference"} & set(path.relative_to(DOCS).parts)
)


def links_of(page: Path) -> list[str]:
    """Targets of links and pictures outside code."""
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_and_pictures_of_a_page_exist(page):
    missing = []
    for link in links_of(page):
        target = link.split("#")[0]
        if not target or re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve()
        if path.parent == DOCS / "gallery":  # made from the tutorial of that name
            path = DOCS / "tutorials" / path.with_suffix(".py").name
            if path.stem == "index":
                path = path.with_name("README.rst")
        if not path.exists():
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("module_name", ROOMS)
def test_every_public_name_exists_and_is_documented(module_name):
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("geocells", "geoloc_models"):
            raise
        pytest.skip(f"{module_name} needs {error.name}")
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"{module_name}.{name} has no docstring"
