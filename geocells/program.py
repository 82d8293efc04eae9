"""What the programs ``geocells`` and ``geoloc`` share: how they are made, what they print, how they end."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclopts import App, Group, Parameter, UnusedCliTokensError

from geocells.output import EchoHandler, echo

BAD_INPUT = 2
INTERRUPTED = 130
_READER_GONE = 141  # as a shell has it: 128 and the number of SIGPIPE
OPTIONS = Group("Options", sort_key=0)
EVERY_COMMAND = Group("Every command", sort_key=1000)


def make_program(name: str, summary: str, version: str, **parameters: Any) -> App:
    """Make a program without commands, whose errors are raised; ``parameters`` are defaults of its options."""
    app = App(
        name=name,
        help=summary,
        version=version,
        help_flags=("--help", "-h"),
        version_flags=("--version",),
        default_parameter=Parameter(
            negative_iterable=(), show_default=_default_as_typed, **parameters
        ),
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    app.meta.suppress_keyboard_interrupt = False
    app.meta.group_parameters = EVERY_COMMAND
    return app


def _default_as_typed(value: Any) -> str | None:
    if value is None or value is False or value == ():
        return None
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def summary_of(path: str) -> str:
    """First line of a command's docstring, read without importing what the command needs."""
    module, function = path.split(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def offer_completion(app: App) -> None:
    """Add ``--install-completion``."""
    app.register_install_completion_command(
        help="Complete commands, options and choices in your shell."
    )


@contextlib.contextmanager
def verbosity(*, verbose: bool, quiet: bool) -> Iterator[None]:
    """Log to standard error as ``--verbose`` and ``--quiet`` say; characters that cannot be shown are escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if verbose:
        level, text = logging.DEBUG, "%(levelname)s: %(message)s"
    else:
        level = logging.ERROR if quiet else logging.WARNING
        text = "Note: %(message)s"
    logging.basicConfig(level=level, format=text, handlers=[EchoHandler()])
    for name in ("matplotlib", "PIL", "numba", "fsspec", "pyogrio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with contextlib.ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def end(message: str, code: int = BAD_INPUT) -> None:
    """Print a sentence to standard error and exit."""
    echo(message, error=True)
    sys.exit(code)


def end_of_error(error: BaseException) -> None:
    """Print what an error says as one line, and exit; ``--verbose`` shows where it was raised."""
    logging.getLogger(__name__).debug("bad input", exc_info=True)
    if isinstance(error, BrokenPipeError):  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_READER_GONE)
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(map(repr, error.unused_tokens or ()))
        text = f"Too many arguments: {words}. Quote a name with spaces; --help lists what a command takes."
    end(f"Error: {' '.join(text.split()) or type(error).__name__}")
