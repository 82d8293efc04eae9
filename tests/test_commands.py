"""What holds for every command of both programs: help, options, quietness."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from command_line import geocells_refuses, geoloc_refuses, run
from fresh_process import run_python

from geocells import cli as geocells_cli
from geoloc_models import cli as geoloc_cli
from geoloc_models.cli.app import COMMANDS
from geoloc_models.cli.common import command_line

ROOT = Path(__file__).parents[1]
COMMANDS_OF_BOTH = [
    *(
        pytest.param(geoloc_cli.main, name, id=f"geoloc {name}")
        for commands in COMMANDS.values()
        for name in commands
    ),
    *(
        pytest.param(geocells_cli.main, name, id=f"geocells {name}")
        for name in geocells_cli.COMMANDS
    ),
]


@pytest.mark.parametrize(("program", "command"), COMMANDS_OF_BOTH)
def test_help_fits_80_columns_and_the_output_is_always_named_alike(program, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(program, command, "--help")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "--output" not in result.stdout or "--output (-o)" in result.stdout.replace(
        " -o", " (-o)"
    )


def test_a_progress_bar_shows_on_a_terminal_alone():
    for folder in ("geocells", "geoloc_models", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "tqdm":
                    disable = {each.arg: ast.unparse(each.value) for each in call.keywords}
                    where = f"{path.relative_to(ROOT)}:{call.lineno}"
                    assert disable["disable"].endswith("None"), (
                        where
                    )  # as tqdm has it: off a terminal


def test_quiet_leaves_results_and_errors_alone(tmp_path):
    photos = tmp_path / "photos.csv"
    photos.write_text("lat,lon\n" + "47,8\n48,9\n" * 3)
    cells = tmp_path / "cells.parquet"
    loud, quiet = (
        run(geocells_cli.main, "build", photos, "-o", cells, "--min-images", "4", *words)
        for words in ([], ["--quiet"])
    )
    assert loud.exit_code == quiet.exit_code == 0
    assert loud.stdout == quiet.stdout
    assert "Note" in loud.stderr
    assert quiet.stderr == ""
    for program, command in ((geocells_cli.main, "build"), (geoloc_cli.main, "split")):
        refused = run(program, command, tmp_path / "none.csv", "--quiet")
        assert refused.exit_code == 2
        assert "none.csv" in refused.stderr


def test_advice_can_be_copied_into_a_shell():
    given = {"--features": "it's.npy", "--root": None}
    words = command_line("geoloc", "train", Path("my photos.csv"), **given)
    assert shlex.split(words) == ["geoloc", "train", "my photos.csv", "--features", "it's.npy"]


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_options_of_every_command_may_stand_anywhere(place, tmp_path):
    words = ["predict", "no.jpg", "--model", str(tmp_path)]
    for option in (["--quiet"], ["--verbose"], ["--config", str(tmp_path / "no.yaml")]):
        result = run(geoloc_cli.main, *words[:place], *option, *words[place:])
        assert result.exit_code == 2
        assert ("no.yaml" if len(option) == 2 else "There is no photo no.jpg") in result.stderr


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (geoloc_cli.main, ("embed", "--min-images", "retrieval", "--quiet")),
        (geocells_cli.main, ("build", "--min-images", "bottom_up", "--quiet")),
    ],
)
def test_a_shell_learns_commands_options_and_choices(program, words, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "completion"
    run(program, "--install-completion", "--shell", "bash", "--output", script)
    assert set(words) <= set(re.findall(r"[\w-]+", script.read_text(encoding="utf-8")))


def test_standard_output_may_be_closed_or_of_few_characters(tmp_path):
    (tmp_path / "photos.csv").write_text("lat,lon\n47,8\n48,9\n")
    code = "from geocells.cli import main; main(['build', 'photos.csv', '-o', 'Zürich.parquet'])"
    ended = run_python(code, cwd=tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert r"Z\xfcrich.parquet" in ended.stdout
    close = "import os; reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)"
    ended = run_python(f"{close}; {code}", cwd=tmp_path, check=False)
    assert ended.returncode == 141
    assert "rror" not in ended.stderr


@pytest.mark.parametrize(
    ("refused", "command"), [(geocells_refuses, "map"), (geoloc_refuses, "split")]
)
def test_words_that_no_argument_takes_are_named(refused, command):
    message = refused(command, "My", "photos", "-o", "x.png")
    assert "Too many arguments: 'photos'. Quote a name with spaces" in message


@pytest.mark.parametrize(
    ("package", "extra", "words"),
    [
        ("PIL", "models", ["index", "."]),
        ("aiohttp", "download", ["download", "photos.csv"]),
        ("starlette", "serve", ["serve", "-m", "x"]),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(package, extra, words, tmp_path):
    (tmp_path / "photos.csv").write_text("id,url\na,http://127.0.0.1/a\n")
    code = f"import sys; sys.modules[{package!r}] = None\nfrom geoloc_models.cli import main; main({words})"
    ended = run_python(code, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"Error: This command needs {package}, which is not installed: "
        f"pip install '.[{extra}]' in the source folder.\n"
    )
