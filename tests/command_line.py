"""Run a command of either program inside the test's own process."""

from __future__ import annotations

import contextlib
import io
import resource
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


def geoloc(*arguments: object, stdin: str = "") -> Result:
    """What a command of ``geoloc`` that succeeds leaves."""
    from geoloc_models.cli import main

    return _succeeded(run(main, *arguments, stdin=stdin))


def geocells(*arguments: object) -> Result:
    """What a command of ``geocells`` that succeeds leaves."""
    from geocells.cli import main

    return _succeeded(run(main, *arguments))


def geoloc_refuses(*arguments: object, stdin: str = "") -> str:
    """The one sentence with which a command of ``geoloc`` refuses its input."""
    from geoloc_models.cli import main

    return _refusal(run(main, *arguments, stdin=stdin))


def geocells_refuses(*arguments: object) -> str:
    """The one sentence with which a command of ``geocells`` refuses its input."""
    from geocells.cli import main

    return _refusal(run(main, *arguments))


def _succeeded(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def _refusal(result: Result) -> str:
    """Exit code 2, and on standard error one sentence below notes, so no traceback."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Note:")]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.stdout
    assert lines[0].startswith("Error: ")
    return lines[0]


@contextlib.contextmanager
def full_disk():
    """As a full disk does, refuse every byte of every file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
