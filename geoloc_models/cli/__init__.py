"""The ``geoloc`` command; a module per command, or per pair that belongs together."""

from __future__ import annotations

import os
import sys

from geoloc_models.cli import (  # noqa: F401  # each adds its commands to the app
    demo,
    download,
    embed,
    index,
    predict,
    reproduce,
    select,
    serve,
    split,
    strip,
    train,
)
from geoloc_models.cli._app import BAD_INPUT, INTERRUPTED, app

__all__ = ["BAD_INPUT", "INTERRUPTED", "app", "main"]


def main() -> None:
    """Run the command line."""
    # OpenMP's threads wait for each other by spinning; where other programs want the cores, that
    # made a training step forty times slower. After about a microsecond they now sleep.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
