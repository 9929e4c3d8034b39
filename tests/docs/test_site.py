"""What `make docs` would say late, or not at all: what the site leaves out."""

import importlib.util
import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import lcam_optax
import models
from docs import prose, site_pages
from train.settings.commands import COMMANDS

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.org/us/lcam/blob/v1"


def app(address, outdir=None):
    """What the site's functions read of Sphinx's."""
    return SimpleNamespace(outdir=outdir, config=SimpleNamespace(files_address=address))


def in_site(name, address=""):
    source = [(ROOT / f"{name}.md").read_text()]
    site_pages.fit_source(app(address), name, source)
    return source[0]


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


@pytest.mark.parametrize("name", COMMANDS)
def test_code_on_the_page_of_a_command_ends(name):
    page = site_pages.command_page(name, COMMANDS[name])
    assert not re.search(r"(?m)^[^`\n]+```", page)


def test_every_report_has_a_title_of_its_own():
    pages = [*ROOT.glob("results/*/report.md"), *ROOT.glob("results/*/details.md")]
    names = [page.relative_to(ROOT).with_suffix("").as_posix() for page in pages]
    titles = {in_site(name).splitlines()[0] for name in names}
    assert len(titles) == len(names) > 0


@pytest.mark.parametrize(
    ("said", "linked"),
    [
        ("results/PLAN.md has the dates.", "[](../../results/PLAN.md) has the dates."),
        ("See [docs/data.md](../../docs/data.md).", "See [](../../docs/data.md)."),
        ("[rows](../../docs/data.md#rows)", "[rows](../../docs/data.md#rows)"),
    ],
)
def test_pages_that_a_report_names_are_links(said, linked):
    source = [said]
    site_pages.fit_source(app(""), "results/a/report", source)
    assert source == [linked]


@pytest.mark.parametrize(
    ("what", "thing", "written"),
    [
        (
            "class",
            models.WideResNet,
            "(depth: int, widen: int, num_classes: int, *, channels: int = 3, "
            "dtype: DTypeLike | None = None, rngs: nnx.Rngs) -> None",
        ),
        (
            "method",
            models.WideResNet.__call__,
            "(images: jax.Array, *, train: bool) -> jax.Array",
        ),
    ],
)
def test_signature_is_as_it_is_written(what, thing, written):
    arguments, returned = site_pages.sign(None, what, "", thing, None, "()", None)
    assert f"{arguments} -> {returned}" == written


@pytest.mark.parametrize("room", [lcam_optax, models])
def test_blocks_in_docstrings_are_announced(room):
    """Otherwise the site runs their lines together, and curls the quotes of code."""
    for name in room.__all__:
        doc = inspect.getdoc(getattr(room, name))
        for indent, end, deeper in re.findall(r"(?m)^( *).*(..)\n\n(?=( +)\S)", doc):
            assert end == "::" or len(deeper) <= len(indent), name


# --- The tutorial ---------------------------------------------------------------------


def run_first_cell(address, there, monkeypatch):
    """What the first cell installs, where only the modules `there` are."""
    cell = in_site("docs/tutorial", address).split("```")[1].partition("\n")[2]
    found = SimpleNamespace(origin="a file")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name in there else None
    )
    installed = []
    code = cell.replace("%pip install --quiet $package", "installed.append(package)")
    exec(code, {"installed": installed})
    return set(installed)


def test_tutorial_installs_what_the_library_does_not_bring(monkeypatch):
    others = {"flax", "matplotlib", "scikit-learn"}
    assert run_first_cell("", {"lcam_optax"}, monkeypatch) == others
    assert run_first_cell("", {"lcam_optax", "flax"}, monkeypatch) == others - {"flax"}


def test_tutorial_installs_the_library_from_the_repositorys_address(monkeypatch):
    there = {"flax", "matplotlib", "sklearn"}
    address = "git+https://example.org/us/lcam@v1"
    assert run_first_cell(ADDRESS, there, monkeypatch) == {address}


def test_tutorial_says_what_to_do_without_an_address(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match="folder of a checkout behind SOURCE"):
        run_first_cell("", {}, monkeypatch)


@pytest.mark.parametrize(
    ("address", "recipes"),
    [("", "*Recipes*"), (ADDRESS, f"[Recipes]({ADDRESS}/docs/recipes.md#flax)")],
)
def test_downloaded_notebook_needs_no_page_beside_it(address, recipes, tmp_path):
    jax = "[JAX](https://docs.jax.dev)"
    text = f"[Recipes](recipes.md#flax), {jax}\n{site_pages.ENDINGS['docs/tutorial']}"
    cells = [{"cell_type": "markdown", "source": [text]}]
    cells += [{"cell_type": "code", "source": ["x[0](1)"]}]
    file = tmp_path / "_downloads" / "1" / "tutorial.ipynb"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"cells": cells}))
    site_pages.free_notebook(app(address, tmp_path), None)
    written = json.loads(file.read_text())["cells"]
    assert written[0]["source"] == f"{recipes}, {jax}"
    assert written[1] == cells[1]
