"""The program ``geocells``: build, assign, report, map and partition; a module of this folder each.

A command is a plain function: typed parameters, frozen dataclasses for options that several share, and a numpydoc
docstring, which is its help. Its module is imported when it is run or listed.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from geocells import __version__
from geocells._errors import GeocellsWarning
from geocells._output import SayingHandler, say

logger = logging.getLogger(__name__)

BAD_INPUT = 2
INTERRUPTED = 130

app = App(
    name="geocells",
    help="Partition the earth into cells that hold enough photos for a classifier to learn.",
    version=__version__,
    help_flags=("--help", "-h"),
    version_flags=("--version",),
    default_parameter=Parameter(
        negative_iterable=(),
        show_default=lambda value: None if value is None or value is False else str(value),
    ),
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.meta.suppress_keyboard_interrupt = False
COMMANDS = ("build", "assign", "report", "map", "partition")
for _name in COMMANDS:
    app.command(f"geocells.cli.{_name}:{_name}", name=_name)
app.register_install_completion_command(
    help="Complete commands, options and choices in your shell."
)


@app.meta.default
def _run_command(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Run one command.

    Parameters
    ----------
    words : str
        The command and its own options.
    verbose : bool
        Print what happens, and the traceback of an error.
    quiet : bool
        Print only results and errors.
    """
    if verbose:
        level, text = logging.DEBUG, "%(levelname)s: %(message)s"
    else:
        level = logging.ERROR if quiet else logging.WARNING
        text = "Note: %(message)s"
    logging.basicConfig(level=level, format=text, handlers=[SayingHandler()])
    for name in ("matplotlib", "PIL", "numba", "fsspec", "pyogrio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stderr(nowhere))
        app(words)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends in one sentence and exit code 2, an interruption in 130.

    Parameters
    ----------
    words : sequence of str, optional
        The command and its options; by default those that the program was started with.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    words = sys.argv[1:] if words is None else words
    if not set(words) & set(COMMANDS):
        for name in COMMANDS:
            app[name]  # imports it: a list of the commands shows the first line of each docstring
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", GeocellsWarning)
            warnings.showwarning = _print_warning
            app.meta(words)
    except KeyboardInterrupt:
        _end("\nInterrupted; nothing is half-written.", INTERRUPTED)
    except (CycloptsError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        logger.debug("bad input", exc_info=True)
        _end(f"Error: {' '.join(str(error).split()) or type(error).__name__}")


def _print_warning(message: Any, *_: Any, **__: Any) -> None:
    say(f"Note: {message}", error=True)


def _end(message: str, code: int = BAD_INPUT) -> None:
    say(message, error=True)
    sys.exit(code)
