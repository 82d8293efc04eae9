"""The program ``geoloc``; a module per command, or per pair that belongs together."""

from geoloc_models.cli.app import main

__all__ = ["main"]
