"""What the environment asks of JAX, and where compiled programs are starting."""

import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest

from train.engine import start as starting


@pytest.fixture
def updates(monkeypatch, tmp_path):
    """What is set of JAX's options, which the suite needs as they are."""
    made = {}
    config = types.SimpleNamespace(
        jax_compilation_cache_dir=None, update=made.__setitem__
    )
    monkeypatch.setattr(starting, "jax", types.SimpleNamespace(config=config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_folder_that_the_user_gave_jax_is_left_to_it(updates):
    starting.jax.config.jax_compilation_cache_dir = "mine"
    starting.keep_compiled(True)
    assert updates == {}


def test_nothing_is_kept_or_used_if_not_wanted(updates):
    starting.keep_compiled(False)
    assert updates == {"jax_enable_compilation_cache": False}


def test_without_a_folder_of_its_own_it_is_in_the_home(updates, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    starting.keep_compiled(True)
    folder = Path(updates["jax_compilation_cache_dir"])
    assert folder.parent == tmp_path / ".cache" / "lcam_optax" / "jax"


def test_user_without_a_home_trains_and_keeps_nothing(updates, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    starting.keep_compiled(True)
    assert updates == {}


SCRIPT = """
import jax
from train.engine.start import keep_compiled
keep_compiled(True)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: 3 * x + 1)(2.0))
"""


@pytest.fixture
def start(tmp_path):
    """Compiles a program in a process of its own; returns the warnings."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    del environment["JAX_COMPILATION_CACHE_DIR"]

    def run():
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=Path(__file__).parents[3],
        )
        assert done.stdout == "7.0\n"
        return done.stderr

    return run


def test_damaged_program_is_told_and_compiled(start, tmp_path):
    assert start() == ""
    [folder] = (tmp_path / "cache" / "lcam_optax" / "jax").iterdir()  # the processor's
    for path in folder.glob("*-cache"):
        path.write_bytes(path.read_bytes()[:40])  # as if a kill had cut the writing
    assert "Error reading persistent compilation cache" in start()


def test_folder_that_cannot_be_made_is_told(start, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert "persistent compilation cache" in start()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX cannot start on JAX_PLATFORMS=cuda"),
        ("JAX_PLATFORMS", "typo", "JAX cannot start on JAX_PLATFORMS=typo: "),
        ("JAX_ENABLE_X64", "1", "JAX_ENABLE_X64 makes JAX compute in float64"),
    ],
)
def test_environment_that_cannot_be_is_told_before_anything_is_written(
    tmp_path, variable, value, message
):
    if value == "cuda" and jax.default_backend() == "gpu":
        pytest.skip("there is one here")
    done = subprocess.run(
        [sys.executable, "-m", "train", "run", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=os.environ | {variable: value},
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 2
    *_, error = done.stderr.splitlines()
    assert error.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()
