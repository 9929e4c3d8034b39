"""Sphinx's settings for the site, `make docs`. docs/site_pages.py adds to them."""

import os
import re
import tomllib
from pathlib import Path

import lcam_optax

project, release = "lcam_optax", lcam_optax.__version__
project_copyright = "2026, The lcam_optax authors"
# The pages are the Markdown files of the repository, where they stand.
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "examples/*.md", "results/**.md"]
exclude_patterns = [".*", "build", "runs"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
extensions += ["sphinx_copybutton", "sphinx-mathjax-offline", "docs.site_pages"]
if os.environ.get("CI") or os.environ.get("READTHEDOCS"):  # where a network is sure
    extensions.append("sphinx.ext.intersphinx")
intersphinx_mapping = {
    "jax": ("https://docs.jax.dev/en/latest", None),
    "optax": ("https://optax.readthedocs.io/en/stable", None),
    "python": ("https://docs.python.org/3", None),
}
# The public address of the repository's files is what pyproject.toml writes before the
# links of README. Without one, the site carries the files that its pages link to.
_tools = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
_readme = _tools["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
files_address = re.sub(r"^\]\(|/$", "", _readme["substitutions"][1]["replacement"])
files_address = files_address.replace("$HFPR_VERSION", release)
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # as code hosts draw it
myst_heading_anchors = 4
nb_execution_raise_on_error = nb_merge_streams = True
nb_execution_timeout = 120
default_role = "py:obj"  # names in docstrings stand between single backticks
maximum_signature_line_length = 80
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output
html_theme, html_title = "furo", f"lcam_optax {release}"
html_search_scorer = str(Path(__file__).with_name("search.js"))
html_copy_source = False  # without it there is no button that shows it as raw text
html_static_path, html_css_files = ["site.css"], ["site.css"]
