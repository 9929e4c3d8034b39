"""What `make docs` would say late, or not at all: what the site leaves out."""

import re
from pathlib import Path

import lcam_optax
from docs import prose

ROOT = Path(__file__).parents[2]


def test_every_page_is_among_the_contents():
    pages = {path for pattern in prose.PAGES for path in ROOT.glob(pattern)}
    pages -= {ROOT / "README.md"}  # the first page, whose contents these are
    listed = re.findall(r"(?m)^(\w\S+)$", (ROOT / "docs" / "contents.txt").read_text())
    made = {"docs/program/index"}  # by docs/site_pages.py
    assert len(listed) == len(set(listed))
    assert {ROOT / f"{name}.md" for name in set(listed) - made} == pages


def test_every_public_name_is_on_the_page_of_the_library():
    page = (ROOT / "docs" / "api.md").read_text()
    library, _, _ = page.partition("module:: models")
    named = re.findall(r"auto(?:function|class):: (\w+)", library)
    assert sorted(named) == sorted(lcam_optax.__all__)
