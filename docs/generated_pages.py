"""What the site makes of the code when it is built: the reference, the commands, names of other libraries."""

import importlib
import re
import types
import zlib

from numpydoc.xref import DEFAULT_LINKS
from rooms import ROOMS

# Types in docstrings that lead to other libraries: site, page of a name, names. Where the internet
# cannot be asked for a library's own list, these serve.
LIBRARIES = {
    "python": ("https://docs.python.org/3/", "library/pathlib.html#$", ["pathlib.Path"]),
    "numpy": (
        "https://numpy.org/doc/stable/",
        "reference/generated/$.html",
        ["numpy.ndarray"],
    ),
    "pandas": (
        "https://pandas.pydata.org/docs/",
        "reference/api/$.html",
        ["pandas.DataFrame", "pandas.Series"],
    ),
    "geopandas": (
        "https://geopandas.org/en/stable/",
        "docs/reference/api/$.html",
        ["geopandas.GeoDataFrame", "geopandas.GeoSeries"],
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        "generated/$.html",
        ["torch.nn.Module"],
    ),
    "matplotlib": (
        "https://matplotlib.org/stable/",
        "api/_as_gen/$.html",
        ["matplotlib.axes.Axes", "matplotlib.figure.Figure"],
    ),
}


def write_inventories(folder):
    """Write the names above as inventories; the mapping of Sphinx, and what words in types lead to."""
    mapping, aliases = {}, {word: word for word in DEFAULT_LINKS}
    for library, (site, address, names) in LIBRARIES.items():
        path = folder / f"{library}.inv"
        lines = "".join(f"{name} py:class 1 {address} -\n" for name in names)
        head = f"# Sphinx inventory version 2\n# Project: {library}\n# Version: \n# compressed using zlib\n"
        path.write_bytes(head.encode() + zlib.compress(lines.encode()))
        mapping[library] = (site, (None, str(path)))
        aliases |= {name.rsplit(".", 1)[1]: name for name in names}
    for module in reversed(ROOMS):
        aliases |= {name: f"{module}.{name}" for name in importlib.import_module(module).__all__}
    return mapping, aliases


def write_reference(folder):
    """Write a page for each room: the names of its ``__all__`` that no room before has listed."""
    listed = set()
    for module, title in ROOMS.items():
        room = importlib.import_module(module)
        things = {name: getattr(room, name) for name in room.__all__}
        names = [
            name
            for name, thing in things.items()
            if not isinstance(thing, types.ModuleType) and id(thing) not in listed
        ]
        listed |= {id(thing) for thing in things.values()}
        lines = [
            f"# {title}: `{module}`",
            f"```{{eval-rst}}\n.. automodule:: {module}\n   :no-members:\n",
            f".. currentmodule:: {module}\n",
            ".. autosummary::\n   :toctree: ../generated\n   :nosignatures:\n",
            *(f"   {name}" for name in names),
            "```\n",
        ]
        (folder / f"{module}.md").write_text("\n".join(lines), encoding="utf-8")


def write_commands(folder):
    """Write a page for each program: all commands with all their options."""
    from geocells.cli import app
    from geoloc_models.cli.app import make_app

    for program in (app, make_app(lists_commands=True, shows_all_options=True)):
        text = program.generate_docs("markdown").replace(" *[default: ()]*", "")
        text = re.sub(r"## Table of Contents\n.*?\n\n(?=\*\*)", "", text, flags=re.S)
        first, *commands = re.split(r"^(?=## )", text, flags=re.M)
        # What every command takes is said once.
        common = r"\*\*Every command\*\*:\n.*|\* `--(verbose|quiet)`: [^\n]*\n"
        commands = [re.sub(common, "", command, flags=re.S) for command in commands]
        page = folder / f"command_{program.name[0]}.md"
        page.write_text(
            "\n\n".join(part.rstrip() for part in [first, *commands]) + "\n", encoding="utf-8"
        )
