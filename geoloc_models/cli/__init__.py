"""The program ``geoloc``; a module per command, or per pair that belongs together."""

from geoloc_models.cli._app import BAD_INPUT, INTERRUPTED, app, main

__all__ = ["BAD_INPUT", "INTERRUPTED", "app", "main"]
