"""The tool of the mutation check breaks a toy module in every way, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mutation.__main__ import in_order
from mutation.mutants import mutants

TOY = '''"""Text."""
STEP = 3


def inside(value, low=0):
    """Whether a value is inside."""
    if value < low or value >= 2.5:
        return False
    total = min(value, 1) << 2
    total += -value
    for _ in range(1):
        continue
    return total
'''
"""What is broken where: (line, old -> new)."""
BREAKS = [
    (2, "STEP = 3 -> pass"),
    (2, "3 -> 4"),
    (5, "0 -> 1"),
    (7, "value < low or value >= 2.5 -> value < low and value >= 2.5"),
    (7, "value < low or value >= 2.5 -> not (value < low or value >= 2.5)"),
    (7, "value < low -> value <= low"),
    (7, "value >= 2.5 -> value > 2.5"),
    (7, "2.5 -> 5.0"),
    (8, "return False -> return None"),
    (8, "False -> True"),
    (9, "total = min(value, 1) << 2 -> pass"),
    (9, "min(value, 1) << 2 -> min(value, 1) >> 2"),
    (9, "min(value, 1) -> max(value, 1)"),
    (9, "1 -> 2"),
    (9, "2 -> 3"),
    (10, "total += -value -> total -= -value"),
    (10, "total += -value -> pass"),
    (10, "-value -> value"),
    (11, "for _ in range(1): continue -> pass"),
    (11, "1 -> 2"),
    (12, "continue -> break"),
    (12, "continue -> pass"),
    (13, "return total -> return None"),
]


def test_every_operator_is_broken_and_text_is_not():
    assert [(mutant.line, mutant.what) for mutant in mutants(TOY)] == BREAKS


def test_each_mutant_has_one_break_and_leaves_the_next_one_whole():
    found = mutants(TOY)
    sources = [mutant.source() for mutant in found]
    assert len(set(sources)) == len(sources)
    whole = TOY.splitlines()
    for mutant, source in zip(found, sources, strict=True):
        if mutant.line == 11:  # the loop goes with its line
            continue
        broken = source.splitlines()
        differing = [k for k, line in enumerate(broken) if line not in whole[k : k + 3]]
        assert len(differing) <= 1 or mutant.line == 2, mutant.what


def test_every_line_comes_first_once():
    found = [("toy.py", mutant) for mutant in mutants(TOY)]
    first, rest = in_order(list(found), seed=0)
    assert sorted(mutant.line for _, mutant in first) == sorted({line for line, _ in BREAKS})
    assert len(first) + len(rest) == len(found)
    assert in_order(list(found), seed=0) == (first, rest) != in_order(list(found), seed=1)


def test_survivors_are_told_from_mutants_that_a_test_notices(tmp_path):
    root = tmp_path / "project"
    (root / "geocells").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "geocells" / "__init__.py").write_text("")
    (root / "geocells" / "toy.py").write_text(TOY)
    (root / "tests" / "test_toy.py").write_text(
        "from geocells.toy import STEP, inside\n\n\n"
        "def test_inside():\n    assert (inside(1), inside(-1), STEP) == (3, False, 3)\n"
    )
    script = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from mutation.mutants import mutants; from mutation.run import Check\n"
        "root, folder = Path(sys.argv[2]), Path(sys.argv[3])\n"
        "file = 'geocells/toy.py'; found = mutants((root / file).read_text())\n"
        "check = Check(root, [(file, mutant) for mutant in found], ['tests'], folder,\n"
        "    slowest=5.0, examples=5, seconds=None, total=5.0, jobs=2)\n"
        "check.run()\n"
    )
    folder = tmp_path / "folder"
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(root), str(folder)]
    subprocess.run(command, check=True, cwd=tmp_path)
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert sorted((line, what) for _, line, what, _, _ in rows) == sorted(BREAKS)
    assert sorted((line, what) for _, line, what, failed, _ in rows if not failed) == [
        (5, "0 -> 1"),
        (7, "2.5 -> 5.0"),
        (7, "value < low -> value <= low"),
        (7, "value >= 2.5 -> value > 2.5"),
        (9, "1 -> 2"),
        (9, "min(value, 1) -> max(value, 1)"),
        (11, "1 -> 2"),
        (11, "for _ in range(1): continue -> pass"),
        (12, "continue -> break"),
        (12, "continue -> pass"),
    ]
