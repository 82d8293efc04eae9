"""The pages: links lead somewhere, pictures are there, every public name has its place in the reference."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if not {"_build", "generated", "gallery"} & set(path.relative_to(DOCS).parts)
)
REFERENCE = (
    "geocells",
    "geocells.decoding",
    "geocells.grids",
    "geocells.sphere",
    "geoloc_models",
    "geoloc_models.data",
    "geoloc_models.download",
    "geoloc_models.models.encoders",
    "geoloc_models.evaluation",
    "geoloc_models.experiment",
    "geoloc_models.reports",
    "geoloc_models.reports.figures",
    "geoloc_models.models.tasks",
    "geoloc_models.training",
)
NOT_OBJECTS = {"FloatArray", "__version__", "decoding", "sphere"}


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


def names_in_reference() -> set[str]:
    """Full names that the autosummary tables list."""
    found = set()
    for page in DOCS.glob("api_*.md"):
        module = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith(".. currentmodule:: "):
                module = line.split()[-1]
            elif re.fullmatch(r"   \w+", line):
                found.add(f"{module}.{line.strip()}")
    return found


@pytest.mark.parametrize("module_name", REFERENCE)
def test_every_public_name_is_in_the_reference(module_name):
    try:
        module = importlib.import_module(module_name)
        names = set(module.__all__) - NOT_OBJECTS
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("geocells", "geoloc_models"):
            raise
        pytest.skip(f"{module_name} needs {error.name}")
    listed = names_in_reference()
    also = {"geocells"} if module_name == "geocells.grids" else set()
    missing = [
        name
        for name in sorted(names)
        if not any(f"{home}.{name}" in listed for home in {module_name, *also})
    ]
    assert missing == []


def test_every_name_in_the_reference_exists():
    for name in sorted(names_in_reference()):
        module_name, own = name.rsplit(".", 1)
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] in ("geocells", "geoloc_models"):
                raise
            continue  # an extra that is not installed
        except ImportError:
            continue  # geocells.dask, where Dask is not installed
        assert hasattr(module, own), name
