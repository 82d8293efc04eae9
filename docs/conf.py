"""Sphinx configuration."""

import os
import re
import sys
import tomllib
import types
import warnings
from pathlib import Path

from matplotlib.figure import Figure
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx_gallery.scrapers import figure_rst
from sphinx_gallery.sorting import FileNameSortKey

from geocells import __version__ as release

# The tutorials run on what is installed: nothing may ask the internet.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore", category=UserWarning, module="lightning")

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))
from generated_pages import write_commands, write_inventories, write_reference  # noqa: E402

GENERATED = DOCS / "reference"
GENERATED.mkdir(exist_ok=True)
write_reference(GENERATED)
write_commands(GENERATED)

project = "geocells"
author = "The geocells developers"
copyright = "2026, the geocells developers"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence", "attrs_inline", "substitution"]
myst_substitutions = {"release": release}
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "_build",
    "scripts",
    "tutorials",
    "real_photos.md",
]

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_domain_indices = False
toc_object_entries_show_parents = "hide"
html_title = f"geocells {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
project_urls = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"].get(
    "urls", {}
)
html_theme_options = {
    "icon_links": [
        {"name": name, "url": url, "icon": "fa-solid fa-code-branch"}
        for name, url in project_urls.items()
    ],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"index": [], "start": []}
html_show_sourcelink = False

default_role = "code"  # single backticks in docstrings
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
intersphinx_mapping, numpydoc_xref_aliases = write_inventories(GENERATED)
intersphinx_timeout = 3


def save_returned_figure(block, block_vars, gallery_conf, **kwargs):
    """Picture of a block that ends with a Figure unknown to pyplot, as our functions return it."""
    variables = block_vars["example_globals"]
    figure = variables.get("___")
    if not isinstance(figure, Figure) or figure.canvas.manager is not None:
        return ""
    variables["___"] = None
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path)
    return figure_rst([path], gallery_conf["src_dir"])


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
    "write_computation_times": False,
    "plot_gallery": "True",
    "matplotlib_animations": False,
    "image_scrapers": (save_returned_figure, "matplotlib"),
    "reset_modules": ("matplotlib",),
    "capture_repr": ("_repr_html_",),
    "default_thumb_file": str(DOCS / "pictures" / "cells_map.png"),
}

# Shapes in docstrings, such as (n_cells,), look like references to attributes of that name.
suppress_warnings = ["ref.python", "config.cache"]


def check_pictures(app, exception):
    """Fail where a page of the gallery lacks a picture that its script draws."""
    if (
        exception
        or app.builder.name != "html"
        or not app.config.sphinx_gallery_conf["plot_gallery"]
    ):
        return
    for script in (DOCS / "tutorials").glob("plot_*.py"):
        blocks = script.read_text(encoding="utf-8").split("# %%")
        promised = sum(
            bool(re.search(r"subplots\(|figures\.|\.plot\(\)", block)) for block in blocks
        )
        page = (Path(app.outdir) / "gallery" / f"{script.stem}.html").read_text(encoding="utf-8")
        shown = len(set(re.findall(rf"sphx_glr_{script.stem}_\d+\.png", page)))
        if shown < promised:
            raise ExtensionError(
                f"{script.name} draws {promised} pictures, its page shows {shown}."
            )


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


def read_constant(app, what, name, obj, options, lines):
    """Read what a constant is in the file that defines it; Sphinx looks in the package that hands it out."""
    if what == "data":
        package, _, constant = name.rpartition(".")
        modules = [each for each in sys.modules if each.startswith(package)]
        texts = (ModuleAnalyzer.for_module(each).find_attr_docs() for each in modules)
        lines[:] = next(text["", constant] for text in texts if ("", constant) in text)


def setup(app):
    """Connect the hooks above."""
    app.connect("autodoc-skip-member", skip_borrowed)
    app.connect("autodoc-process-docstring", read_constant)
    app.connect("build-finished", check_pictures)
