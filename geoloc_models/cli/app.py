"""The program ``geoloc``: its commands, the options of all of them, and how it ends.

A command is a plain function in a module of this folder: typed parameters (``Literal`` for
choices, a frozen dataclass with ``Parameter(name="*")`` for a set of options), and a numpydoc
docstring, which is the command's help. `COMMANDS` names it; its module is imported when it is run
or listed, so heavy imports stand inside the function.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from geocells.output import echo
from geocells.program import (
    EVERY_COMMAND,
    INTERRUPTED,
    OPTIONS,
    end,
    end_of_error,
    make_program,
    offer_completion,
    summary_of,
    verbosity,
)
from geoloc_models import __version__
from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

logger = logging.getLogger(__name__)

COMMANDS = {  # in the order of the work
    "Prepare": {
        "index": "geoloc_models.cli.index:index",
        "select": "geoloc_models.cli.select:select",
        "download": "geoloc_models.cli.download:download",
        "split": "geoloc_models.cli.split:split",
        "leakage": "geoloc_models.cli.split:leakage",
        "embed": "geoloc_models.cli.embed:embed",
    },
    "Train": {
        "train": "geoloc_models.cli.train:train",
        "evaluate": "geoloc_models.cli.train:evaluate",
    },
    "Ask": {
        "predict": "geoloc_models.cli.predict:predict",
        "serve": "geoloc_models.cli.serve:serve",
        "export": "geoloc_models.cli.predict:export",
    },
    "More": {
        "pull": "geoloc_models.cli.hub:pull",
        "push": "geoloc_models.cli.hub:push",
        "import": "geoloc_models.cli.hub:import_model",
        "strip": "geoloc_models.cli.strip:strip",
        "demo": "geoloc_models.examples.sweden_or_switzerland:demo",
        "reproduce": "geoloc_models.examples.reproduce_paper:reproduce",
    },
}
# What `--help` shows of a command with many options; `--help-all` shows all.
MAIN_OPTIONS = {
    "select": (
        "--output", "--countries", "--preset", "--id-column", "--latitude-column",
        "--longitude-column", "--url-column", "--tolerance-km",
    ),
    "download": (
        "--output", "--max-side", "--keep-original", "--shard-size", "--rate",
        "--user-agent", "--retry",
    ),
    "train": (
        "--task", "--method", "--min-images", "--cells", "--features", "--encoder", "--weights",
        "--epochs", "--output",
    ),
}  # fmt: skip

_EXTRA_OF_PACKAGE = {
    "PIL": "models",
    "lightning": "models",
    "safetensors": "models",
    "torch": "models",
    "torchvision": "models",
    "yaml": "models",
    "matplotlib": "plot",
    "jinja2": "plot",
    "aiohttp": "download",
    "starlette": "serve",
    "uvicorn": "serve",
}


@dataclass(frozen=True)
class _BriefHelp:
    """Help that shows these options alone, and what a command must be given."""

    names: tuple[str, ...]

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter

        if panel.title != EVERY_COMMAND.name:
            panel.entries = [
                each for each in panel.entries if each.required or {*self.names} & {*each.names}
            ]
        if panel.entries:
            DefaultFormatter()(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the first line."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)


def make_app(*, lists_commands: bool = False, shows_all_options: bool = False) -> App:
    """Make the program; its ``meta`` app takes the options of every command.

    Parameters
    ----------
    lists_commands : bool
        Know what each command does, for a list of them.
    shows_all_options : bool
        Whether the help of a command shows more than its main options.
    """
    app = make_program(
        "geoloc",
        "Train models that say where a photo was taken, and measure them.",
        __version__,
        allow_repeating=True,  # of an option that is given twice, the last value wins
        consume_multiple=True,
    )
    app.group_commands = EVERY_COMMAND
    for place, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=place)
        for number, (name, path) in enumerate(commands.items()):
            look: dict[str, Any] = {"group": group, "sort_key": number}
            if name in MAIN_OPTIONS and not shows_all_options:
                look["help_formatter"] = _BriefHelp(MAIN_OPTIONS[name])
                look["help_epilogue"] = "`--help-all` shows all options."
            summary = summary_of(path) if lists_commands else None
            app.command(path, name=name, help=summary, group_parameters=OPTIONS, **look)
    if lists_commands:
        offer_completion(app)

    @app.meta.default
    def run_command(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        verbose: Annotated[bool, Parameter(negative=())] = False,
        quiet: Annotated[bool, Parameter(negative=())] = False,
        config: Path | None = None,
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
        config : Path, optional
            YAML or JSON file with options of the command, such as a run's options.json; options on
            the command line win.
        """
        with verbosity(verbose=verbose, quiet=quiet):
            if config is not None:
                app.config = (_read_config(config),)
            app(words)

    return app


def _read_config(path: Path) -> Any:
    """Options of a file: by name, or the options.json of a run."""
    import yaml
    from cyclopts.config import Dict

    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise GeolocError(f"{path} is neither YAML nor JSON: {error}.") from error
    if not isinstance(options, dict):
        raise GeolocError(f"{path} must hold options by name, such as `epochs: 30`.")
    if options.get("format") == "geoloc-run":
        source = options.get("source", {})
        for name in ("path", "root", "features"):  # relative to the run's folder
            if source.get(name) is not None:
                source[name] = str(path.parent / source[name])
        table = {"table": source.pop("path", None)} if source.pop("kind", None) == "table" else {}
        options = {**options.get("plan", {}), **options.get("training", {}), **source, **table}
    given = {name.replace("_", "-"): value for name, value in options.items() if value is not None}
    return Dict(data=given, source=str(path), use_commands_as_keys=False)


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line.

    Bad input ends in one sentence and exit code 2, as does a package that is not installed where
    one of the extras brings it; an interruption ends in exit code 130.

    Parameters
    ----------
    words : sequence of str, optional
        The command and its options; by default those that the program was started with.
    """
    # OpenMP's threads wait for each other by spinning; where other programs want the cores, that
    # made a training step forty times slower. After about a microsecond they now sleep.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    words = list(sys.argv[1:] if words is None else words)
    app = make_app(
        lists_commands=not any(set(words) & set(commands) for commands in COMMANDS.values()),
        shows_all_options="--help-all" in words,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            words = ["--help" if word == "--help-all" else word for word in words]
            app.meta(_with_common_options_first(words))
    except KeyboardInterrupt:
        end(
            "\nInterrupted; no file is half-written. Run the same command again to continue, with "
            "--resume where there is that option.",
            INTERRUPTED,
        )
    except ImportError as error:
        missing = error if error.name else error.__cause__
        package = str(getattr(missing, "name", "")).split(".")[0]
        if package not in _EXTRA_OF_PACKAGE:
            raise
        end(
            f"Error: This command needs {package}, which is not installed: "
            f"pip install '.[{_EXTRA_OF_PACKAGE[package]}]' in the source folder."
        )
    except (CycloptsError, ValueError, OSError) as error:
        end_of_error(error)


def _with_common_options_first(words: list[str]) -> list[str]:
    """Options of every command, taken out of the reach of arguments that may begin with a hyphen."""
    first: list[str] = []
    rest: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            rest += words[number:]
            break
        is_value = number > 0 and words[number - 1] == "--config"
        is_common = word in ("--quiet", "--verbose") or word.partition("=")[0] == "--config"
        (first if is_common or is_value else rest).append(word)
    return first + rest


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if category.__name__ == "GeocellsWarning":  # for the user; importing it would take seconds
        echo(f"Note: {message}", error=True)
    else:
        logger.debug("%s: %s", category.__name__, message)
