"""Configuration of the documentation site; `.ci/site` builds it, and `docs/README.md` says what belongs where."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _site import api_pages, examples

import spinode

project = "spinode"
author = "The spinode developers"
project_copyright = author
version = release = spinode.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["README.md", "_site", "images/*.py", "tutorials/*", "gallery/*", "**/sg_execution_times.rst"]

# Nothing is loaded from the network, when the site is built or when it is read.
html_theme = "furo"
html_title = f"spinode {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures carry the types; the docstrings carry shapes and units
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

sphinx_gallery_conf = examples.settings()


def setup(app: object) -> None:
    """Write the pages of the API reference before the sources are read."""
    api_pages.setup(app)
