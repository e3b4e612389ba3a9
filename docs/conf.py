"""Settings of sphinx."""

import os
import sys
from importlib.metadata import version as _version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
for _threads in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):  # pages and examples run side by side
    os.environ.setdefault(_threads, "1")

from docs.extensions import gallery  # noqa: E402

project = "invgen"
author = copyright = "The invgen developers"
release = version = _version("invgen")

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "docs.extensions.mathml",
    "docs.extensions.blocks",
    "docs.extensions.docstrings",
    "docs.extensions.reference",
    "docs.extensions.commands",
    "docs.extensions.cards",
    "docs.extensions.gallery",
]
exclude_patterns = ["generated/pages", "generated/examples", "README.md"]
default_role = "py:obj"
nitpicky = False
suppress_warnings = [
    "myst.header",  # parts of files begin below the first level
    "config.cache",
    "sphinx_gallery.duplicate_filename",  # of scripts in different folders, whose links differ
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

sphinx_gallery_conf = gallery.settings()

html_theme = "pydata_sphinx_theme"
html_title = f"invgen {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_search_summary = False  # which are fetched, and cannot be from files on a disk
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["invgen.css"]
html_sidebars = {"index": []}
html_theme_options = {
    "collapse_navigation": True,
    "navigation_depth": 3,
    "show_nav_level": 1,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
}
html_context = {"default_mode": "auto"}
