"""The pages: links and pictures are there, names exist, commands are understood, Python runs."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

GENERATED = {"_build", "generated", "gallery", "reference"}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(p for p in DOCS.rglob("*.md") if not GENERATED & set(p.relative_to(DOCS).parts)),
]
EXAMPLES = ("sweden_or_switzerland.py", "reproduce_paper.py", "paper_report.py")
SCRIPTS = [*sorted(DOCS.glob("tutorials/*.py")), *(ROOT / "examples" / name for name in EXAMPLES)]
ROOMS = runpy.run_path(str(DOCS / "rooms.py"))["ROOMS"]
# What no test can do: ask a cluster, and write ONNX first.
NOT_RUN = {"docs/distributed.md": (0,), "docs/howto/exporting.md": (1,)}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks_of(page: Path, *languages: str) -> list[str]:
    """Code of these languages on a page."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.M | re.S)


@every_page
def test_links_and_pictures_of_a_page_exist(page):
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
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


@every_page
def test_names_of_ours_on_a_page_exist(page):
    missing = []
    for name in re.findall(r"`((?:geocells|geoloc_models)(?:\.\w+)+)", page.read_text("utf-8")):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=name_of)
def test_a_page_imports_public_names_alone(page):
    codes = blocks_of(page, "python") if page.suffix == ".md" else [page.read_text("utf-8")]
    hidden = [
        f"{node.module}.{each.name}"
        for node in ast.walk(ast.parse("\n".join(codes)))
        if isinstance(node, ast.ImportFrom)
        and re.match(r"geocells|geoloc_models(?!\.examples)", node.module or "")
        for each in node.names
        if each.name not in importlib.import_module(node.module).__all__ or node.module not in ROOMS
        if f"{node.module}.{each.name}" not in ROOMS
    ]
    assert hidden == []


def commands_of(page: Path) -> list[list[str]]:
    """Words of the lines that a reader may type."""
    lines = []
    for block in blocks_of(page, "sh", "bash"):
        lines += block.replace("\\\n", " ").splitlines()
    for block in blocks_of(page, "console", "text"):
        lines += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    found = [shlex.split(line, comments=True) for line in lines]
    return [[words[0].removeprefix(".venv/bin/"), *words[1:]] for words in found if words]


@every_page
def test_commands_of_a_page_are_understood(page):
    from geocells.cli import app
    from geoloc_models.cli.app import make_app

    programs = {"geocells": app, "geoloc": make_app()}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for program, *words in commands_of(page):
        if program in programs:
            programs[program].parse_args(words, print_error=False, exit_on_error=False)
        elif program == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.M), f"make {words[0]}"
        elif program == "python" and words[0] == "-m" and words[1].startswith("tests."):
            path = ROOT.joinpath(*words[1].split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), words[1]
        elif program == "python" and words[0].startswith(("examples/", "docs/")):
            assert (ROOT / words[0]).exists(), words[0]


@pytest.fixture(scope="module")
def options():
    """Every option of the programs and of the examples."""
    from geocells.cli import app
    from geoloc_models.cli.app import make_app

    texts = [
        program.generate_docs("markdown") for program in (app, make_app(shows_all_options=True))
    ]
    texts += [path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")]
    return {"--help-all", *re.findall(r"--[a-z][\w-]*", " ".join(texts))}


@every_page
def test_options_within_sentences_exist(page, options):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    named = re.findall(r"`((?:geoloc |geocells |--)[^`\n]+)`", text)
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(named))) <= options


@pytest.fixture
def here(workplace, tmp_path, monkeypatch):
    """Folder with all that pages take for granted."""
    from geoloc_models.countries import load_countries

    folder = shutil.copytree(workplace, tmp_path / "here")
    monkeypatch.chdir(folder)
    shutil.copytree("photos", "trip")
    pd.read_csv("photos.csv").to_parquet("photos.parquet")
    regions = load_countries().loc[["SE", "CH"]].reset_index()
    regions = regions.rename(columns={"code": "GID_0", "name": "NAME_1"})
    regions.to_file("gadm_410-levels.gpkg", layer="ADM_1")
    return folder


@pytest.mark.filterwarnings("ignore::geocells.GeocellsWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks_of(p, "python")], ids=name_of)
def test_python_of_a_page_runs(page, here):
    from geocells import load_cells

    cells = load_cells("cells.parquet")
    coords = pd.read_csv("photos.csv")[["latitude", "longitude"]].to_numpy()
    names = {
        "cells": cells,
        "coords": coords,
        "labels": cells.assign(coords),
        "feats": np.load("features.npy"),
        "probabilities": np.full((160, cells.n_cells), 1 / cells.n_cells),
        "placed_within_25_km": lambda builder, coords, feats: 0.5,
    }
    for number, block in enumerate(blocks_of(page, "python")):
        code = compile(block, f"{name_of(page)}, block {number}", "exec")
        if number not in NOT_RUN.get(name_of(page), ()):
            exec(code, names)


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "index.md"], ids=name_of)
def test_front_pages_show_what_their_python_prints(page, capsys):
    text = page.read_text("utf-8")
    code, shown = re.search(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", text, re.M | re.S
    ).groups()
    exec(compile(code, name_of(page), "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_picture_of_the_floors_shows_every_room():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    shown = set(re.findall(r"\w+", (DOCS / "pictures" / "floors.svg").read_text("utf-8")))
    rooms = {
        room
        for contract in contracts["contracts"]
        for layer in contract.get("layers", ())
        for room in re.findall(r"\w+", layer)
    }
    assert rooms - shown == set()
