"""The scripts of the folder ``examples`` that are commands too: ``geoloc demo`` and ``reproduce``.

A wheel holds them here; in a checkout they lie beside the package.
"""

from pathlib import Path

__path__ = [*__path__, str(Path(__file__).parents[2] / "examples")]
