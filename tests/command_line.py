"""Run a command of either program inside the test's own process."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code, and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both streams, standard output first."""
        return self.stdout + self.stderr


def run(program: Callable[[list[str]], object], *arguments: object, stdin: str = "") -> Result:
    """Call a program, ``geoloc_models.cli.main`` or ``geocells.cli.main``, with these words."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code: object = 0
    stdin_before = sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            program([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdin = stdin_before
    assert isinstance(code, int)
    return Result(code, stdout.getvalue(), stderr.getvalue())
