"""Options and messages that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from geocells.output import echo

if TYPE_CHECKING:
    from geoloc_models.photos.dataset import BrokenImages


def command_line(*words: object, **options: object) -> str:
    """A command to copy: quoted where the shell asks for it, without options that are None."""
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    return shlex.join(map(str, [*words, *given]))


def report_skipped(broken: BrokenImages, path: Path) -> None:
    """Print how many images were skipped, and where they are listed."""
    if len(broken):
        first = broken.messages[0]
        images = "1 broken image was" if len(broken) == 1 else f"{len(broken)} broken images were"
        echo(f"\n{images} skipped (first: {first}); all are listed in {path}.")
