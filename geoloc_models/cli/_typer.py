"""Commands that typer still runs, until their owners have moved them to cyclopts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

import typer

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
INTERRUPTED = 130

_EXTRA_OF_PACKAGE = {
    "PIL": "models",
    "lightning": "models",
    "safetensors": "models",
    "torch": "models",
    "torchvision": "models",
    "matplotlib": "plot",
    "httpx": "download",
}

app = typer.Typer(
    name="geoloc",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train models that say where on earth a photo was taken, and measure how well they do.",
)


def one_sentence_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Bad input ends with one sentence and exit code 2, an interruption with 130.

    So does a package that is not installed, where one of our extras brings it.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo(
                "\nInterrupted; no result is half-written. The same command goes on where it can: "
                "after the last whole epoch with --resume, where there is that option.",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            if package not in _EXTRA_OF_PACKAGE:
                raise
            typer.echo(
                f"Error: This command needs {package}, which is not installed: "
                f"pip install 'geocells[{_EXTRA_OF_PACKAGE[package]}]'.",
                err=True,
            )
            raise typer.Exit(BAD_INPUT) from None
        except (ValueError, OSError) as error:
            logger.debug("bad input", exc_info=True)
            typer.echo(f"Error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(BAD_INPUT) from None

    return wrapped


@app.callback()
def _settings(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what happens, tracebacks of errors included.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    for name in ("matplotlib", "PIL", "numba", "fsspec"):
        logging.getLogger(name).setLevel(logging.WARNING)


def placeholder() -> None:
    """See its own --help."""


def run(words: list[str]) -> None:
    """Run one of the commands."""
    import importlib

    for name in (
        "embed",
    ):  # fmt: skip
        importlib.import_module(f"geoloc_models.cli.{name}")
    app(words, prog_name="geoloc")
