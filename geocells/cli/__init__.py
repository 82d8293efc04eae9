"""The program ``geocells``: build, assign, report, map and partition; a module of this folder each.

A command is a plain function: typed parameters, frozen dataclasses for options that several share, and a numpydoc
docstring, which is its help. Its module is imported when it is run.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter

from geocells import __version__
from geocells.errors import GeocellsWarning
from geocells.output import echo
from geocells.program import (
    INTERRUPTED,
    OPTIONS,
    end,
    end_of_error,
    make_program,
    offer_completion,
    summary_of,
    verbosity,
)

app = make_program(
    "geocells",
    "Partition the earth into cells that hold enough photos for a classifier to learn.",
    __version__,
)
COMMANDS = ("build", "assign", "report", "map", "partition")
for _name in COMMANDS:
    _path = f"geocells.cli.{_name}:{_name}"
    app.command(_path, name=_name, help=summary_of(_path), group_parameters=OPTIONS)
offer_completion(app)


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
    with verbosity(verbose=verbose, quiet=quiet):
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", GeocellsWarning)
            warnings.showwarning = _print_warning
            app.meta(words)
    except KeyboardInterrupt:
        end("\nInterrupted; nothing is half-written.", INTERRUPTED)
    except (CycloptsError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        end_of_error(error)


def _print_warning(message: Any, *_: Any, **__: Any) -> None:
    echo(f"Note: {message}", error=True)
