"""Sphinx configuration."""

import importlib
import os
import sys
import types
import warnings
from pathlib import Path

from sphinx_gallery.sorting import FileNameSortKey

# The tutorials run on what is installed: nothing may ask the internet.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore", category=UserWarning, module="lightning")

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
from rooms import ROOMS  # noqa: E402

project = "geocells"
author = "The geocells developers"
copyright = "2026, the geocells developers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "scripts", "rooms.py", "tutorials", "gallery/sg_execution_times.rst"]

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "geocells"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "start": []}
html_show_sourcelink = False

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": ["tutorials"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 1e9,
    "plot_gallery": "True",
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "capture_repr": ("_repr_html_",),
    "default_thumb_file": str(DOCS / "pictures" / "cells_map.png"),
}

# Shapes in docstrings, such as (n_cells,), look like references to attributes of that name.
suppress_warnings = ["ref.python", "config.cache"]


def write_reference():
    """Write a page for each room: the names of its ``__all__`` that no room before has listed."""
    folder = DOCS / "reference"
    folder.mkdir(exist_ok=True)
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


write_reference()


def skip_borrowed(app, what, name, obj, skip, options):
    """Leave out what classes inherit from other libraries: their own pages say it."""
    home = getattr(
        getattr(obj, "fget", None) or getattr(obj, "__func__", None) or obj, "__module__", None
    )
    if isinstance(
        obj, (types.MethodDescriptorType, types.BuiltinFunctionType)
    ):  # str's and the like
        return True
    is_ours = home is None or home.split(".")[0] in ("geocells", "geoloc_models")
    return skip or (what == "class" and not is_ours) or None


def setup(app):
    """Connect the hook above."""
    app.connect("autodoc-skip-member", skip_borrowed)
