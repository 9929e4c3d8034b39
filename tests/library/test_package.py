"""What a user installs."""

import doctest
import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lcam_optax

ROOT = Path(__file__).parents[2]


def test_public_names_are_the_agreed_ones():
    assert set(lcam_optax.__all__) == {
        "LossAverage",
        "LossPhaseState",
        "Phase",
        "ScaleByLcamState",
        "WeightedMeanState",
        "ema_average",
        "epoch_average",
        "lcam",
        "loss_phase_schedule",
        "scale_by_lcam",
    }


def test_wheel_holds_the_library_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"lcam_optax", f"lcam_optax-{lcam_optax.__version__}.dist-info"}
    assert "lcam_optax/py.typed" in names
    assert not [
        name for name in names if not re.match(r"lcam_optax(/|-[\d.]+\.dist)", name)
    ]


@pytest.mark.parametrize("name", lcam_optax.__all__)
def test_public_names_say_the_public_module(name):
    assert getattr(lcam_optax, name).__module__ == "lcam_optax"


def test_signature_of_lcam_is_readable():
    signature = str(inspect.signature(lcam_optax.lcam))
    assert "learning_rate: 'optax.ScalarOrSchedule', " in signature
    assert "loss_average: 'LossAverage | ArrayLike' = ema_average(0.99), " in signature


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


def test_docstring_examples_print_what_they_say():
    results = doctest.testmod(lcam_optax)
    assert results.failed == 0
    assert results.attempted == 11
