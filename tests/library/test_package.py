"""What a user installs."""

import doctest
import email
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import lcam_optax

ROOT = Path(__file__).parents[2]


def test_public_names_are_the_agreed_ones():
    assert set(lcam_optax.__all__) == {
        "LossAverage",
        "LossPhaseState",
        "Phase",
        "RecentLossesState",
        "ScaleByLcamState",
        "WeightedMeanState",
        "ema_average",
        "epoch_average",
        "lcam",
        "loss_phase_schedule",
        "median_average",
        "scale_by_lcam",
    }


def test_copy_inside_of_another_package_runs_its_own_code(tmp_path, monkeypatch):
    ignored = shutil.ignore_patterns("__pycache__")
    package = Path(lcam_optax.__file__).parent
    shutil.copytree(package, tmp_path / "vendored" / "lcam_optax", ignore=ignored)
    monkeypatch.syspath_prepend(tmp_path)
    copy = importlib.import_module("vendored.lcam_optax")
    for name in lcam_optax.__all__:
        assert Path(inspect.getfile(getattr(copy, name))).is_relative_to(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, opened."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened_wheel, tarfile.open(sdist) as opened_sdist:
        yield SimpleNamespace(wheel=opened_wheel, sdist=opened_sdist)


@pytest.fixture
def metadata(built):
    """What the wheel says to the package index."""
    [name] = [name for name in built.wheel.namelist() if name.endswith("/METADATA")]
    return email.message_from_bytes(built.wheel.read(name))


def test_wheel_holds_the_library_and_nothing_else(built):
    names = built.wheel.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"lcam_optax", f"lcam_optax-{lcam_optax.__version__}.dist-info"}
    assert "lcam_optax/py.typed" in names


def test_sdist_holds_the_library_and_its_tests(built):
    top = f"lcam_optax-{lcam_optax.__version__}"
    names = {name.removeprefix(f"{top}/") for name in built.sdist.getnames()}
    tests = (
        f"tests/library/{path.name}" for path in (ROOT / "tests/library").glob("*.py")
    )
    pages = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md")
    assert names >= {"tests/conftest.py", *tests, *pages}
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"lcam_optax", "tests"}


def test_index_is_told_of_the_library_only(metadata):
    assert metadata["Version"] == lcam_optax.__version__
    assert "Provides-Extra" not in metadata
    needed = metadata.get_all("Requires-Dist")
    assert [re.match(r"\w+", name)[0] for name in needed] == ["jax", "optax"]


def test_citation_names_this_version():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {lcam_optax.__version__}" in lines


def test_readme_names_the_oldest_versions(metadata):
    oldest = [
        re.search(r">=([\d.]+)", text)[1]
        for text in (metadata["Requires-Python"], *metadata.get_all("Requires-Dist"))
    ]
    sentence = "Python {}, jax {} and optax {}, or newer".format(*oldest)
    assert sentence in (ROOT / "README.md").read_text()


# --- What the package index shows -----------------------------------------------------


def link_targets(markdown):
    return re.findall(r"\]\((.*?)\)", markdown)


def test_index_page_has_no_relative_links(metadata):
    page = metadata.get_payload()
    assert link_targets(page)
    assert all(target.startswith("https://") for target in link_targets(page))
    assert "![" not in page
    assert "Drawn by" not in page  # the caption of a picture
    assert "The mechanism has" in page  # a link that is plain text now


def test_index_page_is_for_those_without_a_checkout(metadata):
    page = metadata.get_payload()
    assert "pip install lcam-optax" in page
    assert not re.search(r"make |checkout|python -m train", page)
    assert "## Caveats" in page


def test_index_page_links_to_the_address_once_there_is_one(tmp_path):
    before, after = "](/'", "](https://example.org/blob/v$HFPR_VERSION/'"
    settings = (ROOT / "pyproject.toml").read_text()
    assert settings.count(f"replacement = '{before}") == 1
    (tmp_path / "pyproject.toml").write_text(
        settings.replace(f"replacement = '{before}", f"replacement = '{after}")
    )
    page = subprocess.run(
        [sys.executable, "-m", "hatch_fancy_pypi_readme", tmp_path / "pyproject.toml"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    address = r"https://example\.org/blob/v[\d.]+"
    assert re.search(rf"\]\({address}/README\.md#caveats\)", page)
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert pictures
    for picture in pictures:
        assert re.fullmatch(rf"{address}/docs/pictures/\w+\.png\?raw=true", picture)
    assert all(target.startswith("https://") for target in link_targets(page))


# --- What an import brings ------------------------------------------------------------


@pytest.mark.parametrize("name", lcam_optax.__all__)
def test_public_names_say_the_public_module(name):
    assert getattr(lcam_optax, name).__module__ == "lcam_optax"


def test_signature_of_lcam_is_readable():
    signature = str(inspect.signature(lcam_optax.lcam))
    assert "learning_rate: 'optax.ScalarOrSchedule', " in signature
    assert "loss_average: 'LossAverage | ArrayLike' = ema_average(0.9), " in signature


def test_library_imports_jax_and_optax_only_and_needs_no_installation():
    code = (
        "import importlib.metadata, sys, jax, optax; before = set(sys.modules)\n"
        "importlib.metadata.version = None; import lcam_optax\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["lcam_optax"]


def test_every_public_name_has_an_example_that_prints_what_it_says():
    documents = {name: getattr(lcam_optax, name).__doc__ for name in lcam_optax.__all__}
    assert not [name for name, text in documents.items() if ">>> " not in text]
    assert doctest.testmod(lcam_optax).failed == 0
