"""Names from files reach a terminal as text, and a spreadsheet as cells."""

import ast
import io
import logging
import sys
from pathlib import Path

import pandas as pd
import pytest

import geocells
import geoloc_models
from geocells.output import EchoHandler, echo, printable, without_formula, without_formulas

ESCAPES = ["\x1b[31m", "\x9b31m", "\x07", "\r", "\b", "\x7f", "\u202e", "\u2028", "\udcff", "\0"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_what_a_terminal_may_obey_is_a_question_mark(escape, capsys):
    echo(f"a{escape}b\nsecond line")
    echo(f"a{escape}b", error=True)
    shown = capsys.readouterr()
    assert shown.out == f"a?{escape[1:]}b\nsecond line\n"
    assert shown.err == f"a?{escape[1:]}b\n"
    assert printable("a\nb\tc") == "a?b?c"


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self):
        return True


def test_sentences_fold_on_a_terminal_and_commands_and_tables_do_not(monkeypatch, capsys):
    sentence = "Latitude must lie in [-90, 90] degrees; 12 of 300 rows do not (first: row 3, 95.0)."
    command = f"  geoloc predict {'a-photo.jpg ' * 8}"
    table = f"{'name':<40}{'value':>40}"
    echo(sentence)
    assert capsys.readouterr().out == f"{sentence}\n"
    for stream, columns in (("stdout", 40), ("stderr", 100)):
        monkeypatch.setenv("COLUMNS", str(columns))
        terminal = Terminal()
        monkeypatch.setattr(sys, stream, terminal)
        echo(f"{sentence}\n{command}\n\n{table}", error=stream == "stderr")
        *folded, shown, empty, row, _ = terminal.getvalue().split("\n")
        assert " ".join(folded) == sentence
        assert len(folded) == (2 if columns == 40 else 1)
        assert max(map(len, folded)) <= max(80, columns)
        assert (shown, empty, row) == (command, "", table)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.Logger("of this test")
    logger.addHandler(EchoHandler())
    logger.warning("\x1b[31m%s", sentence * 2)
    assert max(map(len, terminal.getvalue().splitlines())) <= 100
    assert "\x1b" not in terminal.getvalue()


def test_names_of_all_scripts_stay_as_they_are():
    for name in ("Zürich.jpg", "東京.jpg", "می‌خواهم", "👩‍👩‍👧.png", "1 000 km"):
        assert printable(name) == name


@pytest.mark.parametrize("package", [geocells, geoloc_models])
def test_commands_print_by_one_function_alone(package):
    for path in Path(package.__file__).parent.rglob("*.py"):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert names.count("print") == (path.name == "output.py"), path


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("=1+1", "'=1+1"),
        ("+1+1.jpg", "'+1+1.jpg"),
        ("-2+3|cmd", "'-2+3|cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5e3", "-1.5e3"),
        ("a=1", "a=1"),
        ("", ""),
        (-2.5, -2.5),
        (None, None),
    ],
)
def test_a_formula_is_text_in_a_spreadsheet(value, written):
    assert without_formula(value) == written


def test_only_texts_of_a_table_change():
    index = pd.Index(["=a", "b"], name="group")
    frame = pd.DataFrame({"name": ["@x", "y"], "n": [-1, 2], "km": [-0.5, float("nan")]}, index)
    expected = pd.DataFrame(
        {"name": ["'@x", "y"], "n": [-1, 2], "km": [-0.5, float("nan")]},
        pd.Index(["'=a", "b"], name="group"),
    )
    pd.testing.assert_frame_equal(without_formulas(frame), expected)
