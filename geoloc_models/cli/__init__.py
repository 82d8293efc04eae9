"""The program ``geoloc``; a module per command, or per pair that belongs together."""

from geoloc_models.cli._app import BAD_INPUT, INTERRUPTED, main

__all__ = ["BAD_INPUT", "INTERRUPTED", "main"]
