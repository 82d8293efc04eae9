"""Sphinx configuration."""

project = "geocells"
author = "The geocells developers"
copyright = "2026, the geocells developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "scripts"]
html_theme = "pydata_sphinx_theme"
html_title = "geocells"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Shapes in docstrings, such as (n_cells,), look like references to attributes of that name.
suppress_warnings = ["ref.python"]
